/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emitting nodes: what writes graphs by hand (the families' builder, gradients, training steps) writes them with.
 *
 * Values are ints, -1 stands for "none". Errors stick: after the first one (e->status) all functions return -1 and do nothing, so
 * that a page of calls reads like a formula. Types are inferred node by node, so a wrong shape is reported at its node, and
 * e_type knows what is static. Nodes are named SCOPE/TYPE. A function that returns a value may return an old one, where nothing
 * need be done. Threads: one emitter, one thread; nobody else changes the graph meanwhile.
 */
#ifndef ASSAY_GRAPH_EMIT_H
#define ASSAY_GRAPH_EMIT_H

#include "graph/graph.h"

#include <stdarg.h>

/* Lists: E_INTS makes both arguments, length and values; e_op(e, "Where", E_VALUES(a, b, c)). */
#define E_INTS(...)                                                                                                              \
    (sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { __VA_ARGS__ }
#define E_VALUES(...)                                                                                                            \
    (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)), (const int[]) { __VA_ARGS__ }

struct assay_emit {
    struct assay_graph *graph;
    const char *scope; /* names nodes, and begins the sentences of errors; "" = none */
    enum assay_status status;
    struct assay_error *err; /* of the first failure */
    struct assay_node *open; /* the last node, while its types wait for its attributes; or NULL */
};

static inline struct assay_emit assay_emit_make(struct assay_graph *graph, const char *scope, struct assay_error *err)
{
    return (struct assay_emit){.graph = graph, .scope = scope, .err = err};
}
/* Infers the last node's types, and tells how all went. */
enum assay_status assay_emit_finish(struct assay_emit *e);
/* Records a failure; returns -1. */
int e_fail(struct assay_emit *e, enum assay_status status, const char *format, ...) ASSAY_PRINTF(3, 4);
int e_fail_args(struct assay_emit *e, enum assay_status status, const char *format, va_list args);

/* ---- constants: each made once, by name, which tells the contents */
int e_constant(struct assay_emit *e, const char *name, const struct assay_type *type, const void *bytes);
int e_float(struct assay_emit *e, double f);                       /* f32 of rank 0 */
int e_number(struct assay_emit *e, double number, int like);       /* rank 0, of the dtype of `like` */
int e_int(struct assay_emit *e, int64_t i);                        /* int64 of rank 0 */
int e_ints(struct assay_emit *e, size_t n, const int64_t *values); /* int64[n] */

/* ---- nodes: any, and attributes of the last one */
int e_op(struct assay_emit *e, const char *type, int n_inputs, const int *inputs);
int e_own(struct assay_emit *e, const char *type, int n_inputs, const int *inputs); /* of the domain "assay" */
/* With several outputs. outputs[n_outputs]: those that are not -1 are made, as new values; returns the first. */
int e_many(struct assay_emit *e, const char *type, const char *domain, int n_inputs, const int *inputs, int n_outputs,
           int *outputs);
struct assay_node *e_last(struct assay_emit *e); /* NULL after an error */
void e_set_int(struct assay_emit *e, const char *name, int64_t value);
void e_set_float(struct assay_emit *e, const char *name, double value);
void e_set_text(struct assay_emit *e, const char *name, const char *value);
void e_set_ints(struct assay_emit *e, const char *name, size_t n, const int64_t *values);
/* All attributes of another node of that graph, but for bodies. */
void e_set_like(struct assay_emit *e, const struct assay_node *node);

/* ---- types: of rank -1 where unknown or after an error */
const struct assay_type *e_type(struct assay_emit *e, int x);

/* ---- the common ones by name */
int e_unary(struct assay_emit *e, const char *type, int x);
int e_add(struct assay_emit *e, int x, int y);
int e_sub(struct assay_emit *e, int x, int y);
int e_mul(struct assay_emit *e, int x, int y);
int e_div(struct assay_emit *e, int x, int y);
int e_scale(struct assay_emit *e, int x, double factor); /* by a scalar of x's dtype */
int e_matmul(struct assay_emit *e, int x, int y);
int e_where(struct assay_emit *e, int condition, int x, int y);
int e_cast(struct assay_emit *e, int x, enum assay_dtype dtype);
int e_softmax(struct assay_emit *e, int x, int64_t axis);
int e_reduce(struct assay_emit *e, const char *type, int x, bool keep, size_t n, const int64_t *axes); /* "ReduceMean" … */
int e_reshape(struct assay_emit *e, int x, size_t n, const int64_t *dims);                             /* 0 copies, one -1 */
int e_reshape_to(struct assay_emit *e, int x, int shape);                                              /* int64[n] value */
int e_reshape_like(struct assay_emit *e, int x, int like); /* whose dimensions are known */
int e_transpose(struct assay_emit *e, int x, size_t n, const int64_t *order);
int e_transpose_last(struct assay_emit *e, int x); /* the last two dimensions change places */
int e_concat(struct assay_emit *e, int64_t axis, int n, const int *values);
int e_slice(struct assay_emit *e, int x, int64_t axis, int64_t start, int64_t end); /* end INT64_MAX = to the end */
int e_gather(struct assay_emit *e, int x, int64_t axis, int indices);
int e_unsqueeze(struct assay_emit *e, int x, size_t n, const int64_t *axes);
int e_squeeze(struct assay_emit *e, int x, size_t n, const int64_t *axes);
int e_expand(struct assay_emit *e, int x, int shape);
int e_expand_like(struct assay_emit *e, int x, int like);  /* whose dimensions are known */
int e_full(struct assay_emit *e, double number, int like); /* of that type, made at run time: takes no room in the file */

#endif
