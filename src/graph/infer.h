/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes and constants: bind symbolic dimensions to numbers, infer every type, fold what is constant. */
#ifndef ASSAY_GRAPH_INFER_H
#define ASSAY_GRAPH_INFER_H

#include "graph/graph.h"

/* A number for a symbolic dimension ("batch" = 8), or, with a name like "x:0", for dimension 0 of input "x". */
struct assay_binding {
    const char *name;
    int64_t value;
};

/* Sets the dimensions of the graph's inputs. A name that no input has is ASSAY_INVALID and lists those there are. Types of
 * everything else are forgotten, to be inferred anew. */
enum assay_status assay_graph_bind(struct assay_graph *graph, const struct assay_binding *bindings, size_t n_bindings,
                                   struct assay_error *err);
/* Runs every op's shape rule in order (of a sorted graph); contents of values that follow from shapes and constants alone are
 * kept as value.constant, marked is_inferred, when small (≤ 1024 elements), so that Shape→Gather→Concat→Reshape chains resolve.
 * What stays unknown stays -1, or as the file declares it; so do all outputs of an op that we do not have or whose rule says
 * unsupported. ASSAY_INVALID: the model contradicts itself; the sentence names the node. */
enum assay_status assay_graph_infer(struct assay_graph *graph, struct assay_error *err);
/* For the shape rules of If, Loop and Scan, at compile time (call->run_body NULL): infers a body whose inputs have these types
 * and, where data[i] is not NULL, these contents (data NULL: none known). Captured values have the types that the graph around it
 * has inferred by now. The body's values keep what was found, and outputs[n_outputs] (the body's outputs) is set. May be called
 * again with wider types. A wrong number of inputs or outputs is ASSAY_INVALID. */
enum assay_status assay_graph_infer_body(struct assay_graph *body, int n_inputs, const struct assay_type *inputs,
                                         const struct assay_tensor *const *data, int n_outputs, struct assay_type *outputs,
                                         struct assay_error *err);
/* Replaces nodes whose inputs are all constant by their results (up to `limit_bytes` each, 64 times that together, and some
 * seconds of work), If with a constant condition by its branch, in bodies too, sorts, and sweeps. Random ops stay, and so does
 * DequantizeLinear. What followed from bound dimensions is folded as well, so a folded graph is not to be bound to other numbers.
 * A node that fails to run stays for the runtime to complain of. */
enum assay_status assay_graph_fold(struct assay_graph *graph, int64_t limit_bytes, struct assay_error *err);
/* The standard's rules that load cannot see: number of inputs and outputs, attribute kinds, an interface without doubles; the
 * first breach as ASSAY_INVALID. An op that we do not have is ASSAY_UNSUPPORTED. */
enum assay_status assay_graph_check(const struct assay_graph *graph, struct assay_error *err);

#endif
