/* SPDX-License-Identifier: MIT */
#include "place.h"

#include "file.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define SHOWN_MAX 200

static int refuse(const char *text, const char *origin, struct mb_error *err)
{
    char shown[SHOWN_MAX];

    mb_text_clean(shown, sizeof(shown), text, strlen(text));
    (void)mb_error_set(err, MB_ERR_USAGE,
                       "the store '%s' (from %s) is not a folder or file:///folder", shown, origin);
    return mb_error_advise(err, "name a folder that all your machines can see, for example "
                                "--store /mnt/nas/membridge");
}

int mb_place_resolve(const char *text, const char *origin, const char *home, char **folder_out,
                     struct mb_error *err)
{
    char *expanded = NULL;

    if (mb_text_has_prefix(text, "s3://")) {
        (void)mb_error_set(err, MB_ERR_NOT_SET_UP,
                           "S3 stores are not supported by this version yet (%s names one)",
                           origin);
        return mb_error_advise(err, "name a folder with MEMBRIDGE_STORE or --store, or run "
                                    "'membridge init'");
    }
    if (mb_text_has_prefix(text, "file://")) {
        text += strlen("file://");
        if (text[0] != '/') {
            return refuse(text - strlen("file://"), origin, err);
        }
    }
    if (text[0] == '\0' || strstr(text, "://") != NULL) {
        return refuse(text, origin, err);
    }
    expanded = mb_file_expand_home(text, home);
    *folder_out = mb_file_absolute(expanded);
    free(expanded);
    return 0;
}
