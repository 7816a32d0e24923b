/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas that many gradient rules are made of. */
#ifndef ASSAY_GRAPH_OPS_RULES_H
#define ASSAY_GRAPH_OPS_RULES_H

#include "graph/gradient.h"

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
