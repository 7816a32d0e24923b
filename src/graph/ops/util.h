/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the op families share: helpers for shape rules (axes, dtypes, broadcasting, in all of which an unknown dimension is -1),
 * and the walk, which turns broadcast or strided operands into long inner loops.
 *
 * Sentences of errors carry no op or node name: assay_op_infer puts it in front.
 */
#ifndef ASSAY_GRAPH_OPS_UTIL_H
#define ASSAY_GRAPH_OPS_UTIL_H

#include "graph/op.h"

/* ---- sets of dtypes: a bit each */

#define ASSAY_DTYPE_BIT(dtype) (1u << (dtype))
enum assay_dtype_set {
    ASSAY_SET_FLOAT16 = ASSAY_DTYPE_BIT(ASSAY_F16) | ASSAY_DTYPE_BIT(ASSAY_BF16),
    ASSAY_SET_FLOAT = ASSAY_DTYPE_BIT(ASSAY_F32) | ASSAY_DTYPE_BIT(ASSAY_F64) | ASSAY_SET_FLOAT16,
    ASSAY_SET_SIGNED =
        ASSAY_DTYPE_BIT(ASSAY_I8) | ASSAY_DTYPE_BIT(ASSAY_I16) | ASSAY_DTYPE_BIT(ASSAY_I32) | ASSAY_DTYPE_BIT(ASSAY_I64),
    ASSAY_SET_UNSIGNED =
        ASSAY_DTYPE_BIT(ASSAY_U8) | ASSAY_DTYPE_BIT(ASSAY_U16) | ASSAY_DTYPE_BIT(ASSAY_U32) | ASSAY_DTYPE_BIT(ASSAY_U64),
    ASSAY_SET_INTEGER = ASSAY_SET_SIGNED | ASSAY_SET_UNSIGNED,
    ASSAY_SET_NUMBER = ASSAY_SET_FLOAT | ASSAY_SET_INTEGER,
    ASSAY_SET_INDEX = ASSAY_DTYPE_BIT(ASSAY_I32) | ASSAY_DTYPE_BIT(ASSAY_I64),
    ASSAY_SET_BOOL = ASSAY_DTYPE_BIT(ASSAY_BOOL),
    ASSAY_SET_ANY = ASSAY_SET_NUMBER | ASSAY_SET_BOOL,
};

/* The same for kernels: X(NAME, C type, type to calculate in: for integers an unsigned one, in which overflow wraps). */
#define ASSAY_REAL_TYPES(X)                                                                                                      \
    X(F32, float, float)                                                                                                         \
    X(F64, double, double)
#define ASSAY_SIGNED_TYPES(X)                                                                                                    \
    X(I8, int8_t, uint32_t)                                                                                                      \
    X(I16, int16_t, uint32_t)                                                                                                    \
    X(I32, int32_t, uint32_t)                                                                                                    \
    X(I64, int64_t, uint64_t)
#define ASSAY_UNSIGNED_TYPES(X)                                                                                                  \
    X(U8, uint8_t, uint32_t)                                                                                                     \
    X(U16, uint16_t, uint32_t)                                                                                                   \
    X(U32, uint32_t, uint32_t)                                                                                                   \
    X(U64, uint64_t, uint64_t)

/* ---- shape rules */

/* Of a known dtype (or ASSAY_NO_DTYPE) and unknown rank. */
static inline struct assay_type assay_type_unknown(enum assay_dtype dtype)
{
    return (struct assay_type){.dtype = dtype, .rank = -1};
}

/* Whether the node gives input i (its type may still be unknown), and whether it wants output i. */
bool assay_rule_has_input(const struct assay_op_call *call, int i);
bool assay_rule_has_output(const struct assay_op_call *call, int i);
/* ASSAY_INVALID if the node leaves out an input from number `first` on: for ops of any number of inputs. */
enum assay_status assay_rule_all_given(const struct assay_op_call *call, int first, struct assay_error *err);
/* The contents of input i, NULL if it is not given or not known (yet). */
const struct assay_tensor *assay_rule_data(const struct assay_op_call *call, int i);

/* ASSAY_UNSUPPORTED if input i has a dtype outside of `set` (enum assay_dtype_set); an unknown one passes. */
enum assay_status assay_rule_dtype(const struct assay_op_call *call, int i, unsigned set, struct assay_error *err);
/* The same of the n inputs that are listed. */
enum assay_status assay_rule_dtypes(const struct assay_op_call *call, size_t n, const int *inputs, unsigned set,
                                    struct assay_error *err);
/* ASSAY_INVALID if inputs i and j have different known dtypes, or different ranks. */
enum assay_status assay_rule_same_dtype(const struct assay_op_call *call, int i, int j, struct assay_error *err);
/* ASSAY_INVALID if input i has a known rank outside of [low, high]. */
enum assay_status assay_rule_rank(const struct assay_op_call *call, int i, int low, int high, struct assay_error *err);
/* The dtype of attribute `name` (a TensorProto.DataType), `otherwise` if missing; ASSAY_UNSUPPORTED if it isn't in `set`. */
enum assay_status assay_rule_dtype_attr(const struct assay_op_call *call, const char *name, enum assay_dtype otherwise,
                                        unsigned set, enum assay_dtype *dtype, struct assay_error *err);

/* An axis in [-rank, rank) as 0 … rank-1. */
enum assay_status assay_rule_axis(int64_t axis, int rank, int *normalised, struct assay_error *err);
/* A list of axes as a mask, bit d = dimension d; the same axis twice is ASSAY_INVALID. */
enum assay_status assay_rule_axes(const int64_t *axes, size_t n, int rank, unsigned *mask, struct assay_error *err);
/* The elements of an i32 or i64 tensor of rank ≤ 1 as a list, at most `room`: shapes, axes, pads. ASSAY_INVALID for another. */
enum assay_status assay_rule_ints(const struct assay_tensor *tensor, int64_t *values, size_t room, size_t *n,
                                  struct assay_error *err);
/* Attribute `name` (older form), or else the contents of input i (newer form). *known is false if they are given as an input
 * whose contents are not known; *given is false if there is neither. */
enum assay_status assay_rule_ints_of(const struct assay_op_call *call, const char *name, int i, int64_t *values, size_t room,
                                     size_t *n, bool *given, bool *known, struct assay_error *err);

/* The shape (rank and dims) that `a` and `b` broadcast to, as NumPy does, into *out, whose dtype stays; out may be a or b. */
enum assay_status assay_rule_broadcast(const struct assay_type *a, const struct assay_type *b, struct assay_type *out,
                                       struct assay_error *err);
/* The dimension that two statements about it agree on: the known one. ASSAY_INVALID if both are known and differ; `what` names
 * it. */
enum assay_status assay_rule_merge_dim(int64_t *dim, int64_t other, const char *what, struct assay_error *err);
/* A whole rule: output 0 has the type of input 0, which must be of `set`. */
enum assay_status assay_rule_same(struct assay_op_call *call, unsigned set, struct assay_error *err);

/* Dimensions before, at and after an axis: [outer, n, inner]. Where the tensor has no elements, products may have wrapped around:
 * look at assay_type_count first. */
struct assay_split {
    int64_t outer, n, inner;
};
/* Of a known type. */
struct assay_split assay_split_at(const struct assay_type *type, int axis);
/* Product of dims[from] … dims[to-1] of a known type. */
int64_t assay_dims_product(const struct assay_type *type, int from, int to);
/* Strides in elements of a known type, row-major. */
void assay_dims_strides(const struct assay_type *type, int64_t strides[ASSAY_MAX_RANK]);

/* ---- costs */

/* One operation an element of output 0, or of input 0. */
void assay_cost_per_output(const struct assay_op_call *call, struct assay_cost *cost);
void assay_cost_per_input(const struct assay_op_call *call, struct assay_cost *cost);

/* ---- the walk */

enum { ASSAY_WALK_OPERANDS = 5 };

/*
 * Walks several operands over one shape in row-major order, an inner loop at a time:
 *
 *     struct assay_walk walk;
 *     for (assay_walk_broadcast(&walk, &shape, n, types); walk.more; assay_walk_next(&walk))
 *         for (int64_t i = 0; i < walk.n; i++)
 *             … data[k][walk.offset[k] + i * walk.step[k]] …
 *
 * Dimensions that lie one after another in every operand are merged, so that contiguous operands are one inner loop. Offsets and
 * steps count elements. A shape with no elements gives no loop at all.
 */
struct assay_walk {
    bool more;
    int64_t n;                           /* of the inner loop */
    int64_t step[ASSAY_WALK_OPERANDS];   /* in the inner loop; 0 = the same element again */
    int64_t offset[ASSAY_WALK_OPERANDS]; /* where the inner loop begins */
    /* Of the walk itself: */
    int rank, n_operands; /* outer dimensions */
    int64_t dims[ASSAY_MAX_RANK], at[ASSAY_MAX_RANK];
    int64_t strides[ASSAY_WALK_OPERANDS][ASSAY_MAX_RANK];
};

/* Operands whose types (known) broadcast to `shape` (known). */
void assay_walk_broadcast(struct assay_walk *walk, const struct assay_type *shape, int n_operands,
                          const struct assay_type *const *types);
/* Operands with any strides, strides[k][d] in elements (negative too); offsets start at 0. */
void assay_walk_strided(struct assay_walk *walk, int rank, const int64_t *dims, int n_operands,
                        int64_t strides[][ASSAY_MAX_RANK]);
void assay_walk_next(struct assay_walk *walk);

#endif
