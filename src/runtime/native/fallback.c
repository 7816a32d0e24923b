/* SPDX-License-Identifier: Apache-2.0 */
/* What runs where no kernel of ours does: the reference kernel, so that every model runs. */
#include "runtime/native/native.h"

#include <stdlib.h>
#include <string.h>

struct fallback {
    const struct assay_node *node;
    const struct assay_op *op;
    int opset;
    struct assay_type *types;         /* [n_inputs + n_outputs] */
    const struct assay_tensor **data; /* [n_inputs] */
    struct assay_tensor *results;     /* [n_outputs] */
};

static enum assay_status run(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct fallback *f = args->kernel->data;
    const struct assay_node *node = f->node;
    struct assay_arena scratch;
    (void)pool;
    assay_arena_init(&scratch);
    for (int k = 0; k < node->n_inputs; k++) {
        f->types[k] = (struct assay_type){.rank = -1};
        if (args->in[k])
            f->types[k] = args->in[k]->type;
        f->data[k] = args->in[k];
    }
    for (int k = 0; k < node->n_outputs; k++) {
        f->types[node->n_inputs + k] = (struct assay_type){.rank = -1};
        f->results[k] = (struct assay_tensor){0};
    }
    struct assay_op_call call = {
        .node = node,
        .opset = f->opset,
        .n_inputs = node->n_inputs,
        .n_outputs = node->n_outputs,
        .inputs = f->types,
        .data = f->data,
        .outputs = f->types + node->n_inputs,
        .results = f->results,
        .scratch = &scratch,
    };
    enum assay_status st = assay_op_run(f->op, &call, err);
    for (int k = 0; !st && k < node->n_outputs; k++) {
        struct assay_tensor *out = args->out[k];
        if (!out) {
            assay_tensor_release(&f->results[k]);
        } else if (out->buffer || !out->data) { /* its size was not known before */
            assay_tensor_release(out);
            *out = f->results[k];
        } else {
            memcpy(out->data, f->results[k].data, (size_t)assay_tensor_bytes(out));
            assay_tensor_release(&f->results[k]);
        }
    }
    assay_arena_release(&scratch);
    return st;
}

struct native_kernel native_fallback_kernel(struct native_build *build)
{
    const struct assay_node *node = build->node;
    struct fallback *f = assay_arena_alloc(build->arena, sizeof *f);
    *f = (struct fallback){.node = node, .op = node->op, .opset = build->graph->opset};
    f->types = assay_arena_array(build->arena, (size_t)(node->n_inputs + node->n_outputs), sizeof *f->types);
    f->data = assay_arena_array(build->arena, (size_t)node->n_inputs, sizeof *f->data);
    f->results = assay_arena_array(build->arena, (size_t)node->n_outputs, sizeof *f->results);
    return (struct native_kernel){.name = "reference", .run_whole = run, .n_parts = 1, .in_place = -1, .data = f};
}
