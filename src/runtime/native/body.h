/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of If, Loop and Scan: each becomes a native program of its own on the pool of the one around it, when it is first
 * run. What it captures are inputs of that program, after the body's own; what is constant outside is constant inside.
 */
#ifndef ASSAY_RUNTIME_NATIVE_BODY_H
#define ASSAY_RUNTIME_NATIVE_BODY_H

#include "runtime/native/native.h"

struct native_bodies;

/* The values of the graph that the node's bodies capture, each once, but those that are constants there. Returns their number. */
int native_captures(struct assay_arena *arena, const struct assay_graph *graph, const struct assay_node *node, int **captures);

/* For a node with bodies; NULL for one without. Lives in the build's arena, but for what native_bodies_close frees. */
struct native_bodies *native_bodies_open(const struct native_build *build);
void native_bodies_close(struct native_bodies *bodies); /* accepts NULL */

/* Before a run of the node: what it captures, in the order of native_captures, for bodies_run, which is an assay_op_call's
 * run_body with the bodies as its context. */
void native_bodies_bind(struct native_bodies *bodies, const struct assay_tensor *const *captured);
enum assay_status native_bodies_run(struct assay_op_call *call, struct assay_graph *body, int n_inputs,
                                    const struct assay_tensor *inputs, int n_outputs, struct assay_tensor *outputs,
                                    struct assay_error *err);

#endif
