/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "banned.h"

#define SELECTION_MAX 256

static struct {
    char selection[SELECTION_MAX];
    FILE *stream;
    int64_t (*now_ms)(void *context);
    void *context;
} trace_state;

void mb_log_open(const char *selection, FILE *stream, int64_t (*now_ms)(void *context),
                 void *context)
{
    (void)snprintf(trace_state.selection, sizeof(trace_state.selection), "%s",
                   selection == NULL ? "" : selection);
    trace_state.stream = stream;
    trace_state.now_ms = now_ms;
    trace_state.context = context;
}

static bool item_is(const char *item, size_t size, const char *name)
{
    return strlen(name) == size && memcmp(item, name, size) == 0;
}

bool mb_log_wants(const char *component)
{
    bool is_wanted = false;
    const char *item = trace_state.selection;

    if (trace_state.stream == NULL) {
        return false;
    }
    while (*item != '\0') {
        size_t size = strcspn(item, ",");
        bool is_removal = item[0] == '-';
        size_t skip = is_removal ? 1 : 0;
        if (item_is(item + skip, size - skip, component) ||
            item_is(item + skip, size - skip, "all")) {
            is_wanted = !is_removal;
        }
        item += size;
        item += *item == ',' ? 1 : 0;
    }
    return is_wanted;
}

void mb_log_trace(const char *component, const char *format, ...)
{
    va_list args;

    if (!mb_log_wants(component)) {
        return;
    }
    int64_t now_ms = trace_state.now_ms == NULL ? 0 : trace_state.now_ms(trace_state.context);
    (void)fprintf(trace_state.stream, "t=%" PRId64 " c=%s ", now_ms, component);
    va_start(args, format);
    (void)vfprintf(trace_state.stream, format, args);
    va_end(args);
    (void)fputc('\n', trace_state.stream);
}
