/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors files: named tensors and a map of texts (https://huggingface.co/docs/safetensors, format of the 8-byte length, JSON
 * header, data).
 *
 * A file from outside is not believed: header length, JSON, dtypes, shapes, offsets, overlaps and gaps are checked; what is wrong
 * gives ASSAY_INVALID with the tensor's name. Tensors borrow the mapped file, which lives until release;
 * one whose data the file does not align to its elements is copied.
 */
#ifndef ASSAY_MODEL_SAFETENSORS_H
#define ASSAY_MODEL_SAFETENSORS_H

#include "base/arena.h"
#include "base/fs.h"
#include "graph/tensor.h"

struct assay_safetensors_entry {
    const char *name;
    struct assay_tensor tensor;
};

struct assay_safetensors {
    struct assay_arena arena;
    struct assay_map map;
    struct assay_safetensors_entry *entries; /* sorted by name */
    size_t n;
    const char **metadata; /* [2 * n_metadata]: key, text, key, text … */
    size_t n_metadata;
};

/* ASSAY_UNSUPPORTED: a dtype that Assay does not have, or more than ASSAY_MAX_RANK dimensions. After a failure there is nothing
 * to release. */
enum assay_status assay_safetensors_open(struct assay_safetensors *file, const char *path, struct assay_error *err);
/* The same from memory, which must outlive `file`; `where` begins the sentence of an error. */
enum assay_status assay_safetensors_parse(struct assay_safetensors *file, const void *data, size_t size_bytes, const char *where,
                                          struct assay_error *err);
void assay_safetensors_release(struct assay_safetensors *file);
/* NULL if there is none of that name. Borrowed until release. */
const struct assay_tensor *assay_safetensors_find(const struct assay_safetensors *file, const char *name);

/* Writes atomically; the data begins at a multiple of 64 bytes, each tensor at one of its element size. metadata: as above, may
 * be NULL. ASSAY_INVALID: two tensors of one name, or a text that is not UTF-8. */
enum assay_status assay_safetensors_write(const char *path, const struct assay_safetensors_entry *entries, size_t n,
                                          const char *const *metadata, size_t n_metadata, struct assay_error *err);

#endif
