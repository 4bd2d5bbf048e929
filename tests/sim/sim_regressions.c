/* SPDX-License-Identifier: MIT */
#include "sim_regressions.h"

#include <stddef.h>

#include "banned.h"

/* clang-format off */
const struct sim_regression sim_regressions[] = {
    {"a manual session made on two machines has one digest",
     "1067/manual/"},
    {"a mass delete goes out when the person accepts it",
     "1038/none/bulk.9.f430d1c2 push.6.104bb1f9 massdel.6.63b35b74"},
    {"a child made while a push captures hangs on its session",
     "1037/del/newobs.4.99bc6572 newsess.5.f9f282fb sessdel.10.a57bb558 race.9.bda8b12f"
     " sync.6.e7fff543 race.8.e1728ad8"},
    {"columns that an older machine has not survive its lost state",
     "644/reg,oldschema,rollback,worker,skew/sync.3.c79b1127 pull.0.74bc73a2 stateloss.0.dd2e45f"},
    {"a row that is held is not taken for the elder twin of a copy that came later",
     "20069/cloned,fault,skew/bulk.7.6d7b9aa1 race.10.d7d9afb2 pull.9.b30c58a9 massdel.7.eb10a6e2"
     " massdel.9.55ef1c50 newobs.8.8950ce83 copy.8.a5daeb84 del.9.dae553f3"},
    {"columns that came while a state was lost are there after claude-mem's upgrade",
     "316/oldschema/newobs.6.a2a112b8 sync.9.901b5f6 sync.10.4f9acaf4 stateloss.10.b426574c"
     " sync.7.a50b318d upgrade.7.6c05a3c0"},
    {"a clone has what its machine's clean-up left",
     "273/oldschema,hot/manual.10.dfca1bda manual.10.aed5db29 sync.10.6669f42b migrate.10.a0c2de89"
     " sync.10.56b0db10 clone.4.f44ad831"},
    {"a full disk leaves the digest as it was",
     "134/orphans,cloned/sync.10.95d0f98c sync.11.f217616c sync.0.a57c1938 clone.0.75150ef9"
     " sync.0.64da889a sync.3.6fca8e40 diskfull.8.4265a2db"},
    {NULL, NULL},
};
/* clang-format on */
