/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

struct retry_store {
    struct mb_store base;
    struct mb_store *inner;
    struct mb_store_retry_config config;
    const struct mb_env *env;
};

static const struct mb_store_ops retry_ops;

static struct retry_store *downcast(struct mb_store *store)
{
    MB_ASSERT(store->ops == &retry_ops);
    return (struct retry_store *)store;
}

/* ---- one call, which is one or more attempts ---- */

struct call {
    const struct retry_store *retry;
    int64_t begun_ms;
    unsigned attempt_count;
    bool is_unknown; /* an attempt of a put or delete may have taken effect */
    bool is_ours;    /* the error came from the caller's sink or source: repeating is not for us */
};

static struct call begin(const struct retry_store *retry)
{
    struct call call = {.retry = retry};

    call.begun_ms = retry->env->now_ms(retry->env->context);
    return call;
}

/* Full jitter: machines that failed together do not come back together. */
static int64_t choose_delay_ms(const struct call *call)
{
    const struct mb_store_retry_config *config = &call->retry->config;
    int64_t ceiling_ms = config->delay_first_ms;
    uint64_t random = 0;

    for (unsigned i = 1; i < call->attempt_count && ceiling_ms < config->delay_max_ms; i++) {
        ceiling_ms = ceiling_ms > INT64_MAX / 2 ? INT64_MAX : ceiling_ms * 2;
    }
    if (ceiling_ms > config->delay_max_ms) {
        ceiling_ms = config->delay_max_ms;
    }
    call->retry->env->random(call->retry->env->context, &random, sizeof(random));
    return (int64_t)(random % ((uint64_t)ceiling_ms + 1));
}

/* Sleeps before the next attempt. False if there is to be none. */
static bool pause_within_bounds(const struct call *call)
{
    const struct mb_store_retry_config *config = &call->retry->config;
    const struct mb_env *env = call->retry->env;
    int64_t delay_ms = 0;

    if (call->attempt_count >= config->attempt_count_max) {
        return false;
    }
    delay_ms = choose_delay_ms(call);
    if (config->deadline_ms > 0 &&
        env->now_ms(env->context) - call->begun_ms > config->deadline_ms - delay_ms) {
        return false;
    }
    env->sleep_ms(env->context, delay_ms);
    return true;
}

/* Says of an error that ends the call what the attempts before it mean. Returns -1. */
static int finish(const struct call *call, struct mb_error *err)
{
    if (call->attempt_count > 1) {
        (void)mb_error_wrap(err, "after %u attempts", call->attempt_count);
    }
    if (call->is_unknown && err->code != MB_ERR_UNKNOWN_OUTCOME) {
        err->code = MB_ERR_UNKNOWN_OUTCOME;
        return mb_error_advise(err, "run the command again: repeating is safe");
    }
    return -1;
}

/*
 * Is the call to be made (again)? rc and *err are the last attempt's. Sets *rc_out when it is not.
 * Used as: do { rc = attempt; } while (again(&call, rc, err, &rc));
 */
static bool again(struct call *call, int rc, struct mb_error *err, int *rc_out)
{
    call->attempt_count++;
    *rc_out = rc;
    if (rc == 0) {
        return false;
    }
    if (err->code == MB_ERR_UNKNOWN_OUTCOME) {
        call->is_unknown = true;
    }
    if (!call->is_ours && (err->code == MB_ERR_TEMPORARY || err->code == MB_ERR_UNKNOWN_OUTCOME) &&
        pause_within_bounds(call) && mb_env_step(call->retry->env, "store-retry", err) == 0) {
        return true;
    }
    *rc_out = finish(call, err);
    return false;
}

/* ---- slots without callbacks ---- */

static int retry_probe(struct mb_store *store, bool *has_marker_out, struct mb_error *err)
{
    struct retry_store *retry = downcast(store);
    struct call call = begin(retry);
    int rc;

    do {
        rc = mb_store_probe(retry->inner, has_marker_out, err);
    } while (again(&call, rc, err, &rc));
    return rc;
}

static int retry_stat(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                      struct mb_error *err)
{
    struct retry_store *retry = downcast(store);
    struct call call = begin(retry);
    int rc;

    do {
        rc = mb_store_stat(retry->inner, key, size_bytes_out, err);
    } while (again(&call, rc, err, &rc));
    return rc;
}

static int retry_delete(struct mb_store *store, const char *key, struct mb_error *err)
{
    struct retry_store *retry = downcast(store);
    struct call call = begin(retry);
    int rc;

    do {
        rc = mb_store_delete(retry->inner, key, err);
    } while (again(&call, rc, err, &rc));
    return rc;
}

/* ---- put and get: an error of the caller's own callback is told apart, whatever its code ---- */

struct guarded_source {
    struct call *call;
    const struct mb_store_source *source;
};

static int read_guarded(void *context, uint64_t offset, uint8_t *data, size_t size,
                        struct mb_error *err)
{
    struct guarded_source *guarded = context;

    if (guarded->source->read(guarded->source->context, offset, data, size, err) != 0) {
        guarded->call->is_ours = true;
        return -1;
    }
    return 0;
}

static int retry_put(struct mb_store *store, const char *key, const struct mb_store_source *source,
                     struct mb_error *err)
{
    struct retry_store *retry = downcast(store);
    struct call call = begin(retry);
    struct guarded_source guarded = {.call = &call, .source = source};
    struct mb_store_source inner_source = {
        .size_bytes = source->size_bytes, .context = &guarded, .read = read_guarded};
    int rc;

    do {
        rc = mb_store_put_source(retry->inner, key, &inner_source, err);
    } while (again(&call, rc, err, &rc));
    return rc;
}

struct guarded_sink {
    struct call *call;
    mb_store_sink_fn sink;
    void *context;
};

static int feed_guarded(void *context, const uint8_t *data, size_t size, struct mb_error *err)
{
    struct guarded_sink *guarded = context;

    if (guarded->sink(guarded->context, data, size, err) != 0) {
        guarded->call->is_ours = true;
        return -1;
    }
    return 0;
}

static int attempt_get(const struct retry_store *retry, const char *key, uint64_t size_bytes_max,
                       struct guarded_sink *guarded, struct mb_error *err)
{
    if (guarded->call->attempt_count > 0 && feed_guarded(guarded, NULL, 0, err) != 0) {
        return -1;
    }
    return mb_store_get_sink(retry->inner, key, size_bytes_max, feed_guarded, guarded, err);
}

static int retry_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                     mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    struct retry_store *retry = downcast(store);
    struct call call = begin(retry);
    struct guarded_sink guarded = {.call = &call, .sink = sink, .context = context};
    int rc;

    do {
        rc = attempt_get(retry, key, size_bytes_max, &guarded, err);
    } while (again(&call, rc, err, &rc));
    return rc;
}

/* ---- list: collected whole, then handed on ---- */

struct item {
    char *key;
    uint64_t size_bytes;
};

struct items {
    struct item *items;
    size_t count;
    size_t capacity;
};

static void clear_items(struct items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        free(items->items[i].key);
    }
    items->count = 0;
}

/* Bounded by MB_LIMIT_LISTING, which mb_store_list() holds every store to. */
static int collect(void *context, const struct mb_store_object *object, struct mb_error *err)
{
    struct items *items = context;

    (void)err;
    if (items->count == items->capacity) {
        items->capacity = items->capacity == 0 ? 256 : items->capacity * 2;
        items->items = mb_alloc_resize(items->items, items->capacity, sizeof(items->items[0]));
    }
    items->items[items->count] =
        (struct item){.key = mb_alloc_text(object->key), .size_bytes = object->size_bytes};
    items->count++;
    return 0;
}

static int compare_items(const void *left, const void *right)
{
    return strcmp(((const struct item *)left)->key, ((const struct item *)right)->key);
}

/* A listing of many pages shows an object twice when others write meanwhile: sorted, that is
 * seen. */
static int hand_on(struct items *items, mb_store_object_fn on_object, void *context,
                   struct mb_error *err)
{
    if (items->count > 1) {
        qsort(items->items, items->count, sizeof(items->items[0]), compare_items);
    }
    for (size_t i = 0; i < items->count; i++) {
        struct mb_store_object object = {.key = items->items[i].key,
                                         .size_bytes = items->items[i].size_bytes};

        if (i > 0 && strcmp(items->items[i - 1].key, object.key) == 0) {
            continue;
        }
        if (on_object(context, &object, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int retry_list(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                      void *context, struct mb_error *err)
{
    struct retry_store *retry = downcast(store);
    struct call call = begin(retry);
    struct items items = {0};
    int rc;

    do {
        clear_items(&items);
        rc = mb_store_list(retry->inner, prefix, collect, &items, err);
    } while (again(&call, rc, err, &rc));
    if (rc == 0) {
        rc = hand_on(&items, on_object, context, err);
    }
    clear_items(&items);
    free(items.items);
    return rc;
}

static void retry_free(struct mb_store *store)
{
    struct retry_store *retry = downcast(store);

    mb_store_free(retry->inner);
    free(retry);
}

static const struct mb_store_ops retry_ops = {
    .name = "retry",
    .probe = retry_probe,
    .put = retry_put,
    .get = retry_get,
    .stat = retry_stat,
    .list = retry_list,
    .delete_object = retry_delete,
    .free = retry_free,
};

struct mb_store *mb_store_retry_new(struct mb_store *inner,
                                    const struct mb_store_retry_config *config,
                                    const struct mb_env *env)
{
    struct retry_store *retry = mb_alloc_zeroed(1, sizeof(*retry));

    MB_ASSERT(inner != NULL && env != NULL);
    MB_ASSERT(config->attempt_count_max >= 1);
    MB_ASSERT(config->delay_first_ms >= 0);
    MB_ASSERT(config->delay_max_ms >= 0);
    MB_ASSERT(config->deadline_ms >= 0);
    retry->base.ops = &retry_ops;
    retry->inner = inner;
    retry->config = *config;
    retry->env = env;
    return &retry->base;
}
