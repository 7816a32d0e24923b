/* SPDX-License-Identifier: Apache-2.0 */
/* Writing safetensors files, see safetensors.h. */
#include "base/json.h"
#include "model/safetensors.h"
#include "model/safetensors_format.h"

#include <errno.h>
#include <stdlib.h>

/* Large elements first, so that each tensor is aligned to its elements although no gaps are allowed. */
static int by_alignment(const void *a, const void *b)
{
    const struct assay_safetensors_entry *x = *(const struct assay_safetensors_entry *const *)a;
    const struct assay_safetensors_entry *y = *(const struct assay_safetensors_entry *const *)b;
    size_t m = assay_dtype_size(x->tensor.type.dtype), n = assay_dtype_size(y->tensor.type.dtype);
    return m != n ? (m < n) - (m > n) : strcmp(x->name, y->name);
}

static enum assay_status add_metadata(json_t *header, const char *path, const char *const *metadata, size_t n_metadata,
                                      struct assay_error *err)
{
    if (n_metadata == 0)
        return ASSAY_OK;
    json_t *object = json_object();
    json_object_set_new(header, "__metadata__", object);
    for (size_t i = 0; i < n_metadata; i++)
        if (json_object_set_new(object, metadata[2 * i], json_string(metadata[2 * i + 1])))
            return assay_error_set(err, ASSAY_INVALID, "%s: '%s' cannot be written: key or text is not UTF-8", path,
                                   metadata[2 * i]);
    return ASSAY_OK;
}

/* Describes a tensor at *offset, and moves it behind. */
static enum assay_status add_tensor(json_t *header, const char *path, const struct assay_safetensors_entry *entry,
                                    int64_t *offset, struct assay_error *err)
{
    const struct assay_type *type = &entry->tensor.type;
    const char *word = assay_safetensors_word(type->dtype);
    ASSAY_ASSERT(word && entry->tensor.data && assay_type_is_known(type));
    if (strcmp(entry->name, "__metadata__") == 0 || json_object_get(header, entry->name))
        return assay_error_set(err, ASSAY_INVALID, "%s: two tensors would have the name '%s'", path, entry->name);
    json_t *shape = json_array();
    for (int i = 0; i < type->rank; i++)
        json_array_append_new(shape, json_integer(type->dims[i]));
    int64_t end = *offset + assay_type_bytes(type);
    json_t *description =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", word, "shape", shape, "data_offsets", (json_int_t)*offset, (json_int_t)end);
    if (json_object_set_new(header, entry->name, description))
        return assay_error_set(err, ASSAY_INVALID, "%s: a tensor's name is not UTF-8", path);
    *offset = end;
    return ASSAY_OK;
}

static bool write_all(FILE *file, const void *data, size_t size_bytes)
{
    return size_bytes == 0 || fwrite(data, size_bytes, 1, file) == 1;
}

static enum assay_status write_file(const char *path, const char *header, const struct assay_safetensors_entry *const *sorted,
                                    size_t n, struct assay_error *err)
{
    size_t length = strlen(header), unpadded = length + SAFETENSORS_LENGTH_BYTES;
    size_t padding = (SAFETENSORS_ALIGNMENT - unpadded % SAFETENSORS_ALIGNMENT) % SAFETENSORS_ALIGNMENT;
    if (length + padding > SAFETENSORS_LARGEST_HEADER)
        return assay_error_set(err, ASSAY_INVALID, "%s: names and texts of %zu bytes are too many for a safetensors file", path,
                               length);
    unsigned char prefix[SAFETENSORS_LENGTH_BYTES];
    for (int i = 0; i < SAFETENSORS_LENGTH_BYTES; i++)
        prefix[i] = (unsigned char)((uint64_t)(length + padding) >> (8 * i));
    char spaces[SAFETENSORS_ALIGNMENT];
    memset(spaces, ' ', sizeof spaces);

    struct assay_atomic_file f = {0};
    enum assay_status st = assay_atomic_open(&f, path, err);
    if (st)
        return st;
    errno = 0;
    bool fine =
        write_all(f.file, prefix, sizeof prefix) && write_all(f.file, header, length) && write_all(f.file, spaces, padding);
    for (size_t i = 0; i < n && fine; i++)
        fine = write_all(f.file, sorted[i]->tensor.data, (size_t)assay_tensor_bytes(&sorted[i]->tensor));
    if (fine)
        return assay_atomic_commit(&f, err);
    st = assay_fs_error(err, errno, "%s could not be written", path);
    assay_atomic_abandon(&f);
    return st;
}

enum assay_status assay_safetensors_write(const char *path, const struct assay_safetensors_entry *entries, size_t n,
                                          const char *const *metadata, size_t n_metadata, struct assay_error *err)
{
    const struct assay_safetensors_entry **sorted = assay_alloc((n + 1) * sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &entries[i];
    qsort(sorted, n, sizeof *sorted, by_alignment);
    char *text = NULL;
    int64_t offset = 0;
    json_t *header = json_object();
    enum assay_status st = add_metadata(header, path, metadata, n_metadata, err);
    for (size_t i = 0; i < n && !st; i++)
        st = add_tensor(header, path, sorted[i], &offset, err);
    if (st)
        goto done;
    text = json_dumps(header, JSON_COMPACT);
    if (!text) {
        st = assay_error_set(err, ASSAY_NO_MEMORY, "%s: no memory for its header", path);
        goto done;
    }
    st = write_file(path, text, sorted, n, err);
done:
    free(text);
    json_decref(header);
    free(sorted);
    return st;
}
