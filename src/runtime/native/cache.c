/* SPDX-License-Identifier: Apache-2.0 */
/* See cache.h. */
#include "runtime/native/cache.h"

#include <stdlib.h>
#include <string.h>

#define PUT_COLUMNS(type)                                                                                                        \
    static void put_columns_##type(type *head, int64_t dim, int64_t at, const type *row)                                         \
    {                                                                                                                            \
        type *to = head + at / NATIVE_PANEL * NATIVE_PANEL * dim + at % NATIVE_PANEL;                                            \
        for (int64_t i = 0; i < dim; i++)                                                                                        \
            to[i * NATIVE_PANEL] = row[i];                                                                                       \
    }                                                                                                                            \
    static void get_columns_##type(const type *head, int64_t dim, int64_t at, type *row)                                         \
    {                                                                                                                            \
        const type *from = head + at / NATIVE_PANEL * NATIVE_PANEL * dim + at % NATIVE_PANEL;                                    \
        for (int64_t i = 0; i < dim; i++)                                                                                        \
            row[i] = from[i * NATIVE_PANEL];                                                                                     \
    }
PUT_COLUMNS(uint16_t)
PUT_COLUMNS(uint32_t)

void native_cache_write(struct native_cache *c, int64_t batch, int64_t head, int64_t at, int64_t n, const void *rows,
                        int64_t stride)
{
    unsigned char *to = native_cache_head(c, batch, head);
    int64_t size = native_cache_size(c);
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *row = (const unsigned char *)rows + i * stride;
        if (!c->in_columns)
            memcpy(to + (at + i) * c->dim * size, row, (size_t)(c->dim * size));
        else if (size == 4)
            put_columns_uint32_t((uint32_t *)(void *)to, c->dim, at + i, (const uint32_t *)(const void *)row);
        else
            put_columns_uint16_t((uint16_t *)(void *)to, c->dim, at + i, (const uint16_t *)(const void *)row);
    }
}

static void read_rows(const struct native_cache *c, const unsigned char *head, int64_t n, unsigned char *rows)
{
    int64_t row_bytes = c->dim * native_cache_size(c);
    if (!c->in_columns) {
        memcpy(rows, head, (size_t)(n * row_bytes));
        return;
    }
    for (int64_t i = 0; i < n; i++, rows += row_bytes)
        if (row_bytes == 4 * c->dim)
            get_columns_uint32_t((const uint32_t *)(const void *)head, c->dim, i, (uint32_t *)(void *)rows);
        else
            get_columns_uint16_t((const uint16_t *)(const void *)head, c->dim, i, (uint16_t *)(void *)rows);
}

enum assay_status native_cache_reserve(struct native_cache *c, int64_t length, struct assay_error *err)
{
    if (c->bytes && length <= c->capacity)
        return ASSAY_OK;
    int64_t capacity = 2 * c->capacity > length ? 2 * c->capacity : length;
    capacity = (capacity + NATIVE_PANEL - 1) / NATIVE_PANEL * NATIVE_PANEL;
    capacity = capacity ? capacity : NATIVE_PANEL;
    struct native_cache grown = *c;
    int64_t heads = c->batch * c->heads, row_bytes = c->dim * native_cache_size(c), bytes;
    if (__builtin_mul_overflow(heads * row_bytes, capacity, &bytes) || bytes < 0)
        return assay_error_set(err, ASSAY_NO_MEMORY, "keys of %lld positions are larger than any memory", (long long)length);
    grown.capacity = capacity;
    grown.bytes = aligned_alloc(64, (size_t)(bytes + 64) / 64 * 64);
    if (!grown.bytes)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for %lld bytes of keys and values", (long long)bytes);
    /* Rows that are not there are multiplied too: they must be numbers. */
    int64_t held = c->bytes ? (c->length + NATIVE_PANEL - 1) / NATIVE_PANEL * NATIVE_PANEL : 0;
    for (int64_t h = 0; h < heads; h++) {
        if (held)
            memcpy(grown.bytes + h * capacity * row_bytes, c->bytes + h * c->capacity * row_bytes, (size_t)(held * row_bytes));
        memset(grown.bytes + (h * capacity + held) * row_bytes, 0, (size_t)((capacity - held) * row_bytes));
    }
    free(c->bytes);
    *c = grown;
    return ASSAY_OK;
}

enum assay_status native_cache_load(struct native_cache *c, const struct assay_tensor *tensor, int64_t more,
                                    struct assay_error *err)
{
    const struct assay_type *type = &tensor->type;
    int64_t length = type->dims[2];
    if (c->dtype != type->dtype || c->batch != type->dims[0] || c->heads != type->dims[1] || c->dim != type->dims[3]) {
        native_cache_release(c);
        c->dtype = type->dtype;
        c->batch = type->dims[0];
        c->heads = type->dims[1];
        c->dim = type->dims[3];
    }
    c->length = 0;
    enum assay_status st = native_cache_reserve(c, length + more, err);
    if (st)
        return st;
    int64_t row_bytes = c->dim * native_cache_size(c);
    for (int64_t b = 0; b < c->batch; b++)
        for (int64_t h = 0; h < c->heads; h++)
            native_cache_write(c, b, h, 0, length, (const unsigned char *)tensor->data + (b * c->heads + h) * length * row_bytes,
                               row_bytes);
    c->length = length;
    c->holds = true;
    return ASSAY_OK;
}

enum assay_status native_cache_store(const struct native_cache *c, struct assay_tensor *tensor, struct assay_error *err)
{
    struct assay_type type = assay_type_make(c->dtype, 4, (int64_t[]){c->batch, c->heads, c->length, c->dim});
    enum assay_status st = assay_tensor_alloc(tensor, &type, err);
    for (int64_t i = 0; !st && i < c->batch * c->heads; i++)
        read_rows(c, native_cache_head(c, 0, i), c->length,
                  (unsigned char *)tensor->data + i * c->length * c->dim * native_cache_size(c));
    return st;
}

void native_cache_release(struct native_cache *c)
{
    free(c->bytes);
    *c = (struct native_cache){.in_columns = c->in_columns};
}
