/* SPDX-License-Identifier: Apache-2.0 */
/* See builder.h: constants, ops, shapes. */
#include "model/builder.h"

#include <float.h>

/* ---- constants */

int b_scalar(struct assay_builder *b, double f) { return e_float(&b->emit, f); }
int b_lowest(struct assay_builder *b) { return b_scalar(b, -FLT_MAX); }
int b_int(struct assay_builder *b, int64_t i) { return e_int(&b->emit, i); }
int b_ints(struct assay_builder *b, size_t n, const int64_t *values) { return e_ints(&b->emit, n, values); }

int b_floats(struct assay_builder *b, const char *name, size_t rank, const int64_t *dims, const float *values)
{
    struct assay_type type = assay_type_make(ASSAY_F32, (int)rank, dims);
    return e_constant(&b->emit, assay_arena_printf(&b->arena, "%s/%s", *b->scope ? b->scope : "const", name), &type, values);
}

/* ---- nodes */

int b_op(struct assay_builder *b, const char *type, int n_inputs, const int *inputs)
{
    return e_op(&b->emit, type, n_inputs, inputs);
}

void b_op_many(struct assay_builder *b, const char *type, int n_inputs, const int *inputs, int n_outputs, int *outputs)
{
    for (int i = 0; i < n_outputs; i++)
        outputs[i] = 0;
    e_many(&b->emit, type, "", n_inputs, inputs, n_outputs, outputs);
    for (int i = 0; i < n_outputs && b->emit.status; i++)
        outputs[i] = -1;
}

struct assay_node *b_last(struct assay_builder *b)
{
    struct assay_node *node = e_last(&b->emit);
    return node ? node : assay_arena_alloc(&b->arena, sizeof *node);
}

void b_set_int(struct assay_builder *b, const char *name, int64_t value) { e_set_int(&b->emit, name, value); }
void b_set_float(struct assay_builder *b, const char *name, double value) { e_set_float(&b->emit, name, value); }
void b_set_text(struct assay_builder *b, const char *name, const char *value) { e_set_text(&b->emit, name, value); }
void b_set_ints(struct assay_builder *b, const char *name, size_t n, const int64_t *values)
{
    e_set_ints(&b->emit, name, n, values);
}

int b_split(struct assay_builder *b, int x, int64_t axis, size_t n, const int64_t *sizes, int *parts)
{
    int lengths = b_ints(b, n, sizes), inputs[] = {x, lengths};
    b_op_many(b, "Split", 2, inputs, (int)n, parts);
    b_set_int(b, "axis", axis);
    return parts[0];
}

int b_unary(struct assay_builder *b, const char *type, int x) { return e_unary(&b->emit, type, x); }
int b_add(struct assay_builder *b, int x, int y) { return e_add(&b->emit, x, y); }
int b_sub(struct assay_builder *b, int x, int y) { return e_sub(&b->emit, x, y); }
int b_mul(struct assay_builder *b, int x, int y) { return e_mul(&b->emit, x, y); }
int b_div(struct assay_builder *b, int x, int y) { return e_div(&b->emit, x, y); }
int b_scale(struct assay_builder *b, int x, double factor) { return e_scale(&b->emit, x, factor); }
int b_matmul(struct assay_builder *b, int x, int y) { return e_matmul(&b->emit, x, y); }
int b_where(struct assay_builder *b, int condition, int x, int y) { return e_where(&b->emit, condition, x, y); }
int b_cast(struct assay_builder *b, int x, enum assay_dtype dtype) { return e_cast(&b->emit, x, dtype); }
int b_softmax(struct assay_builder *b, int x, int64_t axis) { return e_softmax(&b->emit, x, axis); }

int b_reduce(struct assay_builder *b, const char *type, int x, bool keep, size_t n, const int64_t *axes)
{
    return e_reduce(&b->emit, type, x, keep, n, axes);
}

int b_l2_normalize(struct assay_builder *b, int x) { return b_div(b, x, b_reduce(b, "ReduceL2", x, true, B_LIST(-1))); }

int b_argmax(struct assay_builder *b, int x, int64_t axis)
{
    int y = b_op(b, "ArgMax", B_VALUES(x));
    b_set_int(b, "axis", axis);
    b_set_int(b, "keepdims", 0);
    return y;
}

/* ---- shapes */

static const struct assay_type *type_of(const struct assay_builder *b, int x) { return e_type((struct assay_emit *)&b->emit, x); }

int b_rank(const struct assay_builder *b, int x) { return type_of(b, x)->rank; }
enum assay_dtype b_dtype(const struct assay_builder *b, int x) { return type_of(b, x)->dtype; }

int64_t b_dim(const struct assay_builder *b, int x, int axis)
{
    const struct assay_type *type = type_of(b, x);
    axis += axis < 0 ? type->rank : 0;
    return axis >= 0 && axis < type->rank ? type->dims[axis] : -1;
}

int b_size(struct assay_builder *b, int x, int64_t axis)
{
    int64_t rank = b_rank(b, x);
    int y = b_op(b, "Shape", B_VALUES(x));
    axis += axis < 0 && rank >= 0 ? rank : 0;
    b_set_int(b, "start", axis);
    b_set_int(b, "end", axis + 1);
    return y;
}

int b_size_scalar(struct assay_builder *b, int x, int64_t axis) { return b_squeeze(b, b_size(b, x, axis), B_LIST(0)); }

int b_reshape(struct assay_builder *b, int x, size_t n, const int64_t *dims) { return e_reshape(&b->emit, x, n, dims); }
int b_reshape_to(struct assay_builder *b, int x, int shape) { return e_reshape_to(&b->emit, x, shape); }
int b_transpose(struct assay_builder *b, int x, size_t n, const int64_t *order) { return e_transpose(&b->emit, x, n, order); }
int b_concat(struct assay_builder *b, int64_t axis, int n, const int *values) { return e_concat(&b->emit, axis, n, values); }
int b_gather(struct assay_builder *b, int x, int64_t axis, int indices) { return e_gather(&b->emit, x, axis, indices); }

int b_slice(struct assay_builder *b, int x, int64_t axis, int64_t start, int64_t end)
{
    return e_slice(&b->emit, x, axis, start, end);
}

int b_take(struct assay_builder *b, int x, int64_t axis, int64_t index) { return b_gather(b, x, axis, b_int(b, index)); }

int b_unsqueeze(struct assay_builder *b, int x, size_t n, const int64_t *axes) { return e_unsqueeze(&b->emit, x, n, axes); }
int b_squeeze(struct assay_builder *b, int x, size_t n, const int64_t *axes) { return e_squeeze(&b->emit, x, n, axes); }
int b_expand(struct assay_builder *b, int x, int shape) { return e_expand(&b->emit, x, shape); }

int b_expand_batch(struct assay_builder *b, int x, int like)
{
    int n_others = b_rank(b, x) - 1;
    static const int64_t ones[ASSAY_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    if (b->emit.status || n_others < 0)
        return b_fail(b, ASSAY_INVALID, "what is repeated over a batch must have a known rank above 0");
    return b_expand(b, x, b_concat(b, 0, B_VALUES(b_size(b, like, 0), b_ints(b, (size_t)n_others, ones))));
}

int b_range(struct assay_builder *b, int start, int limit) { return b_op(b, "Range", B_VALUES(start, limit, b_int(b, 1))); }
