/* SPDX-License-Identifier: MIT */
#ifndef MB_WRITE_LINK_H
#define MB_WRITE_LINK_H

/* The columns by which a row names its session and its observation here, from the row ids by which
 * records name them. */

#include "live.h"
#include "write_list.h"

/* The row id in a reference register, or NULL. */
const uint8_t *mb_write_link_reference(const struct mb_state_row *known, const char *name);

/* Adds the link to the row's session; makes a stub where there is none (attach.h). */
MB_MUST_USE int mb_write_link_parent(struct mb_engine *engine, const struct mb_schema_table *table,
                                     const struct mb_state_row *known, const char *orphan,
                                     struct mb_write_list *list, struct mb_error *err);

/* The same for a row that stands: its content_hash too, where the new session has a row of that
 * hash. */
MB_MUST_USE int mb_write_link_changed(struct mb_engine *engine, const struct mb_live_row *row,
                                      const struct mb_state_row *known, struct mb_write_list *list,
                                      struct mb_error *err);

/* Adds a tool use's link to its observation, if that is here. */
MB_MUST_USE int mb_write_link_observation(struct mb_engine *engine,
                                          const struct mb_schema_table *table,
                                          const struct mb_state_row *known,
                                          struct mb_write_list *list, struct mb_error *err);

#endif
