/* SPDX-License-Identifier: MIT */
#include "alloc.h"
#include "assert.h"
#include "store.h"

#include <stdlib.h>

#include "banned.h"

struct share_store {
    struct mb_store base;
    struct mb_store *inner; /* borrowed */
};

static const struct mb_store_ops share_ops;

static struct mb_store *inner_of(struct mb_store *store)
{
    MB_ASSERT(store->ops == &share_ops);
    return ((struct share_store *)store)->inner;
}

static int share_probe(struct mb_store *store, bool *has_marker_out, struct mb_error *err)
{
    return mb_store_probe(inner_of(store), has_marker_out, err);
}

static int share_put(struct mb_store *store, const char *key, const struct mb_store_source *source,
                     struct mb_error *err)
{
    return mb_store_put_source(inner_of(store), key, source, err);
}

static int share_get(struct mb_store *store, const char *key, uint64_t size_bytes_max,
                     mb_store_sink_fn sink, void *context, struct mb_error *err)
{
    return mb_store_get_sink(inner_of(store), key, size_bytes_max, sink, context, err);
}

static int share_stat(struct mb_store *store, const char *key, uint64_t *size_bytes_out,
                      struct mb_error *err)
{
    return mb_store_stat(inner_of(store), key, size_bytes_out, err);
}

static int share_list(struct mb_store *store, const char *prefix, mb_store_object_fn on_object,
                      void *context, struct mb_error *err)
{
    return mb_store_list(inner_of(store), prefix, on_object, context, err);
}

static int share_delete(struct mb_store *store, const char *key, struct mb_error *err)
{
    return mb_store_delete(inner_of(store), key, err);
}

static void share_free(struct mb_store *store)
{
    (void)inner_of(store); /* the cast below is checked here */
    free(store);
}

static const struct mb_store_ops share_ops = {
    .name = "share",
    .probe = share_probe,
    .put = share_put,
    .get = share_get,
    .stat = share_stat,
    .list = share_list,
    .delete_object = share_delete,
    .free = share_free,
};

struct mb_store *mb_store_share_new(struct mb_store *inner)
{
    struct share_store *share = mb_alloc_zeroed(1, sizeof(*share));

    MB_ASSERT(inner != NULL);
    share->base.ops = &share_ops;
    share->inner = inner;
    return &share->base;
}
