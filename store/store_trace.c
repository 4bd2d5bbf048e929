/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "log.h"
#include "store.h"

#include <stdlib.h>

#include "banned.h"

#define COMPONENT "store"

struct trace_store {
    struct mb_store base;
    struct mb_store *inner;
    const struct mb_env *env;
    struct mb_store_counts *counts;
    struct mb_store_counts own_counts; /* when the caller wants none */
};

static const struct mb_store_ops trace_ops;

static struct trace_store *downcast(struct mb_store *store)
{
    MB_ASSERT(store->ops == &trace_ops);
    return (struct trace_store *)store;
}

static int64_t begin(struct trace_store *trace)
{
    trace->counts->request_count++;
    return trace->env->now_ms(trace->env->context);
}

/* Traces the request and returns rc. */
static int end(const struct trace_store *trace, int64_t begun_ms, const char *op, const char *key,
               uint64_t bytes, int rc, const struct mb_error *err)
{
    int64_t took_ms = trace->env->now_ms(trace->env->context) - begun_ms;

    mb_log_trace(COMPONENT, "op=%s store=%s key=%s bytes=%llu ms=%lld result=%s", op,
                 trace->inner->ops->name, key, (unsigned long long)bytes, (long long)took_ms,
                 rc == 0 ? "ok" : mb_error_name(err->code));
    return rc;
}

static int trace_probe(struct mb_store *store, bool *has_marker_out, struct mb_error *err)
{
    struct trace_store *trace = downcast(store);
    int64_t begun_ms = begin(trace);

    return end(trace, begun_ms, "probe", "", 0, mb_store_probe(trace->inner, has_marker_out, err),
               err);
}

static int trace_put(struct mb_store *store, const char *key, const struct mb_store_source *source,
                     struct mb_error *err)
{
    struct trace_store *trace = downcast(store);
    int64_t begun_ms = begin(trace);
    int rc = mb_store_put_source(trace->inner, key, source, err);

    if (rc == 0 || err->code == MB_ERR_UNKNOWN_OUTCOME) {
        trace->counts->sent_bytes += source->size_bytes;
    }
    return end(trace, begun_ms, "put", key, source->size_bytes, rc, err);
}

struct counting_sink {
    struct mb_store_counts *counts;
    uint64_t got_bytes;
    mb_store_sink_fn sink;
    void *context;
};

static int count_fed(void *context, const uint8_t *data, size_t size, struct mb_error *err)
{
    struct counting_sink *counting = context;

    counting->got_bytes += size;
    counting->counts->received_bytes += size;
    return counting->sink(counting->context, data, size, err);
}

static int trace_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                     mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    struct trace_store *trace = downcast(store);
    struct counting_sink counting = {.counts = trace->counts, .sink = sink, .context = context};
    int64_t begun_ms = begin(trace);
    int rc = mb_store_get_sink(trace->inner, key, size_bytes_max, count_fed, &counting, err);

    return end(trace, begun_ms, "get", key, counting.got_bytes, rc, err);
}

static int trace_stat(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                      struct mb_error *err)
{
    struct trace_store *trace = downcast(store);
    int64_t begun_ms = begin(trace);

    return end(trace, begun_ms, "stat", key, 0,
               mb_store_stat(trace->inner, key, size_bytes_out, err), err);
}

static int trace_list(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                      void *context, struct mb_error *err)
{
    struct trace_store *trace = downcast(store);
    int64_t begun_ms = begin(trace);

    return end(trace, begun_ms, "list", prefix, 0,
               mb_store_list(trace->inner, prefix, on_object, context, err), err);
}

static int trace_delete(struct mb_store *store, const char *key, struct mb_error *err)
{
    struct trace_store *trace = downcast(store);
    int64_t begun_ms = begin(trace);

    return end(trace, begun_ms, "delete", key, 0, mb_store_delete(trace->inner, key, err), err);
}

static void trace_free(struct mb_store *store)
{
    struct trace_store *trace = downcast(store);

    mb_store_free(trace->inner);
    free(trace);
}

static const struct mb_store_ops trace_ops = {
    .name = "trace",
    .probe = trace_probe,
    .put = trace_put,
    .get = trace_get,
    .stat = trace_stat,
    .list = trace_list,
    .delete_object = trace_delete,
    .free = trace_free,
};

struct mb_store *mb_store_trace_new(struct mb_store *inner, const struct mb_env *env,
                                    struct mb_store_counts *counts)
{
    struct trace_store *trace = mb_alloc_zeroed(1, sizeof(*trace));

    MB_ASSERT(inner != NULL && env != NULL);
    trace->base.ops = &trace_ops;
    trace->inner = inner;
    trace->env = env;
    trace->counts = counts == NULL ? &trace->own_counts : counts;
    return &trace->base;
}
