/* SPDX-License-Identifier: MIT */
/* The verdict on what each engine says of itself, and on what stays in its state. */
#include "sim.h"

#include <inttypes.h>
#include <string.h>

#include "banned.h"

/* Rows that a person deleted; equal ones count one by one. */
static int64_t count_deletes(const struct sim_world *world)
{
    int64_t count = 0;

    for (size_t i = 0; i < world->ledger->row_count; i++) {
        const struct sim_row *row = &world->ledger->rows[i];

        count += !row->is_deleted ? 0 : row->table == SIM_SESSION ? 1 : row->made;
    }
    return count;
}

void sim_judge_status(struct sim_world *world)
{
    const struct sim_status *first = NULL;
    const char *first_name = "";

    for (size_t i = 0; i < world->machine_count; i++) {
        const struct sim_machine *machine = world->machines[i];
        const struct sim_status *status = &machine->status;

        if (machine->is_gone || !status->is_known) {
            continue;
        }
        if (status->pending_out != 0) {
            sim_bad(world, "%" PRId64 " records still wait to go out at %s", status->pending_out,
                    machine->name);
        }
        if (status->in_flight != 0) {
            sim_bad(world, "%" PRId64 " records of the journal are still in flight at %s",
                    status->in_flight, machine->name);
        }
        if (status->tombstones > count_deletes(world)) {
            sim_bad(world, "%" PRId64 " tombstones at %s, of %" PRId64 " rows that were deleted",
                    status->tombstones, machine->name, count_deletes(world));
        }
        if (world->is_wiped) {
            continue;
        }
        if (status->digest_alarm[0] != '\0') {
            sim_bad(world, "digest alarm at %s: %s", machine->name, status->digest_alarm);
        }
        if (status->rows_parked != 0 || status->deletes_held_in != 0 ||
            status->deletes_held_out != 0) {
            continue;
        }
        if (first != NULL && strcmp(first->digest, status->digest) != 0) {
            sim_bad(world, "digests differ: %s at %s, %s at %s", first->digest, first_name,
                    status->digest, machine->name);
        }
        first = first != NULL ? first : status;
        first_name = first == status ? machine->name : first_name;
    }
}
