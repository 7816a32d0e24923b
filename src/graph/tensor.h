/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors: a type, and bytes in row-major order without gaps.
 *
 * Ownership: the bytes belong to a reference-counted buffer, so that a reshape, a graph's constant and a runtime's input can be
 * the same bytes. A tensor with data and no buffer borrows them, and its maker says for how long. Zeroed memory is a valid empty
 * tensor. Threads: the count is atomic; the bytes are the users' affair.
 */
#ifndef ASSAY_GRAPH_TENSOR_H
#define ASSAY_GRAPH_TENSOR_H

#include "base/status.h"
#include "graph/dtype.h"

enum { ASSAY_MAX_RANK = 10 };

/* What is known of a tensor before it exists. */
struct assay_type {
    enum assay_dtype dtype;       /* ASSAY_NO_DTYPE = unknown */
    int rank;                     /* -1 = unknown; 0 = scalar */
    int64_t dims[ASSAY_MAX_RANK]; /* -1 = unknown */
};

struct assay_tensor {
    struct assay_type type; /* all known, once there is data */
    void *data;             /* aligned to 64 bytes when we allocated it; never NULL in a live tensor, even with no elements */
    struct assay_buffer *buffer;
};

struct assay_type assay_type_make(enum assay_dtype dtype, int rank, const int64_t *dims);
bool assay_type_is_known(const struct assay_type *type); /* dtype, rank and all dimensions */
bool assay_type_equal(const struct assay_type *a, const struct assay_type *b);
/* Product of the dimensions, 1 for a scalar; -1 if not all known. Overflow is caught where types are made from files (load,
 * alloc). */
int64_t assay_type_count(const struct assay_type *type);
int64_t assay_type_bytes(const struct assay_type *type); /* of 4 bits: whole bytes; -1 if not known */
/* "f32[1,3,224,224]", unknown dimensions as "?", into text. Returns text. */
char *assay_type_text(const struct assay_type *type, char *text, size_t size);

/* Uninitialised bytes of a known type. ASSAY_NO_MEMORY if they cannot be had, ASSAY_INVALID if a dimension is negative or the
 * size overflows. */
enum assay_status assay_tensor_alloc(struct assay_tensor *tensor, const struct assay_type *type, struct assay_error *err);
/* *to becomes another owner of the same bytes (or another borrower, where `from` borrows). */
void assay_tensor_share(struct assay_tensor *to, const struct assay_tensor *from);
/* As share, under another shape of as many bytes (asserted). */
void assay_tensor_view(struct assay_tensor *to, const struct assay_tensor *from, const struct assay_type *type);
/* Borrows bytes that the caller keeps alive. */
void assay_tensor_borrow(struct assay_tensor *to, const struct assay_type *type, const void *data);
/* Owns bytes through a function that frees them (a map, another library's buffer). */
void assay_tensor_adopt(struct assay_tensor *to, const struct assay_type *type, void *data, void (*release)(void *context),
                        void *context);
enum assay_status assay_tensor_copy(struct assay_tensor *to, const struct assay_tensor *from, struct assay_error *err);
/* Gives up one ownership; the tensor is empty afterwards. */
void assay_tensor_release(struct assay_tensor *tensor);
bool assay_tensor_is_shared(const struct assay_tensor *tensor); /* somebody else holds the bytes too, or they are borrowed */

static inline int64_t assay_tensor_count(const struct assay_tensor *t) { return assay_type_count(&t->type); }
static inline int64_t assay_tensor_bytes(const struct assay_tensor *t) { return assay_type_bytes(&t->type); }

/* One element as a double or an int64 (bool as 0/1, 16-bit floats converted). Not for inner loops. */
double assay_tensor_real(const struct assay_tensor *tensor, int64_t index);
int64_t assay_tensor_int(const struct assay_tensor *tensor, int64_t index);
/* Element `index` of a tensor of U4 or I4. */
static inline int assay_four_bits(const struct assay_tensor *tensor, int64_t index)
{
    int code = ((const unsigned char *)tensor->data)[index / 2] >> (index % 2 * 4) & 15;
    return tensor->type.dtype == ASSAY_I4 ? (code ^ 8) - 8 : code;
}
void assay_tensor_set_real(struct assay_tensor *tensor, int64_t index, double value);

/* A whole tensor converted to another dtype, values as C casts them (ONNX Cast's rules, see graph/ops/cast.c, are stricter). */
enum assay_status assay_tensor_convert(struct assay_tensor *to, const struct assay_tensor *from, enum assay_dtype dtype,
                                       struct assay_error *err);

/* How far `got` is from `wanted`. */
struct assay_difference {
    double max_abs;  /* largest |got - wanted| */
    double max_rel;  /* max_abs over the largest |wanted| of the tensor (0/0 = 0): the measure of Assay's tolerances */
    int64_t index;   /* where max_abs was found */
    int64_t n_wrong; /* elements with |got - wanted| > abs + rel * |wanted|; NaN equals NaN, and infinities equal their like */
    bool same_type;  /* dtype and shape agree; if not, nothing else is set */
};
struct assay_difference assay_tensor_compare(const struct assay_tensor *got, const struct assay_tensor *wanted, double abs,
                                             double rel);

#endif
