/* SPDX-License-Identifier: MIT */
/*
 * The judge must be able to fail: in each test a world is right, then one thing is made wrong
 * behind its back, and the judge must say what. No engine takes part.
 */
#include "check.h"
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

static struct sim_script script = {.seed = 7};

/* Two machines with the same rows, all of them captured and published. */
static struct sim_world *make_world(enum sim_version second)
{
    static const enum sim_event_what uses[] = {
        SIM_EVENT_NEWSESS, SIM_EVENT_NEWOBS,    SIM_EVENT_NEWOBS, SIM_EVENT_NEWSUM,
        SIM_EVENT_NEWSUM,  SIM_EVENT_NEWPROMPT, SIM_EVENT_MANUAL, SIM_EVENT_NEWOBS,
    };
    struct sim_world *world = sim_world_new(&script, NULL);
    struct sim_machine *a = sim_world_add(world, second, true, NULL);
    struct sim_image image = {0};
    struct sim_random random;

    sim_random_init(&random, 3);
    for (size_t i = 0; i < 4 * sizeof uses / sizeof uses[0]; i++) {
        world->clock_ms += 1000;
        (void)sim_edit(a, uses[i % (sizeof uses / sizeof uses[0])], &random);
    }
    sim_disaster_image(a, &image);
    (void)sim_world_add(world, second, true, &image);
    free(image.data);
    for (size_t i = 0; i < 2; i++) {
        struct sim_machine *machine = world->machines[i];

        machine->operation_count++;
        sim_db_count(machine, machine->before);
        sim_ledger_captured(machine);
        sim_ledger_sent(machine);
    }
    return world;
}

static bool accuses(struct sim_world *world, const char *words)
{
    sim_judge(world);
    for (size_t i = 0; i < world->error_count; i++) {
        if (strstr(world->errors[i], words) != NULL) {
            return true;
        }
    }
    for (size_t i = 0; i < world->error_count; i++) {
        fprintf(stderr, "the judge said: %s\n", world->errors[i]);
    }
    return false;
}

static void judge_after(const char *sql, const char *words)
{
    struct sim_world *world = make_world(SIM_13_25_3);
    struct sim_machine *machine = world->machines[1];

    sim_judge(world);
    CHECK_INT(world->error_count, 0);
    (void)sim_db_open(machine);
    CHECK_INT(sqlite3_exec(machine->db, sql, NULL, NULL, NULL), SQLITE_OK);
    CHECK(accuses(world, words));
    sim_world_free(world);
}

TEST(a_world_in_order_is_not_accused)
{
    for (int i = 0; i < SIM_VERSIONS; i++) {
        struct sim_world *world = make_world((enum sim_version)i);

        sim_judge(world);
        CHECK_INT(world->error_count, 0);
        CHECK(world->ledger->row_count > 20);
        sim_world_free(world);
    }
}

TEST(a_lost_observation_is_noticed)
{
    judge_after("DELETE FROM observations WHERE id=2", "is lost at B");
}

TEST(a_lost_summary_is_noticed)
{
    judge_after("DELETE FROM session_summaries WHERE id=1", "is lost at B");
}

TEST(a_lost_prompt_is_noticed)
{
    judge_after("DELETE FROM user_prompts WHERE id=1", "is lost at B");
}

TEST(a_lost_session_is_noticed)
{
    judge_after("PRAGMA foreign_keys=OFF; DELETE FROM sdk_sessions WHERE id=1", "is lost at B");
}

TEST(a_row_that_is_there_twice_is_noticed)
{
    judge_after("INSERT INTO"
                " session_summaries(memory_session_id,project,request,created_at,created_at_epoch)"
                " SELECT memory_session_id,project,request,created_at,created_at_epoch FROM"
                " session_summaries WHERE id=1",
                "is there twice at B");
}

TEST(a_row_that_nobody_wrote_is_noticed)
{
    judge_after(
        "INSERT INTO"
        " session_summaries(memory_session_id,project,request,created_at,created_at_epoch)"
        " SELECT memory_session_id,project,request,created_at,5 FROM session_summaries WHERE id=1",
        "a row that nobody wrote at B");
}

TEST(a_changed_payload_is_noticed)
{
    judge_after("UPDATE observations SET narrative='other' WHERE id=2",
                "has another narrative at B");
    judge_after("UPDATE user_prompts SET prompt_text=NULL||'x' WHERE 0; UPDATE user_prompts SET"
                " prompt_number=77 WHERE id=1",
                "has another prompt_number at B");
}

TEST(a_payload_that_was_lost_to_null_is_noticed)
{
    judge_after("UPDATE observations SET metadata=NULL WHERE id=2", "has another metadata at B");
}

TEST(registers_that_differ_are_noticed)
{
    judge_after("UPDATE sdk_sessions SET custom_title='x' WHERE id=1", "differs: at B");
    judge_after("UPDATE observations SET merged_into_project='x' WHERE id=1", "differs: at B");
}

TEST(a_child_on_the_wrong_session_is_noticed)
{
    judge_after(
        "UPDATE observations SET memory_session_id=(SELECT memory_session_id FROM sdk_sessions"
        " WHERE memory_session_id IS NOT observations.memory_session_id AND memory_session_id"
        " IS NOT NULL)"
        " WHERE id=(SELECT max(id) FROM observations)",
        "and not on its session");
    judge_after("UPDATE user_prompts SET session_db_id=NULL WHERE id=1",
                "hangs on '' and not on its session");
}

TEST(a_child_without_parent_is_noticed)
{
    judge_after(
        "PRAGMA foreign_keys=OFF; UPDATE observations SET memory_session_id='nobody' WHERE id=1",
        "a child without its parent at B");
}

TEST(a_full_text_index_that_was_left_behind_is_noticed)
{
    judge_after("DROP TRIGGER observations_au; UPDATE observations SET title=title||'x' WHERE id=1",
                "full-text index of observations does not agree");
    judge_after("INSERT INTO user_prompts_fts(user_prompts_fts) VALUES('delete-all')",
                "full-text index of user_prompts");
}

TEST(a_deleted_row_that_comes_back_is_noticed)
{
    struct sim_world *world = make_world(SIM_13_25_3);
    struct sim_random random;

    sim_random_init(&random, 5);
    CHECK(sim_edit(world->machines[0], SIM_EVENT_DEL, &random));
    world->machines[0]->operation_count++;
    sim_db_count(world->machines[0], world->machines[0]->before);
    sim_ledger_captured(world->machines[0]);
    sim_ledger_sent(world->machines[0]);
    CHECK(accuses(world, "is back from the dead at B"));
    sim_world_free(world);
}

TEST(a_value_that_was_replaced_and_stands_again_is_noticed)
{
    static const char title[] = "UPDATE sdk_sessions SET custom_title='v900' WHERE id=1";
    struct sim_world *world = make_world(SIM_13_25_3);
    struct sim_machine *a = world->machines[0];

    for (size_t i = 0; i < 2; i++) {
        (void)sim_db_open(world->machines[i]);
        CHECK_INT(sqlite3_exec(world->machines[i]->db, title, NULL, NULL, NULL), SQLITE_OK);
    }
    sim_ledger_changed(a, 0, "v900");
    a->operation_count++;
    sim_db_count(a, a->before);
    sim_ledger_captured(a);
    sim_ledger_sent(a);
    CHECK(accuses(world, "has a stale custom_title at A"));
    sim_world_free(world);
}

TEST(digests_that_differ_are_noticed)
{
    struct sim_world *world = make_world(SIM_13_25_3);

    for (size_t i = 0; i < 2; i++) {
        world->machines[i]->status.is_known = true;
        world->machines[i]->status.digest[0] = (char)('a' + (char)i);
    }
    CHECK(accuses(world, "digests differ"));
    sim_world_free(world);
}

TEST(records_that_never_went_out_are_noticed)
{
    struct sim_world *world = make_world(SIM_13_25_3);

    world->machines[1]->status.is_known = true;
    world->machines[1]->status.pending_out = 3;
    CHECK(accuses(world, "3 records still wait to go out at B"));
    sim_world_free(world);
}

TEST(a_journal_that_stays_in_flight_is_noticed)
{
    struct sim_world *world = make_world(SIM_13_25_3);

    world->machines[1]->status.is_known = true;
    world->machines[1]->status.in_flight = 2;
    CHECK(accuses(world, "2 records of the journal are still in flight at B"));
    sim_world_free(world);
}

TEST(a_delete_that_nobody_made_is_noticed)
{
    struct sim_world *world = make_world(SIM_13_25_3);

    world->machines[1]->status.is_known = true;
    world->machines[1]->status.tombstones = 1;
    CHECK(accuses(world, "1 tombstones at B, of 0 rows that were deleted"));
    sim_world_free(world);
}

TEST(duplicates_that_are_all_lost_are_noticed)
{
    struct sim_world *world = make_world(SIM_13_25_3);
    struct sim_ledger *ledger = world->ledger;

    for (size_t i = 0; i < ledger->row_count; i++) {
        ledger->rows[i].twins = ledger->rows[i].table == SIM_SUMMARY ? 1 : 0;
        ledger->rows[i].cleaned_by = ledger->rows[i].twins != 0 ? 2 : 0; /* may be gone at B */
    }
    sim_judge(world);
    CHECK_INT(world->error_count, 0);
    (void)sim_db_open(world->machines[1]);
    CHECK_INT(
        sqlite3_exec(world->machines[1]->db, "DELETE FROM session_summaries", NULL, NULL, NULL),
        SQLITE_OK);
    CHECK(accuses(world, "all duplicates in group 1 are lost at B"));
    sim_world_free(world);
}

TEST(a_mass_delete_that_travelled_is_noticed)
{
    struct sim_world *world = make_world(SIM_13_25_3);
    struct sim_machine *a = world->machines[0];
    struct sim_random random;
    struct sim_image image = {0};

    sim_random_init(&random, 9);
    CHECK(sim_edit(a, SIM_EVENT_BULK, &random));
    a->operation_count++;
    sim_db_count(a, a->before);
    sim_ledger_captured(a);
    sim_ledger_sent(a);
    CHECK(sim_edit(a, SIM_EVENT_MASSDEL, &random));
    sim_disaster_image(a, &image); /* B has lost the same rows */
    sim_db_close(world->machines[1]);
    sim_disk_remove(world->machines[1]->db_path);
    CHECK(sim_disk_write(world->machines[1]->db_path, &image));
    free(image.data);
    CHECK(accuses(world, "is lost at B"));
    sim_world_free(world);
}

TEST(a_story_is_read_as_it_was_printed)
{
    static struct sim_script made;
    static struct sim_script back;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    sim_script_make(&made, 42, SIM_ALL_KINDS);
    sim_script_print(out, &made);
    (void)fclose(out);
    CHECK(sim_script_read(&back, text));
    CHECK_INT(back.seed, 42);
    CHECK_INT(back.kinds, made.kinds);
    CHECK_INT(back.event_count, made.event_count);
    for (size_t i = 0; i < made.event_count; i++) {
        CHECK(made.events[i].what == back.events[i].what &&
              made.events[i].machine == back.events[i].machine &&
              made.events[i].seed == back.events[i].seed);
    }
    free(text);
}

int main(int argc, char **argv)
{
    static const struct check_test tests[] = {
        TEST_ROW(a_world_in_order_is_not_accused),
        TEST_ROW(a_lost_observation_is_noticed),
        TEST_ROW(a_lost_summary_is_noticed),
        TEST_ROW(a_lost_prompt_is_noticed),
        TEST_ROW(a_lost_session_is_noticed),
        TEST_ROW(a_row_that_is_there_twice_is_noticed),
        TEST_ROW(a_row_that_nobody_wrote_is_noticed),
        TEST_ROW(a_changed_payload_is_noticed),
        TEST_ROW(a_payload_that_was_lost_to_null_is_noticed),
        TEST_ROW(registers_that_differ_are_noticed),
        TEST_ROW(a_child_on_the_wrong_session_is_noticed),
        TEST_ROW(a_child_without_parent_is_noticed),
        TEST_ROW(a_full_text_index_that_was_left_behind_is_noticed),
        TEST_ROW(a_deleted_row_that_comes_back_is_noticed),
        TEST_ROW(a_value_that_was_replaced_and_stands_again_is_noticed),
        TEST_ROW(digests_that_differ_are_noticed),
        TEST_ROW(records_that_never_went_out_are_noticed),
        TEST_ROW(a_journal_that_stays_in_flight_is_noticed),
        TEST_ROW(a_delete_that_nobody_made_is_noticed),
        TEST_ROW(duplicates_that_are_all_lost_are_noticed),
        TEST_ROW(a_mass_delete_that_travelled_is_noticed),
        TEST_ROW(a_story_is_read_as_it_was_printed),
    };
    int status;

    if (!sim_db_prepare(SIM_FIXTURES)) {
        return 1;
    }
    status = check_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
    sim_disk_remove(sim_disk_scratch());
    return status;
}
