/* SPDX-License-Identifier: MIT */
#ifndef MB_DEMO_TEXT_H
#define MB_DEMO_TEXT_H

/* Believable memories for `membridge demo`: the same ones for the same numbers, always. */

#include "sample.h"

#define MB_DEMO_OBSERVATIONS 4

/* One session with its words; all of it lies in this struct. Filled by mb_demo_text_session(). */
struct mb_demo_text {
    struct mb_sample_session session;
    struct mb_sample_observation observations[MB_DEMO_OBSERVATIONS];
    char content_id[64];
    char prompt[512];
    char request[256];
    char learned[512];
    char completed[512];
    char next_steps[256];
    char titles[MB_DEMO_OBSERVATIONS][128];
    char subtitles[MB_DEMO_OBSERVATIONS][192];
    char facts[MB_DEMO_OBSERVATIONS][768];
    char narratives[MB_DEMO_OBSERVATIONS][1024];
};

/* Session number `number` (0 or more) of the machine of that name, begun at started_ms. */
void mb_demo_text_session(struct mb_demo_text *text, const char *machine, unsigned number,
                          int64_t started_ms);

#endif
