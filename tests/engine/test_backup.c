/* SPDX-License-Identifier: MIT */
/* Backups: made before what cannot be taken back, under their name only when they are whole, and
 * the newest ones are the ones that stay. */
#include "alloc.h"
#include "check.h"
#include "file.h"
#include "fleet.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define T0 1770000000000
#define DAY_MS ((int64_t)86400000)

struct names { /* of the backups; "" at first */
    char all[1000];
    int count;
};

static int on_name(void *context, const char *name, struct mb_error *err)
{
    struct names *names = context;

    (void)err;
    if (mb_text_has_suffix(name, ".db")) {
        size_t used = strlen(names->all);
        CHECK(used + strlen(name) + 2 < sizeof names->all);
        memcpy(names->all + used, name, strlen(name) + 1);
        names->count++;
    }
    return 0;
}

static char *backup_folder(const struct fleet_machine *machine)
{
    return mb_file_join(machine->folder, "backups");
}

static struct names list_backups(const struct fleet_machine *machine)
{
    char *folder = backup_folder(machine);
    struct names names = {"", 0};
    struct mb_error err;

    if (mb_file_exists(folder)) {
        CHECK_OK(mb_file_list(folder, on_name, &names, &err), &err);
    }
    free(folder);
    return names;
}

static void pull_with_backups(struct fleet_machine *machine)
{
    struct mb_engine_config config = fleet_config(machine);
    struct mb_pull_request request = {0};
    struct mb_engine *engine = NULL;
    struct mb_error err;
    char *folder = backup_folder(machine);

    config.backup_dir = folder;
    config.backup_count_max = 2;
    fleet_close_db(machine);
    CHECK_OK(mb_engine_open(&config, &engine, &err), &err);
    CHECK_OK(mb_engine_pull(engine, &request, &machine->pulled, &err), &err);
    mb_engine_close(engine);
    free(folder);
}

/* The second machine has read the first one's `count` observations, with a backup before. */
static struct fleet *make_pair(int count)
{
    struct fleet *fleet = fleet_new(2);

    fleet_session(fleet->machines[0], "s", "m", "p");
    fleet_observations(fleet->machines[0], "m", T0, count, "x");
    fleet_push(fleet->machines[0], NULL);
    pull_with_backups(fleet->machines[1]);
    CHECK_INT(list_backups(fleet->machines[1]).count, 1);
    return fleet;
}

TEST(of_many_backups_the_newest_stay)
{
    struct fleet *fleet = make_pair(1);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct names first = list_backups(b);

    for (int day = 0; day < 4; day++) {
        struct names names;
        fleet_summary(a, "m", T0 + day, "another day");
        fleet_push(a, NULL);
        b->now_ms += DAY_MS;
        pull_with_backups(b);
        names = list_backups(b);
        CHECK_INT(names.count, 2);
        CHECK_INT(strstr(names.all, first.all) != NULL, day == 0);
    }
    fleet_free(fleet);
}

TEST(many_deletes_that_were_meant_are_done_after_a_backup)
{
    struct fleet *fleet = make_pair(30);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];
    struct mb_push_request accept = {.accept_deletes = true};

    fleet_sql(a, "DELETE FROM observations");
    fleet_push(a, &accept);
    CHECK_INT(a->pushed.deletes_sent, 30);
    b->now_ms += 5000;
    pull_with_backups(b);
    CHECK_INT(b->pulled.rows_deleted, 30);
    CHECK(strstr(list_backups(b).all, "mass-delete") != NULL);
    fleet_free(fleet);
}

static int pages_seen;

static int look_at_names(void *context, const char *name, struct mb_error *err)
{
    (void)err;
    if (strcmp(name, "backup-page") == 0) {
        pages_seen++;
        CHECK_INT(list_backups(context).count, 0);
    }
    return 0;
}

TEST(a_backup_has_its_name_only_when_it_is_whole)
{
    struct fleet *fleet = fleet_new(2);
    struct fleet_machine *a = fleet->machines[0];
    struct fleet_machine *b = fleet->machines[1];

    fleet_session(a, "s", "m", "p");
    fleet_push(a, NULL);
    fleet_session(b, "t", "n", "p");
    fleet_sql(b, "UPDATE sdk_sessions SET user_prompt=hex(zeroblob(3000000))");
    b->env.step = look_at_names;
    pages_seen = 0;
    pull_with_backups(b);
    CHECK(pages_seen > 0);
    CHECK_INT(list_backups(b).count, 1);
    fleet_free(fleet);
}

TEST_LIST(TEST_ROW(of_many_backups_the_newest_stay),
          TEST_ROW(many_deletes_that_were_meant_are_done_after_a_backup),
          TEST_ROW(a_backup_has_its_name_only_when_it_is_whole));
