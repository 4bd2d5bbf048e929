/* SPDX-License-Identifier: MIT */
/* Files and stores as a whole: read, written, copied, put back. */
#include "alloc.h"
#include "assert.h"
#include "buf.h"
#include "file.h"
#include "limits.h"
#include "sim.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "banned.h"

/* In memory where there is such a place: a seed makes thousands of small files. */
const char *sim_disk_scratch(void)
{
    static char scratch[SIM_TEXT_MAX * 2];
    struct mb_error err;
    char *made = NULL;

    if (scratch[0] == '\0') {
        (void)snprintf(scratch, sizeof scratch, "/dev/shm/membridge-sim-XXXXXX");
        if (mkdtemp(scratch) == NULL) {
            MB_ASSERT(mb_file_make_temporary("membridge-sim-", &made, &err) == 0);
            MB_ASSERT(strlen(made) < sizeof scratch);
            (void)snprintf(scratch, sizeof scratch, "%s", made);
            free(made);
        }
    }
    return scratch;
}

bool sim_disk_read(const char *path, struct sim_image *image)
{
    FILE *in = fopen(path, "rb");
    bool is_read = false;

    image->data = NULL;
    image->size = 0;
    if (in == NULL) {
        return false;
    }
    if (fseek(in, 0, SEEK_END) == 0) {
        long size = ftell(in);

        rewind(in);
        image->size = size < 0 ? 0 : (size_t)size;
        image->data = mb_alloc(image->size);
        is_read = size >= 0 && fread(image->data, 1, image->size, in) == image->size;
    }
    (void)fclose(in);
    return is_read;
}

/* Not mb_file_replace(): no fsync, so that a seed takes milliseconds. */
bool sim_disk_write(const char *path, const struct sim_image *image)
{
    FILE *out = fopen(path, "wb");
    bool is_written;

    if (out == NULL) {
        return false;
    }
    is_written = fwrite(image->data, 1, image->size, out) == image->size;
    return fclose(out) == 0 && is_written;
}

void sim_disk_copy_folder(const char *from, const char *to)
{
    DIR *folder = opendir(from);
    struct dirent *entry;

    if (folder == NULL) {
        return;
    }
    MB_ASSERT(mkdir(to, 0700) == 0);
    while ((entry = readdir(folder)) != NULL) {
        char *source = mb_file_join(from, entry->d_name);
        char *target = mb_file_join(to, entry->d_name);
        struct sim_image image = {0};

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            ;
        } else if (mb_file_is_folder(source)) {
            sim_disk_copy_folder(source, target);
        } else {
            MB_ASSERT(sim_disk_read(source, &image) && sim_disk_write(target, &image));
        }
        free(image.data);
        free(source);
        free(target);
    }
    (void)closedir(folder);
}

void sim_disk_remove(const char *path)
{
    struct mb_error err;

    if (mb_file_is_folder(path)) {
        MB_ASSERT(mb_file_remove_tree(path, &err) == 0);
    } else {
        MB_ASSERT(mb_file_remove(path, &err) == 0);
    }
}

/* ---- stores ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int note_key(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    struct sim_store_copy *copy = context;

    (void)err;
    copy->keys = mb_alloc_resize(copy->keys, copy->count + 1, sizeof *copy->keys);
    copy->keys[copy->count++] = mb_alloc_text(object->key);
    return 0;
}

void sim_store_save(struct mb_store *store, struct sim_store_copy *copy)
{
    struct mb_error err;

    sim_store_forget(copy);
    MB_ASSERT(mb_store_list(store, "", note_key, copy, &err) == 0);
    if (copy->count > 0) {
        qsort(copy->keys, copy->count, sizeof *copy->keys, compare_keys);
    }
    copy->bodies = mb_alloc_zeroed(copy->count + 1, sizeof *copy->bodies);
    for (size_t i = 0; i < copy->count; i++) {
        struct mb_buf buf;

        mb_buf_init(&buf, MB_LIMIT_SEGMENT_BYTES);
        MB_ASSERT(mb_store_get(store, copy->keys[i], MB_LIMIT_SEGMENT_BYTES, &buf, &err) == 0);
        copy->bodies[i].data = mb_buf_take(&buf, &copy->bodies[i].size);
        mb_buf_release(&buf);
    }
    copy->is_taken = true;
}

/* Everything that is there goes, but for the marker; what the copy holds comes back. */
void sim_store_restore(struct mb_store *store, const struct sim_store_copy *copy)
{
    struct sim_store_copy present = {0};
    struct mb_error err;

    MB_ASSERT(mb_store_list(store, "", note_key, &present, &err) == 0);
    for (size_t i = 0; i < present.count; i++) {
        if (strcmp(present.keys[i], MB_STORE_MARKER_KEY) != 0) {
            MB_ASSERT(mb_store_delete(store, present.keys[i], &err) == 0);
        }
    }
    for (size_t i = 0; i < copy->count; i++) {
        MB_ASSERT(mb_store_put(store, copy->keys[i], copy->bodies[i].data, copy->bodies[i].size,
                               &err) == 0);
    }
    sim_store_forget(&present);
}

void sim_store_forget(struct sim_store_copy *copy)
{
    for (size_t i = 0; i < copy->count; i++) {
        free(copy->keys[i]);
        if (copy->bodies != NULL) {
            free(copy->bodies[i].data);
        }
    }
    free(copy->keys);
    free(copy->bodies);
    memset(copy, 0, sizeof *copy);
}
