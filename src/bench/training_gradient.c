/* SPDX-License-Identifier: Apache-2.0 */
/* The check of a gradient along a random direction (training_check.h). */
#include "base/rng.h"
#include "bench/reference_cache.h"
#include "bench/training_check.h"
#include "runtime/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Small enough that hardly an activation changes sides of a kink, of which a network has a million: at 1e-6, those that do make
 * a difference of 1e-2 in MobileNet V2. Large enough for f64. */
static const double STEP = 1e-8;

/* ---- the direction */

/* A parameter's part of the direction: normal numbers times `size`, the same each time. */
struct direction {
    struct assay_rng rng;
    double size;
};

static double root_mean_square(const struct assay_tensor *tensor)
{
    double sum = 0;
    int64_t n = assay_tensor_count(tensor);
    for (int64_t i = 0; i < n; i++) {
        double x = assay_tensor_real(tensor, i);
        sum += x * x;
    }
    return n ? sqrt(sum / (double)n) : 0;
}

static void direction_start(struct direction *d, const struct assay_training_subject *subject, const char *name)
{
    static const double of_zeros = 0.01; /* biases that begin at 0 */
    const struct assay_graph *graph = subject->graph;
    int value = assay_graph_find(graph, name);
    d->size = value >= 0 && graph->values[value].constant.data ? root_mean_square(&graph->values[value].constant) : 0;
    if (d->size == 0)
        d->size = of_zeros;
    assay_rng_init(&d->rng, (uint64_t)subject->c->seed, assay_rng_stream(name));
}

static double direction_next(struct direction *d) { return d->size * assay_rng_normal(&d->rng); }

/* ---- the loss in f64 */

static bool is_resize_scale(const struct assay_graph *graph, int value)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 1; k < 3 && strcmp(node->type, "Resize") == 0 && k < node->n_inputs; k++)
            if (node->inputs[k] == value)
                return true;
    }
    return false;
}

static enum assay_status widen(struct assay_tensor *tensor, struct assay_error *err)
{
    struct assay_tensor wide;
    if (!tensor->data || tensor->type.dtype != ASSAY_F32)
        return ASSAY_OK;
    enum assay_status st = assay_tensor_convert(&wide, tensor, ASSAY_F64, err);
    if (st)
        return st;
    assay_tensor_release(tensor);
    *tensor = wide;
    return ASSAY_OK;
}

/* Nodes that name a type: Cast's `to`, ConstantOfShape's tensor. */
static enum assay_status widen_node(struct assay_node *node, struct assay_error *err)
{
    enum { ONNX_FLOAT = 1, ONNX_DOUBLE = 11 };
    enum assay_status st = ASSAY_OK;
    for (int k = 0; k < node->n_attrs && !st; k++) {
        struct assay_attr *attr = &node->attrs[k];
        bool names_type = strcmp(attr->name, "to") == 0 || strcmp(attr->name, "dtype") == 0;
        if (attr->kind == ASSAY_ATTR_INT && names_type && attr->i == ONNX_FLOAT)
            attr->i = ONNX_DOUBLE;
        else if (attr->kind == ASSAY_ATTR_TENSOR)
            st = widen(&attr->tensor, err);
        else if (attr->kind == ASSAY_ATTR_GRAPH)
            st = assay_error_set(err, ASSAY_UNSUPPORTED, "the model has branches or loops, which are not computed in f64");
    }
    return st;
}

static enum assay_status widen_graph(struct assay_graph *graph, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int v = 0; v < graph->n_values && !st; v++) {
        struct assay_value *value = &graph->values[v];
        if (value->is_inferred || is_resize_scale(graph, v))
            continue;
        st = widen(&value->constant, err);
        if (value->type.dtype == ASSAY_F32 && (value->constant.data || value->is_input))
            value->type.dtype = ASSAY_F64;
    }
    for (int i = 0; i < graph->n_nodes && !st; i++)
        st = widen_node(graph->nodes[i], err);
    if (!st)
        st = assay_graph_bind(graph, NULL, 0, err); /* forgets the f32 types between */
    return st ? st : assay_graph_infer(graph, err);
}

/* The graph's parameters move along the direction by `step`, from the subject's. */
static void move(struct assay_graph *graph, const struct assay_training_subject *subject, const struct assay_training_step *step,
                 double length)
{
    for (int k = 0; k < step->n_gradients; k++) {
        struct direction d;
        struct assay_tensor *moved = &graph->values[assay_graph_find(graph, step->gradients[k])].constant;
        const struct assay_graph *from = subject->graph;
        const struct assay_tensor *old = &from->values[assay_graph_find(from, step->gradients[k])].constant;
        direction_start(&d, subject, step->gradients[k]);
        for (int64_t i = 0; i < assay_tensor_count(old); i++)
            assay_tensor_set_real(moved, i, assay_tensor_real(old, i) + length * direction_next(&d));
    }
}

static enum assay_status run_loss(const struct assay_graph *graph, const char *loss, const struct assay_tensor *inputs,
                                  struct assay_arena *arena, double *number, struct assay_error *err)
{
    struct assay_platform platform;
    const struct assay_runtime *reference = NULL;
    struct assay_program *program = NULL;
    struct assay_tensor output;
    int index = 0;
    enum assay_status st = assay_platform_find(arena, "cpu/reference", &platform, &reference, err);
    if (st)
        return st;
    while (index < graph->n_outputs && strcmp(graph->values[graph->outputs[index]].name, loss) != 0)
        index++;
    struct assay_compile_options compile = {.platform = &platform, .n_threads = 1};
    st = reference->compile(graph, &compile, &program, err);
    if (!st)
        st = reference->bind(program, inputs, err);
    if (!st)
        st = reference->run(program, err);
    if (!st)
        st = reference->output(program, index, &output, err);
    if (!st && output.type.dtype != ASSAY_F64)
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "the loss does not come out in f64");
    if (!st)
        *number = assay_tensor_real(&output, 0);
    reference->release(program);
    return st;
}

static enum assay_status difference(const struct assay_training_subject *subject, const struct assay_training_step *step,
                                    double *slope, struct assay_error *err)
{
    struct assay_graph *graph = assay_graph_clone(subject->graph);
    int n = graph->n_inputs;
    struct assay_tensor *inputs = assay_arena_array(subject->arena, (size_t)n, sizeof *inputs);
    double up = NAN, down = NAN;
    enum assay_status st = widen_graph(graph, err);
    for (int i = 0; i < n && !st; i++) {
        assay_tensor_share(&inputs[i], &subject->data[i]);
        st = widen(&inputs[i], err);
    }
    if (!st) {
        move(graph, subject, step, STEP);
        st = run_loss(graph, subject->loss, inputs, subject->arena, &up, err);
    }
    if (!st) {
        move(graph, subject, step, -STEP);
        st = run_loss(graph, subject->loss, inputs, subject->arena, &down, err);
    }
    *slope = (up - down) / (2 * STEP);
    for (int i = 0; i < n; i++)
        assay_tensor_release(&inputs[i]);
    assay_graph_close(graph);
    return st;
}

/* ---- kept as what the reference computes (reference_cache.h): it is the same for every platform */

static const char *cache_path(const struct assay_training_subject *subject)
{
    struct assay_hash hash;
    assay_reference_hash_init(&hash, subject->c->model_id);
    assay_hash_text(&hash, "check_gradient, step 1e-8");
    assay_hash_u64(&hash, (uint64_t)subject->c->seed);
    for (int i = 0; i < subject->graph->n_inputs; i++)
        assay_reference_hash_tensor(&hash, &subject->data[i]);
    return assay_reference_path(&hash, subject->arena);
}

static enum assay_status kept_difference(const struct assay_training_subject *subject, const struct assay_training_step *step,
                                         double *slope, struct assay_error *err)
{
    const char *path = cache_path(subject);
    struct assay_tensor kept = {{0}};
    struct assay_type type = assay_type_make(ASSAY_F64, 0, NULL);
    if (assay_reference_read(path, &kept, 1)) {
        *slope = assay_tensor_count(&kept) == 1 ? assay_tensor_real(&kept, 0) : NAN;
        assay_tensor_release(&kept);
        if (isfinite(*slope))
            return ASSAY_OK;
    }
    enum assay_status st = difference(subject, step, slope, err);
    if (!st && assay_tensor_alloc(&kept, &type, NULL) == ASSAY_OK) {
        assay_tensor_set_real(&kept, 0, *slope);
        assay_reference_write(path, &kept, 1);
        assay_tensor_release(&kept);
    }
    return st;
}

enum assay_status assay_training_check_gradient(const struct assay_training_subject *subject, struct assay_training_part *both,
                                                double *error, struct assay_error *err)
{
    const struct assay_training_step *step = both->step;
    double product = 0, squares = 0, slope = NAN;
    enum assay_status st = kept_difference(subject, step, &slope, err);
    if (!st)
        st = assay_training_part_run(both, err);
    for (int k = 0; k < step->n_gradients && !st; k++) {
        struct assay_tensor gradient;
        struct direction d;
        st = subject->runtime->output(both->program, step->first_gradient + k, &gradient, err);
        direction_start(&d, subject, step->gradients[k]);
        for (int64_t i = 0; !st && i < assay_tensor_count(&gradient); i++) {
            double part = assay_tensor_real(&gradient, i) / both->loss_scale * direction_next(&d);
            product += part;
            squares += part * part;
        }
    }
    if (st)
        return st;
    if (squares == 0 && slope == 0)
        return assay_error_set(err, ASSAY_ABSENT,
                               "the gradient is 0 in all parameters: the loss does not depend on them, as "
                               "that of a model with a single class");
    *error = fabs(product - slope) / sqrt(squares);
    return ASSAY_OK;
}
