/* SPDX-License-Identifier: MIT */
/*
 * What befalls databases, states, disks and stores. Each tells the ledger what can no longer be
 * asked for. Once the store has gone back, no further disaster comes: what two of them together
 * lose is beyond any promise.
 */
#include "assert.h"
#include "sim_traps.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

/* The database as one file, with nothing left in a WAL. */
void sim_disaster_image(struct sim_machine *machine, struct sim_image *image)
{
    (void)sim_db_open(machine);
    (void)sqlite3_exec(machine->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    sim_db_close(machine);
    free(image->data);
    MB_ASSERT(sim_disk_read(machine->db_path, image));
}

static void remove_beside(const struct sim_machine *machine, const char *suffix)
{
    char path[sizeof machine->db_path + 16];

    (void)snprintf(path, sizeof path, "%s%s", machine->db_path, suffix);
    sim_disk_remove(path);
}

/* Another file under the same name. */
static void replace_file(struct sim_machine *machine, const struct sim_image *image)
{
    char path[sizeof machine->db_path + 16];

    sim_db_close(machine);
    (void)snprintf(path, sizeof path, "%s.restored", machine->db_path);
    MB_ASSERT(sim_disk_write(path, image));
    MB_ASSERT(rename(path, machine->db_path) == 0);
    remove_beside(machine, "-wal");
    remove_beside(machine, "-shm");
    remove_beside(machine, "-journal");
}

void sim_disaster_replace(struct sim_machine *machine, const struct sim_image *image)
{
    char path[sizeof machine->db_path + 16];
    sqlite3 *source = NULL;
    sqlite3_backup *backup;

    (void)snprintf(path, sizeof path, "%s.source", machine->db_path);
    MB_ASSERT(sim_disk_write(path, image));
    MB_ASSERT(sqlite3_open_v2(path, &source, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    backup = sqlite3_backup_init(sim_db_open(machine), "main", source, "main");
    MB_ASSERT(backup != NULL && sqlite3_backup_step(backup, -1) == SQLITE_DONE);
    MB_ASSERT(sqlite3_backup_finish(backup) == SQLITE_OK);
    MB_ASSERT(sqlite3_close(source) == SQLITE_OK);
    sim_disk_remove(path);
    remove_beside(machine, ".source-wal");
    remove_beside(machine, ".source-shm");
    sim_db_close(machine);
}

static void take_snapshot(struct sim_machine *machine, struct sim_snapshot *snapshot,
                          bool with_state)
{
    sim_db_sequences(machine, snapshot->sequences);
    sim_disaster_image(machine, &snapshot->database);
    if (with_state) {
        (void)snprintf(snapshot->folder, sizeof snapshot->folder, "%s/kept", machine->folder);
        sim_disk_remove(snapshot->folder);
        sim_disk_copy_folder(machine->state_dir, snapshot->folder);
    }
    snapshot->version = machine->version;
    memcpy(snapshot->seen, machine->seen, sizeof snapshot->seen);
    memcpy(snapshot->pending, machine->pending, sizeof snapshot->pending);
    snapshot->pending_count = machine->pending_count;
    snapshot->is_taken = true;
}

/* What only the lost state knew counts no longer, but for what was published. */
static void forget_seen(struct sim_machine *machine, const sim_counts also)
{
    for (size_t i = 0; i < SIM_ROWS_MAX; i++) {
        machine->seen[i] = machine->sent[i];
        if (also != NULL && also[i] > machine->seen[i]) {
            machine->seen[i] = also[i];
        }
    }
}

/* A restore in place that differs from what was captured in register values alone cannot be
 * noticed. */
static void doubt_registers(struct sim_machine *machine, const int64_t sequences[static SIM_TABLES])
{
    struct sim_ledger *ledger = machine->world->ledger;

    for (int i = 0; i < SIM_TABLES; i++) {
        if (sequences[i] < machine->sequences[i]) {
            return;
        }
    }
    for (size_t i = 0; i < ledger->row_count; i++) {
        ledger->rows[i].is_register_unsure = true;
    }
}

static bool restore_database(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_snapshot *backup = &machine->backup;
    bool is_in_place = sim_random_chance(random, 50);
    sim_counts there;

    if (!backup->is_taken || sim_random_chance(random, 30) || machine->world->is_wiped) {
        take_snapshot(machine, backup, false);
        sim_log(machine->world, "      (a copy is kept)");
        return true;
    }
    if (is_in_place) {
        doubt_registers(machine, backup->sequences);
        sim_disaster_replace(machine, &backup->database);
        machine->is_restored = true;
    } else {
        replace_file(machine, &backup->database);
    }
    machine->version = backup->version;
    sim_db_count(machine, there);
    sim_trap_replaced(machine, is_in_place ? SIM_TRAP_RESTORED_IN_PLACE : SIM_TRAP_REPLACED,
                      backup->sequences, there);
    sim_ledger_forget(machine, SIM_LOSS_DATABASE);
    sim_log(machine->world, "      (restored %s)", is_in_place ? "in place" : "as another file");
    for (unsigned i = sim_random_chance(random, 60) ? sim_random_below(random, 7) : 0; i > 0; i--) {
        (void)sim_edit(machine, SIM_EVENT_NEWOBS, random);
    }
    return true;
}

/* claude-mem was installed anew. */
static bool reinstall(struct sim_machine *machine)
{
    static const int64_t none[SIM_TABLES] = {0};
    sim_counts there = {0};

    if (machine->world->is_wiped) {
        return false;
    }
    replace_file(machine, sim_db_template(machine->version, machine->is_wal));
    sim_trap_replaced(machine, SIM_TRAP_REINSTALLED, none, there);
    sim_ledger_forget(machine, SIM_LOSS_DATABASE);
    return true;
}

static bool lose_state(struct sim_machine *machine)
{
    if (machine->world->is_wiped) {
        return false;
    }
    sim_trap_state_lost(machine);
    sim_disk_remove(machine->state_dir);
    sim_ledger_forget(machine, SIM_LOSS_STATE);
    forget_seen(machine, NULL);
    return true;
}

static bool roll_back(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_snapshot *rollback = &machine->rollback;
    struct sim_ledger *ledger = machine->world->ledger;

    if (!rollback->is_taken || sim_random_chance(random, 50) || machine->world->is_wiped) {
        take_snapshot(machine, rollback, true);
        sim_log(machine->world, "      (the machine is kept)");
        return true;
    }
    replace_file(machine, &rollback->database);
    machine->version = rollback->version;
    sim_disk_remove(machine->state_dir);
    sim_disk_copy_folder(rollback->folder, machine->state_dir);
    sim_ledger_forget(machine, SIM_LOSS_STATE);
    forget_seen(machine, rollback->seen);
    for (size_t i = 0; i < rollback->pending_count; i++) {
        struct sim_row *row = &ledger->rows[rollback->pending[i].row];

        row->is_unsure = row->is_unsure || !rollback->pending[i].is_change;
        row->is_register_unsure = true;
    }
    sim_trap(machine->world, SIM_TRAP_ROLLED_BACK);
    sim_log(machine->world, "      (the machine is rolled back)");
    return true;
}

static bool clone_machine(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_world *world = machine->world;
    struct sim_ledger *ledger = world->ledger;
    struct sim_image image = {0};
    struct sim_machine *twin;

    if (world->machine_count >= 6) {
        return false;
    }
    sim_disaster_image(machine, &image);
    twin = sim_world_add(world, machine->version, machine->is_wal, &image);
    free(image.data);
    sim_disk_copy_folder(machine->state_dir, twin->state_dir);
    if (sim_random_chance(random, 60)) {
        memcpy(twin->env.machine_id, machine->env.machine_id, sizeof twin->env.machine_id);
    }
    sim_trap(world, SIM_TRAP_DISK_CLONED);
    twin->is_replaced = true;
    twin->fetched_ever = machine->fetched_ever;
    twin->pulled_ms = machine->pulled_ms;
    twin->stub_count = machine->stub_count;
    twin->session_count = machine->session_count;
    twin->skew_ms = machine->skew_ms;
    twin->fixed_ms = machine->fixed_ms;
    twin->has_worker = machine->has_worker;
    twin->is_restored = machine->is_restored;
    twin->operation_count = machine->operation_count;
    memcpy(twin->seen, machine->seen, sizeof twin->seen);
    memcpy(twin->sent, machine->sent, sizeof twin->sent);
    memcpy(twin->sequences, machine->sequences, sizeof twin->sequences);
    memcpy(twin->pending, machine->pending, sizeof twin->pending);
    twin->pending_count = machine->pending_count;
    for (size_t i = 0; i < machine->pending_count; i++) {
        ledger->rows[machine->pending[i].row].is_register_unsure |=
            machine->pending[i].is_change && !machine->pending[i].is_captured;
    }
    for (size_t i = 0; i < ledger->row_count; i++) {
        struct sim_row *row = &ledger->rows[i];

        row->made_by |= (row->made_by >> machine->index & 1u) << twin->index;
        row->cleaned_by |= (row->cleaned_by >> machine->index & 1u) << twin->index;
    }
    /* Its database is another file than its state knows: healed first, whatever was deleted. */
    sim_ledger_forget(twin, SIM_LOSS_DATABASE);
    return true;
}

/* The store is what it was when the copy was made, or empty. */
static bool restore_store(struct sim_machine *machine, struct sim_random *random)
{
    struct sim_world *world = machine->world;
    static sim_counts held;
    static sim_counts here;
    bool is_any_gone = false;

    if (!world->store_copy.is_taken && sim_random_chance(random, 60)) {
        sim_store_save(world->store, &world->store_copy);
        sim_log(world, "      (a copy of the store is kept)");
        return true;
    }
    sim_world_calm(world);
    sim_store_restore(world->store, &world->store_copy);
    world->is_wiped = true;
    sim_trap_store_back(world, !world->store_copy.is_taken);
    sim_log(world, "      (the store is %s)", world->store_copy.is_taken ? "what it was" : "empty");
    memset(held, 0, sizeof held);
    for (size_t k = 0; k < world->machine_count; k++) {
        if (world->machines[k]->is_gone) {
            is_any_gone = true;
            continue;
        }
        sim_db_count(world->machines[k], here);
        for (size_t i = 0; i < SIM_ROWS_MAX; i++) {
            held[i] = here[i] > held[i] ? here[i] : held[i];
        }
        for (size_t i = 0; i < world->ledger->row_count; i++) {
            struct sim_row *row = &world->ledger->rows[i];

            /* A tombstone that not every machine knows may have gone with the store. */
            row->is_unsure = row->is_unsure ||
                             (row->is_deleted && (here[i] > 0 || world->machines[k]->seen[i] == 0));
        }
    }
    /* The changes of a machine that is gone went with the store. */
    for (size_t i = 0; is_any_gone && i < world->ledger->row_count; i++) {
        world->ledger->rows[i].is_register_unsure = true;
    }
    for (size_t k = 0; k < world->machine_count; k++) {
        for (size_t i = 0; i < SIM_ROWS_MAX; i++) {
            struct sim_machine *other = world->machines[k];

            other->seen[i] = other->seen[i] < held[i] ? other->seen[i] : held[i];
            other->sent[i] = other->sent[i] < held[i] ? other->sent[i] : held[i];
        }
    }
    return true;
}

bool sim_disaster(struct sim_machine *machine, enum sim_event_what what, struct sim_random *random)
{
    struct sim_world *world = machine->world;

    switch ((int)what) {
    case SIM_EVENT_DBRESTORE: return restore_database(machine, random);
    case SIM_EVENT_REINSTALL: return reinstall(machine);
    case SIM_EVENT_UPGRADE: return sim_upgrade(machine);
    case SIM_EVENT_STATELOSS: return lose_state(machine);
    case SIM_EVENT_VM: return roll_back(machine, random);
    case SIM_EVENT_CLONE: return clone_machine(machine, random);
    case SIM_EVENT_STORERESTORE: return restore_store(machine, random);
    case SIM_EVENT_GONE:
        if (world->is_wiped || sim_world_living_count(world) <= 2) {
            return false;
        }
        sim_db_close(machine);
        machine->is_gone = true;
        return true;
    default: return false;
    }
}
