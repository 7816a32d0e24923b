/* SPDX-License-Identifier: Apache-2.0 */
/* What runs where no kernel of ours does: the reference kernel, so that every model runs. */
#include "runtime/native/body.h"

#include <stdlib.h>
#include <string.h>

struct fallback {
    const struct assay_node *node;
    const struct assay_op *op;
    int opset;
    struct assay_type *types;         /* [n_inputs + n_outputs] */
    const struct assay_tensor **data; /* [n_inputs] */
    struct assay_tensor *results;     /* [n_outputs] */
    bool *own;                        /* [n_outputs]: its size was not known before, and the kernel allocates it */
    struct native_bodies *bodies;     /* NULL if the node has none */
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
        .run_body = f->bodies ? native_bodies_run : NULL,
        .run_context = f->bodies,
    };
    if (f->bodies)
        native_bodies_bind(f->bodies, args->in + node->n_inputs);
    enum assay_status st = assay_op_run(f->op, &call, err);
    for (int k = 0; !st && k < node->n_outputs; k++) {
        struct assay_tensor *out = args->out[k];
        if (out && f->own[k]) {
            assay_tensor_release(out);
            if (f->results[k].buffer)
                assay_tensor_share(out, &f->results[k]);
            else /* a view of memory that another value may get after this node */
                st = assay_tensor_copy(out, &f->results[k], err);
        } else if (out && !assay_type_equal(&out->type, &f->results[k].type)) {
            st = assay_error_set(err, ASSAY_INVALID, "%s '%s' made another type of output %d than its inputs tell", node->type,
                                 node->name, k);
        } else if (out) {
            memcpy(out->data, f->results[k].data, (size_t)assay_tensor_bytes(out));
        }
    }
    for (int k = 0; k < node->n_outputs; k++)
        assay_tensor_release(&f->results[k]);
    assay_arena_release(&scratch);
    return st;
}

static void release(void *data)
{
    const struct fallback *f = data;
    native_bodies_close(f->bodies);
}

struct native_kernel native_fallback_kernel(struct native_build *build)
{
    const struct assay_node *node = build->node;
    struct fallback *f = assay_arena_alloc(build->arena, sizeof *f);
    *f = (struct fallback){.node = node, .op = node->op, .opset = build->graph->opset};
    f->types = assay_arena_array(build->arena, (size_t)(node->n_inputs + node->n_outputs), sizeof *f->types);
    f->data = assay_arena_array(build->arena, (size_t)node->n_inputs, sizeof *f->data);
    f->results = assay_arena_array(build->arena, (size_t)node->n_outputs, sizeof *f->results);
    f->own = assay_arena_array(build->arena, (size_t)node->n_outputs, sizeof *f->own);
    for (int k = 0; k < node->n_outputs; k++)
        f->own[k] = !assay_type_is_known(&build->outputs[k]);
    f->bodies = native_bodies_open(build);
    return (struct native_kernel){.name = f->bodies ? "bodies" : "reference",
                                  .run_whole = run,
                                  .n_parts = 1,
                                  .in_place = -1,
                                  .data = f,
                                  .release = release};
}
