/* SPDX-License-Identifier: Apache-2.0 */
/* The state of loading an ONNX file (onnx_read.h), and the external files that it maps: each once, for all tensors in it, and
 * kept until the last of them goes. */
#include "graph/onnx_read.h"
#include "base/fs.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A mapped file of external data; the reader and each tensor in it hold one reference. */
struct shared_map {
    atomic_int references;
    struct assay_map map;
};

struct assay_onnx_file {
    struct assay_onnx_file *next;
    const char *path;
    struct shared_map *shared;
};

static void release_map(void *context)
{
    struct shared_map *shared = context;
    if (atomic_fetch_sub(&shared->references, 1) == 1) {
        assay_map_release(&shared->map);
        free(shared);
    }
}

void assay_onnx_reader_init(struct assay_onnx_reader *reader, const char *where, const char *folder, size_t size_bytes,
                            struct assay_error *err)
{
    *reader = (struct assay_onnx_reader){.where = where, .folder = folder, .err = err};
    reader->left_bytes = 16 * (int64_t)size_bytes + (64 << 20);
    assay_arena_init(&reader->scratch);
}

void assay_onnx_reader_release(struct assay_onnx_reader *reader)
{
    for (struct assay_onnx_file *file = reader->files; file; file = file->next)
        release_map(file->shared);
    for (size_t i = 0; i < reader->n_functions; i++)
        for (size_t k = 0; k < reader->functions[i].n_defaults; k++)
            assay_onnx_free_message(&reader->functions[i].defaults[k]->base);
    assay_names_release(&reader->function_names);
    assay_arena_release(&reader->scratch);
}

enum assay_status assay_onnx_charge(struct assay_onnx_reader *reader, int64_t bytes, const char *what)
{
    if (bytes > reader->left_bytes)
        return assay_error_set(reader->err, ASSAY_NO_MEMORY, "%s: %s asks for far more memory than the file's size justifies",
                               reader->where, what);
    reader->left_bytes -= bytes;
    return ASSAY_OK;
}

/* ---- external data */

static bool read_number(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *value >= 0;
}

static enum assay_status open_external(struct assay_onnx_reader *reader, const char *location, const char *what,
                                       struct shared_map **shared)
{
    char *path;
    if (!reader->folder)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: %s is in the external file '%s', but this model has no folder",
                               reader->where, what, location);
    enum assay_status st = assay_path_inside(reader->folder, location, &reader->scratch, &path, reader->err);
    if (st)
        return assay_error_prefix(reader->err, st, "%s: external data of %s", reader->where, what);
    for (struct assay_onnx_file *file = reader->files; file; file = file->next)
        if (strcmp(file->path, path) == 0) {
            *shared = file->shared;
            return ASSAY_OK;
        }
    struct assay_map map;
    st = assay_map_open(&map, path, reader->err);
    if (st)
        return assay_error_prefix(reader->err, st, "%s: external data of %s", reader->where, what);
    *shared = assay_alloc(sizeof **shared);
    atomic_init(&(*shared)->references, 1);
    (*shared)->map = map;
    struct assay_onnx_file *file = assay_arena_alloc(&reader->scratch, sizeof *file);
    *file = (struct assay_onnx_file){reader->files, path, *shared};
    reader->files = file;
    if (map.size_bytes < INT64_MAX / 4)
        reader->left_bytes += (int64_t)map.size_bytes;
    return ASSAY_OK;
}

static bool are_bools(const unsigned char *bytes, int64_t n)
{
    unsigned char all = 0;
    for (int64_t i = 0; i < n; i++)
        all |= bytes[i];
    return all <= 1;
}

enum assay_status assay_onnx_read_external(struct assay_onnx_reader *reader, const Onnx__TensorProto *proto, const char *what,
                                           const struct assay_type *type, struct assay_tensor *tensor)
{
    const char *location = NULL;
    int64_t bytes = assay_type_bytes(type), offset = 0, length = bytes;
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const char *key = assay_onnx_text(proto->external_data[i]->key), *value = assay_onnx_text(proto->external_data[i]->value);
        if (strcmp(key, "location") == 0)
            location = value;
        else if ((strcmp(key, "offset") == 0 && !read_number(value, &offset)) ||
                 (strcmp(key, "length") == 0 && !read_number(value, &length)))
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: external data of %s: %s is '%.40s', not a number",
                                   reader->where, what, key, value);
    }
    if (!location || !*location)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: external data of %s: no location is given", reader->where, what);
    struct shared_map *shared;
    enum assay_status st = open_external(reader, location, what, &shared);
    if (st)
        return st;
    int64_t size = (int64_t)shared->map.size_bytes;
    if (length != bytes || offset > size || bytes > size - offset)
        return assay_error_set(reader->err, ASSAY_INVALID,
                               "%s: external data of %s: %lld bytes at %lld of '%s' (%lld bytes), but its shape needs %lld",
                               reader->where, what, (long long)length, (long long)offset, location, (long long)size,
                               (long long)bytes);
    const unsigned char *data = shared->map.data + offset;
    size_t element = assay_dtype_is_packed(type->dtype) ? 1 : assay_dtype_size(type->dtype);
    bool as_it_is = (uintptr_t)data % element == 0 && (type->dtype != ASSAY_BOOL || are_bools(data, bytes));
    if (as_it_is) {
        atomic_fetch_add(&shared->references, 1);
        assay_tensor_adopt(tensor, type, (void *)(uintptr_t)data, release_map, shared);
        return ASSAY_OK;
    }
    st = assay_onnx_charge(reader, bytes, what);
    if (!st)
        st = assay_tensor_alloc(tensor, type, reader->err);
    if (st)
        return st;
    if (bytes)
        memcpy(tensor->data, data, (size_t)bytes);
    if (type->dtype == ASSAY_BOOL)
        assay_onnx_tidy_bools(tensor->data, bytes);
    return ASSAY_OK;
}
