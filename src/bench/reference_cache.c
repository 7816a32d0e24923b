/* SPDX-License-Identifier: Apache-2.0 */
/* See reference_cache.h. */
#include "bench/reference_cache.h"

#include "base/fs.h"
#include "base/version.h"
#include "model/safetensors.h"

#include <stdlib.h>
#include <sys/stat.h>

static const int64_t CACHE_LIMIT_BYTES = INT64_C(1) << 30;

void assay_reference_hash_init(struct assay_hash *hash, const char *model_id)
{
    assay_hash_init(hash);
    assay_hash_text(hash, ASSAY_VERSION); /* the kernels' results may change with it */
    assay_hash_text(hash, model_id);
}

void assay_reference_hash_tensor(struct assay_hash *hash, const struct assay_tensor *tensor)
{
    char type[128];
    assay_hash_text(hash, assay_type_text(&tensor->type, type, sizeof type));
    assay_hash_piece(hash, tensor->data, (size_t)assay_tensor_bytes(tensor));
}

const char *assay_reference_path(struct assay_hash *hash, struct assay_arena *arena)
{
    char text[ASSAY_HASH_TEXT_SIZE], *cache = NULL;
    if (assay_path_cache(arena, &cache, NULL))
        return NULL;
    assay_hash_final(hash, text);
    char *folder = assay_path_join(arena, cache, "reference");
    if (assay_fs_make_folder(folder, NULL))
        return NULL;
    return assay_path_join(arena, folder, assay_arena_printf(arena, "%s.safetensors", text));
}

struct cached {
    char *path;
    int64_t size, time;
};

static int newest_first(const void *a, const void *b)
{
    int64_t x = ((const struct cached *)a)->time, y = ((const struct cached *)b)->time;
    return (x < y) - (x > y);
}

static void prune(const char *folder, struct assay_arena *arena)
{
    char **names = NULL;
    size_t n = 0;
    if (assay_fs_list(folder, arena, &names, &n, NULL))
        return;
    struct cached *files = assay_arena_array(arena, n, sizeof *files);
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        files[i].path = assay_path_join(arena, folder, names[i]);
        if (stat(files[i].path, &st) == 0) {
            files[i].size = st.st_size;
            files[i].time = st.st_mtime;
        }
    }
    qsort(files, n, sizeof *files, newest_first);
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += files[i].size;
        if (sum > CACHE_LIMIT_BYTES)
            assay_fs_remove(files[i].path, NULL);
    }
}

/* By position, so that a model with odd output names is cached too. */
static const char *slot(struct assay_arena *arena, size_t index) { return assay_arena_printf(arena, "output.%zu", index); }

bool assay_reference_read(const char *path, struct assay_tensor *tensors, size_t n)
{
    struct assay_safetensors file;
    struct assay_arena arena;
    struct assay_error ignored;
    if (!path || !assay_fs_exists(path) || assay_safetensors_open(&file, path, &ignored))
        return false;
    bool whole = true;
    assay_arena_init(&arena);
    for (size_t i = 0; whole && i < n; i++) {
        const struct assay_tensor *t = assay_safetensors_find(&file, slot(&arena, i));
        whole = t && assay_tensor_copy(&tensors[i], t, &ignored) == ASSAY_OK;
    }
    for (size_t i = 0; !whole && i < n; i++)
        assay_tensor_release(&tensors[i]);
    assay_safetensors_release(&file);
    assay_arena_release(&arena);
    return whole;
}

void assay_reference_write(const char *path, const struct assay_tensor *tensors, size_t n)
{
    struct assay_arena arena;
    if (!path)
        return;
    assay_arena_init(&arena);
    struct assay_safetensors_entry *entries = assay_arena_array(&arena, n, sizeof *entries);
    for (size_t i = 0; i < n; i++)
        entries[i] = (struct assay_safetensors_entry){slot(&arena, i), tensors[i]};
    if (assay_safetensors_write(path, entries, n, NULL, 0, NULL) == ASSAY_OK)
        prune(assay_path_folder(&arena, path), &arena);
    assay_arena_release(&arena);
}
