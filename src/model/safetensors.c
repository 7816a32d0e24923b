/* SPDX-License-Identifier: Apache-2.0 */
/* Reading safetensors files, see safetensors.h. Writing is in safetensors_write.c. */
#include "model/safetensors.h"

#include "base/json.h"
#include "model/safetensors_format.h"

#include <stdlib.h>

/* An element type's word in files. */
static const struct {
    const char *word;
    enum assay_dtype dtype;
} words[] = {
    {"F32", ASSAY_F32}, {"F16", ASSAY_F16}, {"BF16", ASSAY_BF16}, {"F64", ASSAY_F64}, {"BOOL", ASSAY_BOOL},
    {"I8", ASSAY_I8},   {"U8", ASSAY_U8},   {"I16", ASSAY_I16},   {"U16", ASSAY_U16}, {"I32", ASSAY_I32},
    {"U32", ASSAY_U32}, {"I64", ASSAY_I64}, {"U64", ASSAY_U64},
};
/* Words of the format for types that Assay does not have. */
static const char *const other_words[] = {"F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
                                          "F6_E2M3", "F6_E3M2", "F4",      "C64"};

const char *assay_safetensors_word(enum assay_dtype dtype)
{
    for (size_t i = 0; i < ASSAY_COUNT(words); i++)
        if (words[i].dtype == dtype)
            return words[i].word;
    return NULL;
}

/* What is being read: file, and where its data begins. */
struct reading {
    const char *where;
    const unsigned char *data;
    int64_t size_bytes; /* of the data */
    struct assay_error *err;
};

static enum assay_status read_dtype(const struct reading *r, const char *name, const json_t *description, enum assay_dtype *dtype)
{
    const char *word = json_string_value(json_object_get(description, "dtype"));
    if (!word)
        return assay_error_set(r->err, ASSAY_INVALID, "%s: tensor '%s' has no dtype", r->where, name);
    for (size_t i = 0; i < ASSAY_COUNT(words); i++)
        if (strcmp(words[i].word, word) == 0) {
            *dtype = words[i].dtype;
            return ASSAY_OK;
        }
    for (size_t i = 0; i < ASSAY_COUNT(other_words); i++)
        if (strcmp(other_words[i], word) == 0)
            return assay_error_set(r->err, ASSAY_UNSUPPORTED, "%s: tensor '%s' is of dtype %s, which Assay does not have",
                                   r->where, name, word);
    return assay_error_set(r->err, ASSAY_INVALID, "%s: tensor '%s' has dtype '%s', which the format does not know", r->where,
                           name, word);
}

static enum assay_status read_shape(const struct reading *r, const char *name, const json_t *description, struct assay_type *type)
{
    const json_t *shape = json_object_get(description, "shape");
    if (!json_is_array(shape))
        return assay_error_set(r->err, ASSAY_INVALID, "%s: tensor '%s' has no shape", r->where, name);
    if (json_array_size(shape) > ASSAY_MAX_RANK)
        return assay_error_set(r->err, ASSAY_UNSUPPORTED, "%s: tensor '%s' has %zu dimensions, more than %d", r->where, name,
                               json_array_size(shape), ASSAY_MAX_RANK);
    type->rank = (int)json_array_size(shape);
    for (int i = 0; i < type->rank; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return assay_error_set(r->err, ASSAY_INVALID, "%s: dimension %d of tensor '%s' is not a number of elements", r->where,
                                   i, name);
        type->dims[i] = json_integer_value(dim);
    }
    return ASSAY_OK;
}

static enum assay_status read_offsets(const struct reading *r, const char *name, const json_t *description, int64_t *begin,
                                      int64_t *end)
{
    const json_t *offsets = json_object_get(description, "data_offsets");
    if (json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)))
        return assay_error_set(r->err, ASSAY_INVALID, "%s: tensor '%s' has no two data_offsets", r->where, name);
    *begin = json_integer_value(json_array_get(offsets, 0));
    *end = json_integer_value(json_array_get(offsets, 1));
    if (*begin < 0 || *begin > *end)
        return assay_error_set(r->err, ASSAY_INVALID, "%s: tensor '%s' has the data_offsets %lld and %lld, which are no range",
                               r->where, name, (long long)*begin, (long long)*end);
    if (*end > r->size_bytes)
        return assay_error_set(r->err, ASSAY_INVALID,
                               "%s: tensor '%s' lies at bytes %lld to %lld of the data, of which the file has %lld", r->where,
                               name, (long long)*begin, (long long)*end, (long long)r->size_bytes);
    return ASSAY_OK;
}

/* A byte that is neither 0 nor 1 must not be read as a bool. */
static enum assay_status check_bools(const struct reading *r, const char *name, const unsigned char *bytes, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (bytes[i] > 1)
            return assay_error_set(r->err, ASSAY_INVALID, "%s: element %lld of the bool tensor '%s' is %d, neither 0 nor 1",
                                   r->where, (long long)i, name, bytes[i]);
    return ASSAY_OK;
}

static enum assay_status read_tensor(const struct reading *r, const char *name, const json_t *description,
                                     struct assay_safetensors_entry *entry)
{
    if (!json_is_object(description))
        return assay_error_set(r->err, ASSAY_INVALID, "%s: what the header says of tensor '%s' is no object", r->where, name);
    struct assay_type type = {0};
    int64_t begin = 0, end = 0;
    enum assay_status st = read_dtype(r, name, description, &type.dtype);
    if (!st)
        st = read_shape(r, name, description, &type);
    if (!st)
        st = read_offsets(r, name, description, &begin, &end);
    if (st)
        return st;
    if (assay_type_bytes(&type) != end - begin) {
        char text[256];
        return assay_error_set(r->err, ASSAY_INVALID, "%s: tensor '%s' has %lld bytes of data, but its type is %s", r->where,
                               name, (long long)(end - begin), assay_type_text(&type, text, sizeof text));
    }
    if (type.dtype == ASSAY_BOOL)
        st = check_bools(r, name, r->data + begin, end - begin);
    if (st)
        return st;
    assay_tensor_borrow(&entry->tensor, &type, r->data + begin);
    return ASSAY_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct assay_tensor *x = &(*(const struct assay_safetensors_entry *const *)a)->tensor;
    const struct assay_tensor *y = &(*(const struct assay_safetensors_entry *const *)b)->tensor;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    int64_t m = assay_tensor_bytes(x), n = assay_tensor_bytes(y);
    return (m > n) - (m < n);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct assay_safetensors_entry *)a)->name, ((const struct assay_safetensors_entry *)b)->name);
}

/* Each byte of the data belongs to one tensor. */
static enum assay_status check_places(const struct reading *r, const struct assay_safetensors *file)
{
    const struct assay_safetensors_entry **sorted = assay_alloc((file->n + 1) * sizeof *sorted);
    for (size_t i = 0; i < file->n; i++)
        sorted[i] = &file->entries[i];
    qsort(sorted, file->n, sizeof *sorted, by_place);
    const unsigned char *at = r->data;
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < file->n && !st; i++) {
        const unsigned char *begin = sorted[i]->tensor.data;
        if (begin != at)
            st = assay_error_set(r->err, ASSAY_INVALID, "%s: tensor '%s' begins at byte %lld of the data, %s byte %lld", r->where,
                                 sorted[i]->name, (long long)(begin - r->data),
                                 begin < at ? "within the one before it, which ends at" : "with a gap behind",
                                 (long long)(at - r->data));
        at = begin + assay_tensor_bytes(&sorted[i]->tensor);
    }
    if (!st && at != r->data + r->size_bytes)
        st = assay_error_set(r->err, ASSAY_INVALID, "%s: the last %lld bytes belong to no tensor", r->where,
                             (long long)(r->data + r->size_bytes - at));
    free(sorted);
    return st;
}

/* A tensor whose bytes the file does not align to its elements gets bytes of its own. */
static enum assay_status align(struct assay_safetensors *file, struct assay_error *err)
{
    for (size_t i = 0; i < file->n; i++) {
        struct assay_tensor *tensor = &file->entries[i].tensor, copy;
        if ((uintptr_t)tensor->data % assay_dtype_size(tensor->type.dtype) == 0)
            continue;
        enum assay_status st = assay_tensor_copy(&copy, tensor, err);
        if (st)
            return st;
        *tensor = copy;
    }
    return ASSAY_OK;
}

static enum assay_status read_metadata(const struct reading *r, const json_t *metadata, struct assay_safetensors *file)
{
    if (!json_is_object(metadata))
        return assay_error_set(r->err, ASSAY_INVALID, "%s: __metadata__ is no object", r->where);
    file->metadata = assay_arena_array(&file->arena, 2 * json_object_size(metadata) + 1, sizeof *file->metadata);
    const char *key;
    json_t *text;
    json_object_foreach((json_t *)metadata, key, text)
    {
        if (!json_is_string(text))
            return assay_error_set(r->err, ASSAY_INVALID, "%s: '%s' of __metadata__ is no text", r->where, key);
        file->metadata[2 * file->n_metadata] = assay_arena_strdup(&file->arena, key);
        file->metadata[2 * file->n_metadata + 1] = assay_arena_strdup(&file->arena, json_string_value(text));
        file->n_metadata++;
    }
    return ASSAY_OK;
}

static enum assay_status read_header(const struct reading *r, const json_t *header, struct assay_safetensors *file)
{
    file->entries = assay_arena_array(&file->arena, json_object_size(header) + 1, sizeof *file->entries);
    const char *name;
    json_t *description;
    enum assay_status st = ASSAY_OK;
    json_object_foreach((json_t *)header, name, description)
    {
        if (strcmp(name, "__metadata__") == 0) {
            st = read_metadata(r, description, file);
        } else {
            struct assay_safetensors_entry *entry = &file->entries[file->n];
            st = read_tensor(r, name, description, entry);
            entry->name = assay_arena_strdup(&file->arena, name);
            file->n += !st;
        }
        if (st)
            return st;
    }
    st = check_places(r, file);
    if (!st)
        st = align(file, r->err);
    qsort(file->entries, file->n, sizeof *file->entries, by_name);
    return st;
}

enum assay_status assay_safetensors_parse(struct assay_safetensors *file, const void *data, size_t size_bytes, const char *where,
                                          struct assay_error *err)
{
    *file = (struct assay_safetensors){0};
    assay_arena_init(&file->arena);
    const unsigned char *bytes = data;
    uint64_t length = 0;
    if (size_bytes < SAFETENSORS_LENGTH_BYTES)
        return assay_error_set(err, ASSAY_INVALID, "%s: %zu bytes are too few for a safetensors file", where, size_bytes);
    for (int i = SAFETENSORS_LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > size_bytes - SAFETENSORS_LENGTH_BYTES)
        return assay_error_set(err, ASSAY_INVALID,
                               "%s: its header should have %llu bytes, but the file ends after %zu: it is cut short, or not a "
                               "safetensors file",
                               where, (unsigned long long)length, size_bytes);
    if (length > SAFETENSORS_LARGEST_HEADER)
        return assay_error_set(err, ASSAY_INVALID, "%s: its header of %llu bytes is larger than %d, the largest that is read",
                               where, (unsigned long long)length, SAFETENSORS_LARGEST_HEADER);
    const char *text = (const char *)bytes + SAFETENSORS_LENGTH_BYTES;
    if (length == 0 || *text != '{')
        return assay_error_set(err, ASSAY_INVALID, "%s: its header does not begin with '{': not a safetensors file", where);
    json_t *header;
    enum assay_status st = assay_json_parse(text, (size_t)length, where, &header, err);
    if (st)
        return st;
    struct reading r = {.where = where,
                        .data = bytes + SAFETENSORS_LENGTH_BYTES + length,
                        .size_bytes = (int64_t)(size_bytes - SAFETENSORS_LENGTH_BYTES - length),
                        .err = err};
    st = read_header(&r, header, file);
    json_decref(header);
    if (st)
        assay_safetensors_release(file);
    return st;
}

enum assay_status assay_safetensors_open(struct assay_safetensors *file, const char *path, struct assay_error *err)
{
    *file = (struct assay_safetensors){0};
    struct assay_map map;
    enum assay_status st = assay_map_open(&map, path, err);
    if (st)
        return st;
    st = assay_safetensors_parse(file, map.data, map.size_bytes, path, err);
    if (st)
        assay_map_release(&map);
    else
        file->map = map;
    return st;
}

void assay_safetensors_release(struct assay_safetensors *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->n; i++)
        assay_tensor_release(&file->entries[i].tensor);
    if (file->map.data)
        assay_map_release(&file->map);
    assay_arena_release(&file->arena);
    *file = (struct assay_safetensors){0};
}

const struct assay_tensor *assay_safetensors_find(const struct assay_safetensors *file, const char *name)
{
    if (file->n == 0)
        return NULL;
    struct assay_safetensors_entry key = {.name = name};
    const struct assay_safetensors_entry *entry = bsearch(&key, file->entries, file->n, sizeof key, by_name);
    return entry ? &entry->tensor : NULL;
}
