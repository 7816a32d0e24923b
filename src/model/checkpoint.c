/* SPDX-License-Identifier: Apache-2.0 */
/* See checkpoint.h. */
#include "model/checkpoint.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

struct assay_checkpoint_file {
    const char *name;
    struct assay_safetensors *content; /* owned by `holder` */
    struct assay_tensor holder;        /* its buffer keeps the map; each tensor that borrows it has a share in this buffer */
};

static void release_content(void *context)
{
    assay_safetensors_release(context);
    free(context);
}

static enum assay_status open_file(struct assay_checkpoint *c, const char *path, const char *name, struct assay_error *err)
{
    struct assay_safetensors *content = assay_alloc(sizeof *content);
    enum assay_status st = assay_safetensors_open(content, path, err);
    if (st) {
        free(content);
        return st;
    }
    struct assay_checkpoint_file *file = &c->files[c->n_files++];
    file->name = assay_arena_strdup(&c->arena, name);
    file->content = content;
    struct assay_type nothing = assay_type_make(ASSAY_U8, 1, (const int64_t[]){0});
    assay_tensor_adopt(&file->holder, &nothing, content, release_content, content);
    return ASSAY_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct assay_safetensors_entry *const *)a)->name,
                  (*(const struct assay_safetensors_entry *const *)b)->name);
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n > m && strcmp(text + n - m, suffix) == 0;
}

/* Checkpoints that came from TensorFlow call scale and shift of a norm gamma and beta; Transformers reads them so, too. */
static void rename_norms(struct assay_checkpoint *c, struct assay_safetensors_entry *entry)
{
    static const char *const names[][2] = {{".gamma", ".weight"}, {".beta", ".bias"}};
    for (size_t i = 0; i < ASSAY_COUNT(names); i++)
        if (has_suffix(entry->name, names[i][0])) {
            int n = (int)(strlen(entry->name) - strlen(names[i][0]));
            entry->name = assay_arena_printf(&c->arena, "%.*s%s", n, entry->name, names[i][1]);
        }
}

static enum assay_status list_entries(struct assay_checkpoint *c, const char *folder, struct assay_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_files; i++)
        n += c->files[i].content->n;
    c->entries = assay_arena_array(&c->arena, n + 1, sizeof *c->entries);
    c->used = assay_arena_array(&c->arena, n + 1, sizeof *c->used);
    for (size_t i = 0; i < c->n_files; i++)
        for (size_t k = 0; k < c->files[i].content->n; k++) {
            rename_norms(c, &c->files[i].content->entries[k]);
            c->entries[c->n++] = &c->files[i].content->entries[k];
        }
    qsort(c->entries, c->n, sizeof *c->entries, by_name);
    for (size_t i = 1; i < c->n; i++)
        if (strcmp(c->entries[i - 1]->name, c->entries[i]->name) == 0)
            return assay_error_set(err, ASSAY_INVALID, "%s: its weights have the tensor '%s' twice", folder, c->entries[i]->name);
    return ASSAY_OK;
}

static const struct assay_checkpoint_file *find_file(const struct assay_checkpoint *c, const char *name)
{
    for (size_t i = 0; i < c->n_files; i++)
        if (strcmp(c->files[i].name, name) == 0)
            return &c->files[i];
    return NULL;
}

/* Each shard that the map names, once; and each tensor must be where the map says. */
static enum assay_status open_shards(struct assay_checkpoint *c, const char *folder, const char *index_path, const json_t *map,
                                     struct assay_error *err)
{
    enum { MOST_SHARDS = 1024 };
    const char *tensor;
    json_t *shard;
    c->files = assay_arena_array(&c->arena, MOST_SHARDS, sizeof *c->files);
    json_object_foreach((json_t *)map, tensor, shard)
    {
        const char *name = json_string_value(shard);
        if (!name)
            return assay_error_set(err, ASSAY_INVALID, "%s: the file of tensor '%s' is no text", index_path, tensor);
        if (!has_suffix(name, ".safetensors"))
            return assay_error_set(err, ASSAY_INVALID, "%s: tensor '%s' is said to be in '%s', which is no .safetensors file",
                                   index_path, tensor, name);
        const struct assay_checkpoint_file *file = find_file(c, name);
        if (!file) {
            char *path;
            if (c->n_files == MOST_SHARDS)
                return assay_error_set(err, ASSAY_INVALID, "%s names more than %d files", index_path, MOST_SHARDS);
            enum assay_status st = assay_path_inside(folder, name, &c->arena, &path, err);
            if (!st)
                st = open_file(c, path, name, err);
            /* That there are weights is certain; one of their files is missing. */
            if (st)
                return assay_error_prefix(err, st == ASSAY_ABSENT ? ASSAY_INVALID : st, "%s", index_path);
            file = &c->files[c->n_files - 1];
        }
        if (!assay_safetensors_find(file->content, tensor))
            return assay_error_set(err, ASSAY_INVALID, "%s: tensor '%s' is not in %s", index_path, tensor, name);
    }
    return ASSAY_OK;
}

static enum assay_status open_index(struct assay_checkpoint *c, const char *folder, const char *path, struct assay_error *err)
{
    json_t *index;
    enum assay_status st = assay_json_read(path, &index, err);
    if (st)
        return st;
    const json_t *map = json_object_get(index, "weight_map");
    st = json_is_object(map) ? open_shards(c, folder, path, map, err)
                             : assay_error_set(err, ASSAY_INVALID, "%s has no \"weight_map\"", path);
    json_decref(index);
    return st;
}

enum assay_status assay_checkpoint_open(struct assay_checkpoint *c, const char *folder, struct assay_error *err)
{
    *c = (struct assay_checkpoint){0};
    assay_arena_init(&c->arena);
    const char *single = assay_path_join(&c->arena, folder, "model.safetensors");
    const char *index = assay_path_join(&c->arena, folder, "model.safetensors.index.json");
    enum assay_status st;
    if (assay_fs_exists(single)) {
        c->files = assay_arena_array(&c->arena, 1, sizeof *c->files);
        st = open_file(c, single, "model.safetensors", err);
    } else if (assay_fs_exists(index)) {
        st = open_index(c, folder, index, err);
    } else {
        bool pickled = assay_fs_exists(assay_path_join(&c->arena, folder, "pytorch_model.bin")) ||
                       assay_fs_exists(assay_path_join(&c->arena, folder, "pytorch_model.bin.index.json"));
        st = assay_error_set(err, ASSAY_ABSENT, "%s has neither model.safetensors nor model.safetensors.index.json%s", folder,
                             pickled ? "; its pytorch_model.bin can hold programs, which Assay does not read" : "");
    }
    if (!st)
        st = list_entries(c, folder, err);
    if (st)
        assay_checkpoint_release(c);
    return st;
}

void assay_checkpoint_release(struct assay_checkpoint *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_files; i++)
        assay_tensor_release(&c->files[i].holder);
    assay_arena_release(&c->arena);
    *c = (struct assay_checkpoint){0};
}

int64_t assay_checkpoint_find(const struct assay_checkpoint *c, const char *name)
{
    size_t low = 0, high = c->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, c->entries[middle]->name);
        if (order == 0)
            return (int64_t)middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

/* The file that an entry belongs to: entries of a file lie in one array. */
static const struct assay_checkpoint_file *file_of(const struct assay_checkpoint *c, const struct assay_safetensors_entry *entry)
{
    for (size_t i = 0; i < c->n_files; i++) {
        const struct assay_safetensors *content = c->files[i].content;
        if (entry >= content->entries && entry < content->entries + content->n)
            return &c->files[i];
    }
    ASSAY_ASSERT(!"an entry belongs to a file");
    return NULL;
}

/* A taken tensor: its pages are given back when nobody uses it, though others still use the map. */
struct piece {
    struct assay_tensor holder;
    const void *data;
    size_t size_bytes;
};

static void release_piece(void *context)
{
    struct piece *piece = context;
    assay_map_forget(piece->data, piece->size_bytes);
    assay_tensor_release(&piece->holder);
    free(piece);
}

void assay_checkpoint_take(struct assay_checkpoint *c, int64_t index, struct assay_tensor *tensor)
{
    const struct assay_safetensors_entry *entry = c->entries[index];
    c->used[index] = true;
    if (entry->tensor.buffer) {
        assay_tensor_share(tensor, &entry->tensor);
        return;
    }
    struct piece *piece = assay_alloc(sizeof *piece);
    assay_tensor_share(&piece->holder, &file_of(c, entry)->holder);
    piece->data = entry->tensor.data;
    piece->size_bytes = (size_t)assay_tensor_bytes(&entry->tensor);
    assay_tensor_adopt(tensor, &entry->tensor.type, entry->tensor.data, release_piece, piece);
}
