/* SPDX-License-Identifier: Apache-2.0 */
/* See tensor.h. Conversion between dtypes is in convert.c, comparison in compare.c. */
#include "graph/tensor.h"

#include "base/arena.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ALIGNMENT = 64 };

/* Counted owner of bytes. Bytes that we allocate follow it in the same block, at ALIGNMENT. */
struct assay_buffer {
    atomic_long owners;
    void (*release)(void *context); /* NULL: the bytes are in this block */
    void *context;
};
_Static_assert(sizeof(struct assay_buffer) <= ALIGNMENT, "the bytes start ALIGNMENT after the buffer");

struct assay_type assay_type_make(enum assay_dtype dtype, int rank, const int64_t *dims)
{
    ASSAY_ASSERT(rank >= -1 && rank <= ASSAY_MAX_RANK);
    struct assay_type type = {.dtype = dtype, .rank = rank};
    if (rank > 0)
        memcpy(type.dims, dims, (size_t)rank * sizeof *dims);
    return type;
}

bool assay_type_is_known(const struct assay_type *type)
{
    if (type->dtype == ASSAY_NO_DTYPE || type->rank < 0)
        return false;
    for (int i = 0; i < type->rank; i++)
        if (type->dims[i] < 0)
            return false;
    return true;
}

bool assay_type_equal(const struct assay_type *a, const struct assay_type *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           (a->rank <= 0 || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0);
}

int64_t assay_type_count(const struct assay_type *type)
{
    if (type->rank < 0)
        return -1;
    int64_t count = 1;
    bool overflow = false, zero = false;
    for (int i = 0; i < type->rank; i++) {
        if (type->dims[i] < 0)
            return -1;
        zero |= type->dims[i] == 0;
        overflow |= __builtin_mul_overflow(count, type->dims[i], &count);
    }
    if (zero)
        return 0;
    return overflow ? INT64_MAX : count;
}

int64_t assay_type_bytes(const struct assay_type *type)
{
    int64_t count = assay_type_count(type), size = (int64_t)assay_dtype_size(type->dtype), bytes;
    if (count >= 0 && assay_dtype_is_packed(type->dtype))
        return count / 2 + count % 2;
    if (count < 0 || size == 0)
        return -1;
    return __builtin_mul_overflow(count, size, &bytes) ? INT64_MAX : bytes;
}

char *assay_type_text(const struct assay_type *type, char *text, size_t size)
{
    size_t at = (size_t)snprintf(text, size, "%s[", type->dtype ? assay_dtype_word(type->dtype) : "?");
    for (int i = 0; i < type->rank && at < size; i++) {
        const char *comma = i ? "," : "";
        if (type->dims[i] < 0)
            at += (size_t)snprintf(text + at, size - at, "%s?", comma);
        else
            at += (size_t)snprintf(text + at, size - at, "%s%lld", comma, (long long)type->dims[i]);
    }
    if (at < size)
        snprintf(text + at, size - at, type->rank < 0 ? "...]" : "]");
    return text;
}

/* Linux promises more than it has; what exceeds twice the machine's memory is refused before it starts to swap or be killed. */
static bool is_beyond_memory(int64_t bytes)
{
    if (bytes < (int64_t)1 << 28)
        return false;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 && bytes / page / 2 >= pages;
}

enum assay_status assay_tensor_alloc(struct assay_tensor *tensor, const struct assay_type *type, struct assay_error *err)
{
    char text[256];
    if (!assay_type_is_known(type))
        return assay_error_set(err, ASSAY_INVALID, "a tensor of type %s cannot exist: its type is not fully known",
                               assay_type_text(type, text, sizeof text));
    int64_t bytes = assay_type_bytes(type);
    if (bytes < 0 || bytes > INT64_MAX - 2 * ALIGNMENT)
        return assay_error_set(err, ASSAY_INVALID, "a tensor of type %s cannot exist: its size overflows",
                               assay_type_text(type, text, sizeof text));
    size_t size = ((size_t)bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT;
    struct assay_buffer *buffer = is_beyond_memory(bytes) ? NULL : aligned_alloc(ALIGNMENT, size);
    if (!buffer)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for a tensor of type %s (%lld bytes)",
                               assay_type_text(type, text, sizeof text), (long long)bytes);
    buffer->release = NULL;
    buffer->context = NULL;
    atomic_init(&buffer->owners, 1);
    *tensor = (struct assay_tensor){.type = *type, .data = (char *)buffer + ALIGNMENT, .buffer = buffer};
    return ASSAY_OK;
}

void assay_tensor_share(struct assay_tensor *to, const struct assay_tensor *from)
{
    if (from->buffer)
        atomic_fetch_add_explicit(&from->buffer->owners, 1, memory_order_relaxed);
    *to = *from;
}

void assay_tensor_view(struct assay_tensor *to, const struct assay_tensor *from, const struct assay_type *type)
{
    ASSAY_ASSERT(assay_type_bytes(type) == assay_type_bytes(&from->type));
    struct assay_type copy = *type; /* may be to->type */
    assay_tensor_share(to, from);
    to->type = copy;
}

void assay_tensor_borrow(struct assay_tensor *to, const struct assay_type *type, const void *data)
{
    *to = (struct assay_tensor){.type = *type, .data = (void *)data};
}

void assay_tensor_adopt(struct assay_tensor *to, const struct assay_type *type, void *data, void (*release)(void *context),
                        void *context)
{
    struct assay_buffer *buffer = assay_alloc(sizeof *buffer);
    buffer->release = release;
    buffer->context = context;
    atomic_init(&buffer->owners, 1);
    *to = (struct assay_tensor){.type = *type, .data = data, .buffer = buffer};
}

enum assay_status assay_tensor_copy(struct assay_tensor *to, const struct assay_tensor *from, struct assay_error *err)
{
    struct assay_tensor copy;
    enum assay_status st = assay_tensor_alloc(&copy, &from->type, err);
    if (st)
        return st;
    memcpy(copy.data, from->data, (size_t)assay_tensor_bytes(from));
    *to = copy;
    return ASSAY_OK;
}

void assay_tensor_release(struct assay_tensor *tensor)
{
    if (!tensor)
        return;
    struct assay_buffer *buffer = tensor->buffer;
    if (buffer && atomic_fetch_sub_explicit(&buffer->owners, 1, memory_order_acq_rel) == 1) {
        if (buffer->release)
            buffer->release(buffer->context);
        free(buffer);
    }
    *tensor = (struct assay_tensor){0};
}

bool assay_tensor_is_shared(const struct assay_tensor *tensor)
{
    if (!tensor->buffer)
        return tensor->data != NULL;
    return atomic_load_explicit(&tensor->buffer->owners, memory_order_acquire) > 1;
}
