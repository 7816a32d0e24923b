/* SPDX-License-Identifier: Apache-2.0 */
/* See training_part.h. */
#include "bench/training_part.h"

#include "base/clock.h"
#include "graph/plan_memory.h"
#include "stats/stats.h"

#include <stdlib.h>
#include <string.h>

/* A parameter, or the batch; NULL: neither. */
static const struct assay_tensor *find_tensor(const struct assay_training_subject *subject, const char *name)
{
    const struct assay_graph *graph = subject->graph;
    for (int i = 0; i < graph->n_inputs; i++)
        if (strcmp(graph->values[graph->inputs[i]].name, name) == 0)
            return &subject->data[i];
    int value = assay_graph_find(graph, name);
    return value >= 0 && graph->values[value].constant.data ? &graph->values[value].constant : NULL;
}

static enum assay_status gather_inputs(struct assay_training_part *part, struct assay_error *err)
{
    const struct assay_graph *graph = part->step->graph;
    part->inputs = assay_alloc((size_t)graph->n_inputs * sizeof *part->inputs);
    memset(part->inputs, 0, (size_t)graph->n_inputs * sizeof *part->inputs);
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_value *v = &graph->values[graph->inputs[i]];
        const struct assay_tensor *tensor = i == part->step->loss_scale ? &part->scale : find_tensor(part->subject, v->name);
        if (!tensor)
            return assay_error_set(err, ASSAY_INVALID, "nothing is known of the step's input '%s'", v->name);
        assay_tensor_share(&part->inputs[i], tensor);
    }
    return ASSAY_OK;
}

enum assay_status assay_training_part_open(struct assay_training_part *part, const struct assay_training_subject *subject,
                                           bool backward, struct assay_error *err)
{
    struct assay_step_options options;
    struct assay_type scalar = assay_type_make(ASSAY_F32, 0, NULL);
    *part = (struct assay_training_part){.subject = subject, .loss_scale = 1};
    enum assay_status st = assay_training_options(subject->c, subject->loss, assay_training_precision(subject->c), &options, err);
    if (st)
        return st;
    options.update = false;
    options.gradients = backward;
    if (options.loss_scale)
        part->loss_scale = ASSAY_TRAINING_LOSS_SCALE;
    st = assay_tensor_alloc(&part->scale, &scalar, err);
    if (!st) {
        assay_tensor_set_real(&part->scale, 0, part->loss_scale);
        st = assay_training_step_make(subject->graph, &options, &part->step, err);
    }
    if (!st)
        st = gather_inputs(part, err);
    if (!st)
        st = subject->runtime->compile(part->step->graph, subject->compile, &part->program, err);
    if (st)
        assay_training_part_close(part);
    return st;
}

void assay_training_part_close(struct assay_training_part *part)
{
    if (part->program)
        part->subject->runtime->release(part->program);
    for (int i = 0; part->inputs && i < part->step->graph->n_inputs; i++)
        assay_tensor_release(&part->inputs[i]);
    free(part->inputs);
    assay_tensor_release(&part->scale);
    assay_training_step_close(part->step);
    *part = (struct assay_training_part){0};
}

enum assay_status assay_training_part_run(struct assay_training_part *part, struct assay_error *err)
{
    const struct assay_runtime *runtime = part->subject->runtime;
    enum assay_status st = runtime->bind(part->program, part->inputs, err);
    return st ? st : runtime->run(part->program, err);
}

enum assay_status assay_training_part_time(struct assay_training_part *part, double seconds, double *median_ns,
                                           struct assay_error *err)
{
    enum { MOST = 1000 };
    double *ns = assay_arena_array(part->subject->arena, MOST, sizeof *ns);
    size_t n = 0;
    enum assay_status st = assay_training_part_run(part, err);
    for (int64_t end = assay_clock_ns() + (int64_t)(seconds * 1e9); !st && n < MOST && (n == 0 || assay_clock_ns() < end); n++) {
        int64_t start = assay_clock_ns();
        st = assay_training_part_run(part, err);
        ns[n] = (double)(assay_clock_ns() - start);
    }
    if (!st)
        *median_ns = assay_stats_median(ns, n);
    return st;
}

int64_t assay_training_part_activations(const struct assay_training_part *part)
{
    const struct assay_graph *graph = part->step->graph;
    const struct assay_memory_plan_options options = {.folds = true, .in_place = true};
    struct assay_memory_plan plan;
    int64_t alive = 0, most = 0;
    assay_graph_plan_memory(&plan, graph, &options);
    int64_t *change = assay_alloc(((size_t)graph->n_nodes + 2) * sizeof *change);
    memset(change, 0, ((size_t)graph->n_nodes + 2) * sizeof *change);
    for (int i = 0; i < plan.n_buffers; i++) {
        const struct assay_memory_buffer *buffer = &plan.buffers[i];
        if (buffer->last >= graph->n_nodes) /* an output: the gradient of a parameter */
            continue;
        change[buffer->first] += buffer->size_bytes;
        change[buffer->last + 1] -= buffer->size_bytes;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        alive += change[i];
        most = alive > most ? alive : most;
    }
    free(change);
    assay_memory_plan_release(&plan);
    return most;
}
