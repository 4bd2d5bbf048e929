/* SPDX-License-Identifier: MIT */
/*
 * A hostile store, pulled by the real engine into a real database. Whatever lies there: no crash,
 * the database stays sound, rows that the store knows nothing of stay as they are, what is shown is
 * clean, and pulling the same once more changes nothing.
 *
 * Input: a program that fills the store. Names, hashes, chains and row ids are computed here, so
 * that an input gets past them unless it says otherwise. One line each:
 *
 *   {...}     a record of the segment. Row id 0 stands for the id that follows from the row's
 *             content; ids (and references) 1 to 255 for that of the first, second... such row.
 *   "...      these bytes go into the segment as they are, without a line's end
 *   /         ends a zstd frame of the segment
 *   S         the segment is done: it is put, and the next head lists it
 *   H         a head, with all segments of this machine so far
 *   h...      a head whose text is the rest of the line
 *   M...      another machine, whose id follows from the rest of the line
 *   =KEY TEXT in the next head, the text stands where the last value of "KEY" stood
 *   xHH BB    of the next object, byte HH (hex) is changed by BB, before its hash is made
 *   yHH BB    the same, afterwards
 *   N         the next object is not put
 *   K...      an object with that key below the project's root
 *   P...      a pull; "h" in the line: with heal, "a": with accepted deletes
 *   U         a push
 *   L         a look at status and conflicts
 *   T...      that many days pass
 *   E...      claude-mem or a person edits the database: digits, one edit each
 */
#include "alloc.h"
#include "digest.h"
#include "head.h"
#include "identity.h"
#include "limits.h"
#include "pack.h"
#include "record.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 32
#define ROWS_MAX 255
#define PULLS_MAX 6
#define OBJECTS_MAX 40
#define CHANGES_MAX 4

struct change {
    size_t offset;
    uint8_t mask;
    bool after_hash;
};

struct program {
    struct world *world;
    uint8_t ids[ROWS_MAX][MB_ROW_ID_SIZE];
    size_t id_count;
    struct mb_buf segment; /* the object so far */
    struct mb_buf frame;   /* the text of its open frame */
    int64_t record_count;
    uint8_t machine[MB_MACHINE_ID_SIZE];
    int64_t sequence; /* of the last head */
    struct mb_head_entry entries[ENTRIES_MAX];
    size_t entry_count;
    struct change changes[CHANGES_MAX];
    size_t change_count;
    char *replaced; /* "KEY TEXT"; NULL: nothing */
    bool is_left_out;
    int object_count;
    int pull_count;
};

/* ---- objects ---- */

static void change(struct program *program, struct mb_buf *object, bool after_hash)
{
    for (size_t i = 0; i < program->change_count; i++) {
        const struct change *one = &program->changes[i];

        if (one->after_hash == after_hash && one->offset < object->size) {
            object->data[one->offset] ^= one->mask;
        }
    }
}

static void put(struct program *program, const char *below, const struct mb_buf *object)
{
    char *key = world_key(below);
    struct mb_error err;

    if (!program->is_left_out && mb_store_key_is_valid(key) &&
        program->object_count < OBJECTS_MAX) {
        /* A key may be the folder of another one: then the store refuses it. */
        MB_IGNORE(mb_store_put(program->world->store, key, object->data, object->size, &err));
        program->object_count++;
    }
    free(key);
    program->change_count = 0;
    program->is_left_out = false;
}

static void end_frame(struct program *program)
{
    struct mb_error err;

    FUZZ_CHECK_OK(
        mb_pack_append_frame(&program->segment, program->frame.data, program->frame.size, &err),
        &err);
    mb_buf_clear(&program->frame);
}

static void start_segment(struct program *program)
{
    struct mb_error err;

    mb_buf_clear(&program->segment);
    mb_buf_clear(&program->frame);
    program->record_count = 0;
    FUZZ_CHECK_OK(mb_pack_append_header(&program->segment, MB_PACK_SEGMENT, &err), &err);
}

static void put_segment(struct program *program)
{
    static const uint8_t zeros[MB_CHAIN_SIZE];
    struct mb_head_entry *entry = &program->entries[program->entry_count];
    uint8_t digest[MB_DIGEST_SIZE];
    char hex[MB_MACHINE_ID_HEX_SIZE];
    char *below = NULL;

    if (program->entry_count == ENTRIES_MAX) {
        return;
    }
    end_frame(program);
    change(program, &program->segment, false);
    mb_digest_sha256(program->segment.data, program->segment.size, digest);
    memset(entry, 0, sizeof *entry);
    entry->first = entry->last = (int64_t)program->entry_count + 1;
    mb_head_chain(program->entry_count > 0 ? entry[-1].chain : zeros, entry->last, digest,
                  entry->chain);
    mb_head_segment_name(entry->last, digest, entry->name);
    entry->size_bytes = (int64_t)program->segment.size;
    entry->record_count = program->record_count;
    program->entry_count++;
    change(program, &program->segment, true);
    mb_digest_hex(program->machine, sizeof program->machine, hex);
    below = mb_alloc_format("segments/%s/%s", hex, entry->name);
    put(program, below, &program->segment);
    free(below);
    start_segment(program);
}

/* Takes the text of a head, and puts it under the name that fits. */
static void put_head_text(struct program *program, const char *text, size_t size)
{
    struct mb_buf object;
    struct mb_error err;
    uint8_t digest[MB_DIGEST_SIZE];
    char machine[MB_MACHINE_ID_HEX_SIZE];
    char hash[33];
    char *below = NULL;

    mb_buf_init(&object, MB_MIB);
    FUZZ_CHECK_OK(mb_pack_append_header(&object, MB_PACK_HEAD, &err), &err);
    FUZZ_CHECK_OK(mb_pack_append_frame(&object, text, size, &err), &err);
    change(program, &object, false);
    mb_digest_sha256(object.data, object.size, digest);
    change(program, &object, true);
    mb_digest_hex(program->machine, sizeof program->machine, machine);
    mb_digest_hex(digest, 16, hash);
    below = mb_alloc_format("heads/%s/%010" PRId64 "-%s", machine, program->sequence, hash);
    put(program, below, &object);
    free(below);
    mb_buf_release(&object);
}

/* Where the value of the last `"key":` ends and begins; false if there is none. */
static bool find_value(const char *text, const char *key, size_t key_size, size_t *start_out,
                       size_t *end_out)
{
    bool found = false;

    for (const char *p = text; (p = strchr(p, '"')) != NULL; p++) {
        if (strncmp(p + 1, key, key_size) == 0 && strncmp(p + 1 + key_size, "\":", 2) == 0) {
            const char *value = p + key_size + 3;

            *start_out = (size_t)(value - text);
            *end_out = *start_out + (value[0] == '[' ? strcspn(value, "]") : strcspn(value, ",}"));
            found = true;
        }
    }
    return found;
}

static void put_head(struct program *program)
{
    struct mb_head head;
    struct mb_buf object;
    struct mb_buf text;
    struct mb_error err;
    char *key = NULL;
    char *changed = NULL;
    size_t start = 0;
    size_t end = 0;

    mb_buf_init(&object, MB_MIB);
    mb_buf_init(&text, MB_MIB);
    mb_head_init(&head);
    program->sequence++;
    memcpy(head.machine, program->machine, sizeof head.machine);
    head.sequence = program->sequence;
    head.time_ms = WORLD_NOW_MS;
    head.host_name = mb_alloc_text("hostile");
    head.program = mb_alloc_text("membridge 9");
    head.entries = mb_alloc_copy(program->entries, program->entry_count * sizeof *head.entries);
    head.entry_count = program->entry_count;
    FUZZ_CHECK_OK(mb_head_encode(&head, &object, &key, &err), &err);
    FUZZ_CHECK_OK(mb_pack_unpack(object.data, object.size, MB_PACK_HEAD, &text, &err), &err);
    if (program->replaced != NULL) {
        size_t key_size = strcspn(program->replaced, " ");
        const char *value = program->replaced + key_size;

        if (find_value(mb_buf_text(&text), program->replaced, key_size, &start, &end)) {
            changed = mb_alloc_format("%.*s%s%s", (int)start, mb_buf_text(&text), value,
                                      mb_buf_text(&text) + end);
        }
        free(program->replaced);
        program->replaced = NULL;
    }
    if (changed != NULL) {
        put_head_text(program, changed, strlen(changed));
    } else {
        put_head_text(program, mb_buf_text(&text), text.size);
    }
    free(changed);
    free(key);
    mb_head_release(&head);
    mb_buf_release(&object);
    mb_buf_release(&text);
}

/* ---- records ---- */

/* 15 zeros and n: the id of the n-th row. */
static void resolve(const struct program *program, uint8_t id[static MB_ROW_ID_SIZE])
{
    static const uint8_t zeros[MB_ROW_ID_SIZE];
    size_t number = id[MB_ROW_ID_SIZE - 1];

    if (memcmp(id, zeros, MB_ROW_ID_SIZE - 1) == 0 && number > 0 && number <= program->id_count) {
        memcpy(id, program->ids[number - 1], MB_ROW_ID_SIZE);
    }
}

static void name_row(struct program *program, struct mb_record *record)
{
    static const uint8_t zeros[MB_ROW_ID_SIZE];
    int table = mb_profile_find(record->table);
    struct mb_identity identity;
    struct mb_digest *digest = NULL;

    if (table < 0 || record->kind != MB_RECORD_ROW ||
        memcmp(record->row_id, zeros, sizeof zeros) != 0 || program->id_count == ROWS_MAX ||
        !mb_identity_from_record(&mb_profile_tables[table], record, &identity)) {
        resolve(program, record->row_id);
        return;
    }
    digest = mb_digest_new();
    mb_identity_row_id(digest, &identity, record->copy, record->row_id);
    mb_digest_free(digest);
    memcpy(program->ids[program->id_count++], record->row_id, MB_ROW_ID_SIZE);
}

static void add_line(struct program *program, const char *line, size_t size)
{
    struct mb_record record;
    uint8_t references[MB_LIMIT_COLUMNS][MB_ROW_ID_SIZE];
    struct mb_error err;

    program->record_count++;
    if (mb_record_decode(line, size, &record, &err) != 0) {
        MB_IGNORE(mb_buf_append(&program->frame, line, size, &err));
        MB_IGNORE(mb_buf_append(&program->frame, "\n", 1, &err));
        return;
    }
    name_row(program, &record);
    for (size_t i = 0; i < record.register_count; i++) {
        struct mb_value *value = &record.registers[i].value;

        if (value->type == MB_VALUE_BLOB && value->size == MB_ROW_ID_SIZE) {
            memcpy(references[i], value->data, MB_ROW_ID_SIZE);
            resolve(program, references[i]);
            value->data = references[i];
        }
    }
    FUZZ_CHECK_OK(mb_record_encode(&record, &program->frame, &err), &err);
    mb_record_release(&record);
}

/* ---- the machine's own life ---- */

static void pull(struct program *program, const char *how)
{
    struct mb_pull_request request = {.heal = strchr(how, 'h') != NULL,
                                      .accept_deletes = strchr(how, 'a') != NULL};
    struct mb_pull_report report;
    struct mb_error err;

    if (program->pull_count++ < PULLS_MAX) {
        MB_IGNORE(world_pull(program->world, &request, &report, &err));
    }
}

static void push(struct program *program)
{
    struct mb_push_report report;
    struct mb_error err;

    if (program->pull_count++ < PULLS_MAX) {
        FUZZ_CHECK_OK(world_push(program->world, NULL, &report, &err), &err);
    }
}

static void edit(const struct program *program, const char *which)
{
    static const char *const edits[] = {
        "DELETE FROM observations WHERE title='edit 1'",
        "UPDATE observations SET project='mine', concepts='[\"x\"]' WHERE title='edit 2'",
        "DELETE FROM sdk_sessions WHERE content_session_id='edit-s'",
        "UPDATE sdk_sessions SET custom_title='mine', status='completed'"
        " WHERE content_session_id='edit-s'",
        "DELETE FROM user_prompts WHERE prompt_text='edit 1'",
        "UPDATE user_prompts SET prompt_text='edit 2, and then much more of it'"
        " WHERE prompt_text='edit 2'",
        "DELETE FROM observations WHERE title LIKE 'hostile%'",
        "UPDATE sdk_sessions SET project=NULL WHERE content_session_id LIKE 'hostile%'",
        "INSERT INTO schema_versions(version,applied_at) VALUES(999,'now')",
        "UPDATE session_summaries SET merged_into_project='q' WHERE request='edit 1'",
    };
    sqlite3 *db = NULL;

    FUZZ_CHECK(sqlite3_open_v2(program->world->db_path, &db, SQLITE_OPEN_READWRITE, NULL) ==
               SQLITE_OK);
    (void)sqlite3_exec(db, "PRAGMA foreign_keys=ON", NULL, NULL, NULL);
    for (; *which >= '0' && *which <= '9'; which++) {
        /* An edit that the rows as they stand do not allow is none. */
        (void)sqlite3_exec(db, edits[*which - '0'], NULL, NULL, NULL);
    }
    FUZZ_CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* ---- the program ---- */

static void start_machine(struct program *program, const char *name)
{
    uint8_t digest[MB_DIGEST_SIZE];

    mb_digest_sha256(name, strlen(name), digest);
    memcpy(program->machine, digest, sizeof program->machine);
    program->sequence = 0;
    program->entry_count = 0;
    start_segment(program);
}

static void note_change(struct program *program, const char *text, bool after_hash)
{
    struct change *one = &program->changes[program->change_count];
    char *end = NULL;

    if (program->change_count < CHANGES_MAX) {
        one->offset = strtoul(text, &end, 16);
        one->mask = (uint8_t)strtoul(end, NULL, 16);
        one->after_hash = after_hash;
        program->change_count++;
    }
}

static void run_line(struct program *program, const char *line, size_t size)
{
    const char *rest = line + 1;
    struct mb_buf empty = {0};
    struct mb_error err;

    switch (line[0]) {
    case '{': add_line(program, line, size); break;
    case '"': MB_IGNORE(mb_buf_append(&program->frame, rest, size - 1, &err)); break;
    case '/': end_frame(program); break;
    case 'S': put_segment(program); break;
    case 'H': put_head(program); break;
    case 'h':
        program->sequence++;
        put_head_text(program, rest, size - 1);
        break;
    case 'M': start_machine(program, rest); break;
    case '=':
        free(program->replaced);
        program->replaced = mb_alloc_text(rest);
        break;
    case 'x': note_change(program, rest, false); break;
    case 'y': note_change(program, rest, true); break;
    case 'N': program->is_left_out = true; break;
    case 'K': put(program, rest, &empty); break;
    case 'P': pull(program, rest); break;
    case 'U': push(program); break;
    case 'L': world_look(program->world); break;
    case 'T': program->world->now_ms += (int64_t)(strtoul(rest, NULL, 10) % 400) * 86400000; break;
    case 'E': edit(program, rest); break;
    default: break;
    }
}

/* Everything was read: then a second time nothing is new. */
static void check_repeatable(struct program *program)
{
    struct mb_pull_report report;
    struct mb_error err;
    char before[MB_DIGEST_HEX_SIZE];
    char after[MB_DIGEST_HEX_SIZE];

    MB_IGNORE(world_pull(program->world, NULL, &report, &err));
    world_check(program->world, true, before);
    FUZZ_CHECK_OK(world_pull(program->world, NULL, &report, &err), &err);
    world_check(program->world, true, after);
    FUZZ_CHECK(strcmp(before, after) == 0);
    FUZZ_CHECK(report.rows_inserted == 0 && report.rows_updated == 0 && report.rows_deleted == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct program program;
    char *line = NULL;
    size_t line_size = 0;

    memset(&program, 0, sizeof program);
    program.world = world_reset(false);
    mb_buf_init(&program.segment, MB_MIB);
    mb_buf_init(&program.frame, MB_MIB);
    start_machine(&program, "");
    while ((line = fuzz_part(&input, '\n', &line_size)) != NULL) {
        run_line(&program, line, line_size);
        free(line);
    }
    check_repeatable(&program);
    free(program.replaced);
    mb_buf_release(&program.segment);
    mb_buf_release(&program.frame);
    return 0;
}
