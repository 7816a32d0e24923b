/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime that computes nothing: a run costs what the harness costs. Its outputs are zeros of the inferred types, so it is
 * never checked and its rows are for testing Assay itself.
 */
#include "graph/infer.h"
#include "runtime/bind.h"
#include "runtime/runtime.h"

#include <stdlib.h>
#include <string.h>

struct assay_program {
    const struct assay_graph *graph; /* borrowed */
    int n_outputs;
    struct assay_tensor *outputs;
    bool is_bound;
    int64_t n_runs;
};

static void release(struct assay_program *program)
{
    if (!program)
        return;
    for (int i = 0; i < program->n_outputs; i++)
        assay_tensor_release(&program->outputs[i]);
    free(program->outputs);
    free(program);
}

static void list(struct assay_platform_list *platforms)
{
    assay_platform_add(platforms, &(struct assay_platform){.name = "cpu/null",
                                                           .device = "cpu",
                                                           .runtime = "null",
                                                           .variant = "",
                                                           .version = "1",
                                                           .available = true,
                                                           .is_test = true,
                                                           .reason = ""});
}

static enum assay_status compile(const struct assay_graph *graph, const struct assay_compile_options *options,
                                 struct assay_program **program, struct assay_error *err)
{
    (void)options;
    enum assay_status st = ASSAY_OK;
    struct assay_graph *typed = assay_graph_clone(graph);
    struct assay_program *p = assay_alloc(sizeof *p);
    p->graph = graph;
    st = assay_graph_infer(typed, err);
    if (st)
        goto done;
    p->outputs = assay_alloc((size_t)typed->n_outputs * sizeof *p->outputs);
    for (; p->n_outputs < typed->n_outputs; p->n_outputs++) {
        struct assay_type type = typed->values[typed->outputs[p->n_outputs]].type;
        if (type.dtype == ASSAY_NO_DTYPE || type.rank < 0) /* the shape depends on the data: there is nothing to show */
            type = assay_type_make(ASSAY_F32, 1, &(int64_t){0});
        for (int d = 0; d < type.rank; d++) /* open ones are 1, so that another graph's input can be given it */
            type.dims[d] = type.dims[d] < 0 ? 1 : type.dims[d];
        st = assay_tensor_alloc(&p->outputs[p->n_outputs], &type, err);
        if (st)
            goto done;
        memset(p->outputs[p->n_outputs].data, 0, (size_t)assay_type_bytes(&type));
    }
    *program = p;
    p = NULL;
done:
    assay_graph_close(typed);
    release(p);
    return st;
}

static enum assay_status bind(struct assay_program *program, const struct assay_tensor *inputs, struct assay_error *err)
{
    enum assay_status st = assay_bind_check(program->graph, inputs, program->is_bound, err);
    program->is_bound |= !st;
    return st;
}

static enum assay_status run(struct assay_program *program, struct assay_error *err)
{
    (void)err;
    program->n_runs++;
    return ASSAY_OK;
}

static enum assay_status output(struct assay_program *program, int index, struct assay_tensor *tensor, struct assay_error *err)
{
    (void)err;
    assay_tensor_borrow(tensor, &program->outputs[index].type, program->outputs[index].data);
    return ASSAY_OK;
}

const struct assay_runtime assay_runtime_null = {
    .name = "null",
    .computes_nothing = true,
    .list = list,
    .compile = compile,
    .bind = bind,
    .run = run,
    .output = output,
    .release = release,
};
