/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops: what a node type means. Each op family has one file in graph/ops/ with, for every op: the shape rule, the reference
 * kernel, the cost, the gradient, and its test. To add an op: write it in its family's file, in that file's table; a
 * new family is one file, which CMake puts into the table.
 *
 * One shape rule serves twice. At compile time it sees types in which dimensions may be unknown (-1) and the contents of those
 * inputs that are constants; at run time it sees the contents of all inputs, and then must make every output type known, unless
 * the op's shape depends on its work (NonZero): then it leaves -1 and the kernel allocates.
 */
#ifndef ASSAY_GRAPH_OP_H
#define ASSAY_GRAPH_OP_H

#include "graph/graph.h"

/* What the functions of an op see of one node. Borrowed for the call. */
struct assay_op_call {
    const struct assay_node *node;
    int opset; /* of the graph */
    int n_inputs, n_outputs;
    struct assay_type *inputs;              /* [n_inputs]; of an input not given: dtype ASSAY_NO_DTYPE, rank -1 */
    const struct assay_tensor *const *data; /* [n_inputs]; NULL = not given, or contents not known (compile time) */
    struct assay_type *outputs;             /* [n_outputs]; the shape rule's result, all unknown before */
    struct assay_arena *scratch; /* small things; cleared after the node. May be NULL for assay_op_infer: it then lends one */
    /* Kernels only: */
    struct assay_tensor *results; /* [n_outputs]; allocated already where the type is known, else empty: the kernel allocates.
                                     Even an output that is not wanted is given */
    /* Runs a body: inputs shared with it, outputs owned by the caller. NULL outside a run (constant folding): then such ops do
     * not fold. */
    enum assay_status (*run_body)(struct assay_op_call *call, struct assay_graph *body, int n_inputs,
                                  const struct assay_tensor *inputs, int n_outputs, struct assay_tensor *outputs,
                                  struct assay_error *err);
    void *run_context; /* run_body's */
};

struct assay_gradient; /* gradient.h */
struct assay_emit;     /* emit.h */

/* Work of one node at known shapes. An op without a cost function costs no FLOPs, and its bytes are the sum of inputs and outputs
 * (which is what assay_op_cost fills in before it asks the op). FLOPs count a multiply-add as two and a transcendental function
 * as one. */
struct assay_cost {
    double flops;
    double bytes_read, bytes_written;
};

enum assay_op_flags {
    ASSAY_OP_VIA_F32 = 1,       /* f16/bf16: the executor converts inputs to f32 and outputs back; the kernel never sees them */
    ASSAY_OP_RANDOM = 2,        /* never folded, outputs not comparable */
    ASSAY_OP_VIEW = 4,          /* the kernel may share its input's bytes */
    ASSAY_OP_TAKES_4_BITS = 16, /* reads or holds elements that have no address of their own */
    ASSAY_OP_RANDOM_IN_TRAINING = 8, /* random unless its input 2, training_mode, is missing or false */
    ASSAY_OP_FLAT = 32,              /* its gradient is zero wherever it has one: Sign, Floor, ArgMax; no rule needed */
};

struct assay_op {
    const char *type, *domain;  /* domain "" = ONNX's own */
    int min_inputs, max_inputs; /* max -1 = any number */
    unsigned flags;
    /* Required. Sets call->outputs. ASSAY_UNSUPPORTED: a dtype or an attribute that we do not have, named; ASSAY_INVALID: the
     * model is wrong. */
    enum assay_status (*infer)(struct assay_op_call *call, struct assay_error *err);
    /* Required. Fills call->results. */
    enum assay_status (*run)(struct assay_op_call *call, struct assay_error *err);
    /* Optional: see struct assay_cost. */
    void (*cost)(const struct assay_op_call *call, struct assay_cost *cost);
    /* Optional: emits the gradients of the inputs (gradient.h). NULL: the op cannot be differentiated. */
    void (*gradient)(struct assay_gradient *g);
    /* Optional, for ops of the domain "assay": emits standard ops that compute the same, with outputs[n_outputs], -1 where the
     * node's is not wanted. NULL: only runtimes that have the op can run it. */
    void (*expand)(struct assay_emit *e, const struct assay_node *node, int *outputs);
};

/* NULL if there is none. */
const struct assay_op *assay_op_find(const char *domain, const char *type);
/* All ops in table order: for docs, tests, `assay models`. i from 0 until NULL. */
const struct assay_op *assay_op_at(int i);

/* ASSAY_INVALID if the op wants another number of inputs, or one that the node does not give. */
enum assay_status assay_op_check_inputs(const struct assay_op *op, const struct assay_node *node, struct assay_error *err);
/* Checks the inputs, calls the rule, and makes sure of its promises. The sentence of a failure begins with the op's
 * type and the node's name. */
enum assay_status assay_op_infer(const struct assay_op *op, struct assay_op_call *call, struct assay_error *err);
/* infer with the contents at hand, allocate, run, with conversions for ASSAY_OP_VIA_F32. On failure results are released. */
enum assay_status assay_op_run(const struct assay_op *op, struct assay_op_call *call, struct assay_error *err);
/* Whether the node draws random numbers, so that its outputs can't be compared with another runtime's: its op is random, or it is
 * in training mode (or may be: the mode is no constant). */
bool assay_op_is_random(const struct assay_graph *graph, const struct assay_node *node);
void assay_op_cost(const struct assay_op *op, const struct assay_op_call *call, struct assay_cost *cost);

#endif
