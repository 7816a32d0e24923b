/* SPDX-License-Identifier: Apache-2.0 */
/* What is decided of a graph's values and nodes when its precision is set. Only for precision.c and its parts precision_kinds.c
 * and precision_rewrite.c. */
#ifndef ASSAY_GRAPH_PRECISION_PASS_H
#define ASSAY_GRAPH_PRECISION_PASS_H

#include "graph/graph.h"

#include <string.h>

enum kind {
    WIDE_KIND, /* f32: it sums, or it has a wide range, or nothing is known of it */
    COMPUTE,   /* low: most of the arithmetic is here */
    MOVE,      /* its outputs are elements of its inputs: follows what feeds it */
    CHEAP,     /* elementwise: follows what feeds it, f32 if only a part of it is low */
    ANY_KIND,  /* reads any dtype, and what it makes does not depend on that */
};

/* Bit i of `keep`: input i stays f32 also where the op runs in the low precision. */
struct op_kind {
    const char *type;
    enum kind kind;
    unsigned keep;
};

enum home {
    NO_HOME, /* not f32: none of our business */
    WIDE,
    LOW,
    FLEXIBLE, /* made of constants alone: goes where its readers are */
};

struct mark {
    enum home home;
    bool is_constant, is_checked; /* for being unfit */
    bool is_plain_output;         /* or captured by a body: f32 under its own name */
    bool is_state_output;         /* the low precision under its own name */
    bool unfit;                   /* contains a number that the low precision does not have */
    bool is_derived;              /* from a value of low precision */
    bool is_exact;                /* from integers and constants alone */
    bool reaches_angle;           /* read by Sin or Cos, through ops that would lose digits on the way */
    bool wants_low;               /* all readers would read it in the low precision */
    bool must_fit;                /* read by arithmetic, or beside other values: where it matters whether it is unfit */
    int n_low, n_wide;            /* readers, once decided */
    int low, wide;                /* numbers of the two forms, -1 = none yet */
};

struct step {
    enum kind kind;
    unsigned keep;
    enum home home; /* of what it makes */
};

struct pass {
    struct assay_graph *graph;
    enum assay_dtype dtype;
    bool is_fused;           /* the runtime's kernels sum in f32 between reading and writing */
    float largest, smallest; /* of the dtype: the largest number, and the smallest above 0 */
    int n_values, n_nodes;   /* before anything was added */
    struct mark *marks;
    struct step *steps;
};

/* The mark of input k where the op's precision decides what it reads; NULL otherwise. */
static inline struct mark *follower(const struct pass *p, int node, int k)
{
    int v = p->graph->nodes[node]->inputs[k];
    if (v < 0 || p->marks[v].home == NO_HOME || (k < 32 && p->steps[node].keep >> k & 1))
        return NULL;
    return &p->marks[v];
}

/* The mark of output k, if it is f32. */
static inline struct mark *made(const struct pass *p, int node, int k)
{
    int v = p->graph->nodes[node]->outputs[k];
    return v < 0 || p->marks[v].home == NO_HOME ? NULL : &p->marks[v];
}

/* A Cast from bool or integer to f32 that is read low can make that at once. */
static inline bool is_source(const struct pass *p, int i)
{
    const struct assay_node *node = p->graph->nodes[i];
    return strcmp(node->type, "Cast") == 0 && p->steps[i].kind == ANY_KIND && node->inputs[0] >= 0 &&
           !assay_dtype_is_float(p->graph->values[node->inputs[0]].type.dtype);
}

/* NULL: of WIDE_KIND. is_fused: as in the pass. */
const struct op_kind *assay_precision_find_kind(const struct assay_node *node, bool is_fused);

/* Makes the graph what was decided, infers it anew, and leaves it sorted. */
enum assay_status assay_precision_rewrite(struct pass *p, struct assay_error *err);

#endif
