/* SPDX-License-Identifier: Apache-2.0 */
/* What many gradient rules are made of: reading a node, and formulas. */
#ifndef ASSAY_GRAPH_OPS_RULES_H
#define ASSAY_GRAPH_OPS_RULES_H

#include "graph/gradient.h"
#include "graph/known.h"

/* What inference knows of a node's call, for the reader of attributes and constants that the op's kernel and shape rule have too;
 * its arrays last as long as the graph. */
static inline struct assay_op_call e_call(struct assay_emit *e, const struct assay_node *node)
{
    struct assay_op_call call;
    assay_graph_known_call(&call, e->graph, node, &e->graph->arena);
    return call;
}
/* Takes over how such a reader ended; false after a failure, an earlier one too. */
static inline bool e_take(struct assay_emit *e, enum assay_status st, const struct assay_error *err)
{
    if (st)
        e_fail(e, st, "%s", err->message);
    return !e->status;
}
/* The same of one that needs contents, and sets *known where it has them: `otherwise` says which must be constant. */
static inline bool e_take_known(struct assay_emit *e, enum assay_status st, const bool *known, const char *otherwise)
{
    if (st || !*known)
        e_fail(e, ASSAY_UNSUPPORTED, "%s", otherwise);
    return !e->status;
}

/* A comparison ("Greater", "Equal" …) with a number of x's dtype. */
static inline int e_compare(struct assay_emit *e, const char *type, int x, double number)
{
    return e_op(e, type, E_VALUES(x, e_number(e, number, x)));
}
static inline int e_and(struct assay_emit *e, int x, int y) { return e_op(e, "And", E_VALUES(x, y)); }
/* x where the condition holds, 0 elsewhere, and the other way round. */
static inline int e_keep(struct assay_emit *e, int condition, int x) { return e_where(e, condition, x, e_number(e, 0, x)); }
static inline int e_drop(struct assay_emit *e, int condition, int x) { return e_where(e, condition, e_number(e, 0, x), x); }
static inline int e_plus(struct assay_emit *e, int x, double number) { return e_add(e, x, e_number(e, number, x)); }
static inline int e_square(struct assay_emit *e, int x) { return e_mul(e, x, x); }
/* number - x */
static inline int e_from(struct assay_emit *e, double number, int x) { return e_sub(e, e_number(e, number, x), x); }
/* A condition as zeros and ones of the dtype of `like`. */
static inline int e_indicator(struct assay_emit *e, int condition, int like)
{
    return e_cast(e, condition, e_type(e, like)->dtype);
}
/* 1 where x is above 0, else 0; and 1 where x equals y, else 0: of x's dtype, in arithmetic alone, which fuses with what it is
 * multiplied by. */
static inline int e_step(struct assay_emit *e, int x) { return e_unary(e, "Sign", e_unary(e, "Relu", x)); }
static inline int e_equality(struct assay_emit *e, int x, int y)
{
    return e_from(e, 1, e_unary(e, "Sign", e_unary(e, "Abs", e_sub(e, x, y))));
}
/* The sum along one axis, which stays as a 1. */
static inline int e_sum_along(struct assay_emit *e, int x, int64_t axis)
{
    return e_reduce(e, "ReduceSum", x, true, E_INTS(axis));
}

#endif
