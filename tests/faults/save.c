/* SPDX-License-Identifier: MIT */
#include "save.h"

#include "alloc.h"
#include "assert.h"
#include "file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct saved { /* a file or an object */
    char *name;
    uint8_t *data;
    size_t size;
};

struct save {
    struct saved databases[FLEET_MACHINES_MAX];
    struct saved states[FLEET_MACHINES_MAX]; /* data NULL: there was none */
    struct saved logs[FLEET_MACHINES_MAX];   /* the states'; likewise */
    struct saved *objects;
    size_t object_count;
};

static void write_in_place(const struct saved *saved)
{
    FILE *out = fopen(saved->name, "wb");

    MB_ASSERT(out != NULL && fwrite(saved->data, 1, saved->size, out) == saved->size);
    MB_ASSERT(fclose(out) == 0);
}

struct save *save_new(struct fleet *fleet)
{
    struct save *save = mb_alloc_zeroed(1, sizeof *save);
    struct fleet_keys keys = fleet_keys(fleet, "");

    for (size_t i = 0; i < fleet->count; i++) {
        struct fleet_machine *machine = fleet->machines[i];
        struct saved *state = &save->states[i];
        char *wal = mb_alloc_format("%s-wal", machine->db_path);

        MB_ASSERT(!mb_file_exists(wal));
        save->databases[i].name = mb_alloc_text(machine->db_path);
        save->databases[i].data = fleet_read_file(machine->db_path, &save->databases[i].size);
        state->name = mb_file_join(machine->state_dir, "state.db");
        state->data = fleet_read_file(state->name, &state->size);
        save->logs[i].name = mb_alloc_format("%s-wal", state->name);
        save->logs[i].data = fleet_read_file(save->logs[i].name, &save->logs[i].size);
        free(wal);
    }
    save->objects = mb_alloc_zeroed(keys.count + 1, sizeof *save->objects);
    for (size_t i = 0; i < keys.count; i++) {
        save->objects[i].name = mb_alloc_text(keys.keys[i]);
        save->objects[i].data = fleet_get(fleet, keys.keys[i], &save->objects[i].size);
    }
    save->object_count = keys.count;
    fleet_keys_free(&keys);
    return save;
}

void save_restore(const struct save *save, struct fleet *fleet)
{
    static const char *const sides[] = {"-wal", "-shm", "-journal"};
    struct fleet_keys keys = fleet_keys(fleet, "");
    struct mb_error err;

    for (size_t i = 0; i < fleet->count; i++) {
        struct fleet_machine *machine = fleet->machines[i];
        char *backups = mb_file_join(machine->folder, "backups");

        for (size_t j = 0; j < sizeof sides / sizeof sides[0]; j++) {
            char *side = mb_alloc_format("%s%s", machine->db_path, sides[j]);

            MB_ASSERT(mb_file_remove(side, &err) == 0);
            free(side);
        }
        MB_ASSERT(mb_file_remove_tree(machine->state_dir, &err) == 0);
        MB_ASSERT(mb_file_remove_tree(backups, &err) == 0);
        write_in_place(&save->databases[i]);
        if (save->states[i].data != NULL) {
            MB_ASSERT(mb_file_make_folder(machine->state_dir, 0700, &err) == 0);
            write_in_place(&save->states[i]);
        }
        if (save->logs[i].data != NULL) {
            write_in_place(&save->logs[i]);
        }
        free(backups);
    }
    for (size_t i = 0; i < keys.count; i++) {
        fleet_delete(fleet, keys.keys[i]);
    }
    fleet_keys_free(&keys);
    for (size_t i = 0; i < save->object_count; i++) {
        fleet_put(fleet, save->objects[i].name, save->objects[i].data, save->objects[i].size);
    }
}

static void release(struct saved *saved)
{
    free(saved->name);
    free(saved->data);
}

void save_free(struct save *save)
{
    for (size_t i = 0; i < FLEET_MACHINES_MAX; i++) {
        release(&save->databases[i]);
        release(&save->states[i]);
        release(&save->logs[i]);
    }
    for (size_t i = 0; i < save->object_count; i++) {
        release(&save->objects[i]);
    }
    free(save->objects);
    free(save);
}
