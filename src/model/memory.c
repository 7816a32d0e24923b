/* SPDX-License-Identifier: Apache-2.0 */
/* See memory.h. */
#include "model/memory.h"

#include "model/weights.h"

#include <stdlib.h>
#include <string.h>

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}
static int64_t times(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

static int64_t value_bytes(const struct assay_type *type, int64_t float_bytes)
{
    int64_t n = assay_type_is_known(type) ? assay_type_count(type) : -1;
    if (assay_dtype_is_packed(type->dtype))
        return assay_type_bytes(type);
    return n < 0 ? -1 : times(n, type->dtype == ASSAY_F32 ? float_bytes : (int64_t)assay_dtype_size(type->dtype));
}

/* ---- what the backward pass reads */

enum keeps { KEEPS_INPUTS, KEEPS_FACTORS, KEEPS_OUTPUT, KEEPS_CONDITION, KEEPS_NOTHING };

/* Ops that are not here keep their inputs. */
static const struct {
    const char *type;
    enum keeps keeps;
} gradients[] = {
    {"Add", KEEPS_NOTHING},       {"AveragePool", KEEPS_NOTHING}, {"Cast", KEEPS_NOTHING},
    {"Concat", KEEPS_NOTHING},    {"Div", KEEPS_FACTORS},         {"Dropout", KEEPS_NOTHING},
    {"Exp", KEEPS_OUTPUT},        {"Expand", KEEPS_NOTHING},      {"Flatten", KEEPS_NOTHING},
    {"Gather", KEEPS_NOTHING},    {"GatherND", KEEPS_NOTHING},    {"GlobalAveragePool", KEEPS_NOTHING},
    {"Identity", KEEPS_NOTHING},  {"LogSoftmax", KEEPS_OUTPUT},   {"Mean", KEEPS_NOTHING},
    {"Mul", KEEPS_FACTORS},       {"Neg", KEEPS_NOTHING},         {"Pad", KEEPS_NOTHING},
    {"Reciprocal", KEEPS_OUTPUT}, {"ReduceMean", KEEPS_NOTHING},  {"ReduceSum", KEEPS_NOTHING},
    {"Relu", KEEPS_OUTPUT},       {"Reshape", KEEPS_NOTHING},     {"Sigmoid", KEEPS_OUTPUT},
    {"Slice", KEEPS_NOTHING},     {"Softmax", KEEPS_OUTPUT},      {"Split", KEEPS_NOTHING},
    {"Sqrt", KEEPS_OUTPUT},       {"Squeeze", KEEPS_NOTHING},     {"Sub", KEEPS_NOTHING},
    {"Sum", KEEPS_NOTHING},       {"Tanh", KEEPS_OUTPUT},         {"Transpose", KEEPS_NOTHING},
    {"Unsqueeze", KEEPS_NOTHING}, {"Where", KEEPS_CONDITION},
};

static enum keeps keeps_of(const struct assay_node *node)
{
    for (size_t i = 0; i < ASSAY_COUNT(gradients) && !*node->domain; i++)
        if (strcmp(gradients[i].type, node->type) == 0)
            return gradients[i].keeps;
    return KEEPS_INPUTS;
}

struct keeper {
    const struct assay_graph *graph;
    const struct assay_memory_plan *plan;
    bool *is_kept; /* [n_buffers] */
    int64_t sum, largest;
};

static void keep(struct keeper *k, int value)
{
    int buffer = value < 0 ? -1 : k->plan->buffer_of[value];
    if (buffer < 0 || k->is_kept[buffer])
        return;
    int64_t size_bytes = k->plan->buffers[buffer].size_bytes;
    k->is_kept[buffer] = true;
    k->sum = add(k->sum, size_bytes);
    k->largest = size_bytes > k->largest ? size_bytes : k->largest;
}

static void keep_for(struct keeper *k, const struct assay_node *node)
{
    enum keeps keeps = keeps_of(node);
    if (keeps == KEEPS_OUTPUT)
        keep(k, node->outputs[0]);
    if (keeps == KEEPS_CONDITION && node->n_inputs > 0)
        keep(k, node->inputs[0]);
    /* The gradient of a product with a number that is no parameter needs that number alone. */
    for (int i = 0; i < node->n_inputs && keeps == KEEPS_FACTORS; i++) {
        const struct assay_tensor *c = node->inputs[i] < 0 ? NULL : assay_weights_constant(k->graph, node->inputs[i]);
        if (c && assay_tensor_count(c) == 1)
            return;
    }
    for (int i = 0; i < node->n_inputs && (keeps == KEEPS_INPUTS || keeps == KEEPS_FACTORS); i++)
        keep(k, node->inputs[i]);
}

static bool is_parameter(const struct assay_graph *graph, int value)
{
    const struct assay_tensor *c = value < 0 ? NULL : assay_weights_constant(graph, value);
    return c && assay_dtype_is_float(c->type.dtype) && assay_tensor_count(c) > 1;
}

static int64_t kept_bytes(const struct assay_graph *graph, const struct assay_memory_plan *plan)
{
    bool *has_gradient = assay_alloc((size_t)graph->n_values + 1);
    struct keeper k = {.graph = graph, .plan = plan, .is_kept = assay_alloc((size_t)plan->n_buffers + 1)};
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        bool has = false;
        for (int j = 0; j < node->n_inputs; j++)
            has |= node->inputs[j] >= 0 && (has_gradient[node->inputs[j]] || is_parameter(graph, node->inputs[j]));
        if (!has || node->n_outputs < 1)
            continue;
        for (int j = 0; j < node->n_outputs; j++)
            if (node->outputs[j] >= 0)
                has_gradient[node->outputs[j]] = assay_dtype_is_float(graph->values[node->outputs[j]].type.dtype);
        keep_for(&k, node);
    }
    free(has_gradient);
    free(k.is_kept);
    return add(k.sum, times(2, k.largest));
}

void assay_memory_use_find(struct assay_memory_use *use, const struct assay_graph *graph, int64_t float_bytes)
{
    struct assay_memory_plan plan;
    *use = (struct assay_memory_use){0};
    assay_graph_plan_memory(&plan, graph, &(struct assay_memory_plan_options){.folds = true, .float_bytes = float_bytes});
    use->n_unknown = plan.n_unknown;
    use->peak_bytes = plan.peak_bytes;
    use->peak_node = plan.peak_node;
    use->arena_bytes = plan.arena_bytes;
    use->kept_bytes = kept_bytes(graph, &plan);
    assay_memory_plan_release(&plan);
    assay_graph_plan_memory(&plan, graph,
                            &(struct assay_memory_plan_options){.folds = true, .in_place = true, .float_bytes = float_bytes});
    use->in_place_peak_bytes = plan.peak_bytes;
    use->in_place_arena_bytes = plan.arena_bytes;
    assay_memory_plan_release(&plan);
    for (int i = 0; i < graph->n_inputs; i++) {
        int64_t size_bytes = value_bytes(&graph->values[graph->inputs[i]].type, float_bytes);
        use->n_unknown += size_bytes < 0;
        use->input_bytes = add(use->input_bytes, size_bytes < 0 ? 0 : size_bytes);
    }
}

int64_t assay_memory_cache_token(const struct assay_graph *decode)
{
    int64_t sum = 0;
    for (int i = 0; i < decode->n_states; i++) {
        const struct assay_type *type = &decode->values[decode->inputs[decode->states[i].input]].type;
        int64_t n = (int64_t)assay_dtype_size(type->dtype);
        if (type->rank != 4) /* [batch, heads, length, head_dim]: others are no keys or values */
            continue;
        sum = add(sum, type->dims[1] < 0 || type->dims[3] < 0 ? 0 : times(n, times(type->dims[1], type->dims[3])));
    }
    return sum;
}

/* ---- the sums */

struct weight_sums {
    int64_t floats, matrix_floats,
        other_bytes; /* elements, of them those of rank 2 and more, and the bytes of all that is none */
};

static void add_weight(void *context, const struct assay_tensor *weight, bool is_trainable)
{
    struct weight_sums *sums = context;
    (void)is_trainable;
    if (weight->type.dtype != ASSAY_F32) {
        sums->other_bytes = add(sums->other_bytes, assay_tensor_bytes(weight));
        return;
    }
    sums->floats = add(sums->floats, assay_tensor_count(weight));
    sums->matrix_floats = add(sums->matrix_floats, weight->type.rank >= 2 ? assay_tensor_count(weight) : 0);
}

static void finish(struct assay_memory_need *need)
{
    const int64_t parts[] = {need->weight_bytes, need->input_bytes,    need->activation_bytes,
                             need->cache_bytes,  need->gradient_bytes, need->optimizer_bytes};
    for (size_t i = 0; i < ASSAY_COUNT(parts); i++)
        need->total_bytes = add(need->total_bytes, parts[i]);
}

static int add_inference(const struct assay_memory_request *r, const struct weight_sums *w, struct assay_memory_need *needs)
{
    static const struct {
        const char *precision;
        int64_t float_bytes, matrix_bytes; /* of an element of the activations and small weights; of the matrices */
    } kinds[] = {{"f32", 4, 4}, {"f16", 2, 2}, {"bf16", 2, 2}, {"int8", 4, 1}};
    bool is_f32 = r->precision && strcmp(r->precision, "f32") == 0;
    int n = 0;
    for (size_t i = 0; i < (is_f32 ? ASSAY_COUNT(kinds) : 1); i++) {
        struct assay_memory_use use;
        int64_t small = w->floats - w->matrix_floats;
        assay_memory_use_find(&use, r->graph, kinds[i].float_bytes);
        if (use.n_unknown)
            return 0;
        needs[n] = (struct assay_memory_need){
            .mode = "inference",
            .precision = is_f32         ? kinds[i].precision
                         : r->precision ? r->precision
                                        : "f32",
            .weight_bytes =
                add(w->other_bytes, add(times(kinds[i].float_bytes, small), times(kinds[i].matrix_bytes, w->matrix_floats))),
            .input_bytes = use.input_bytes,
            .activation_bytes = use.in_place_arena_bytes,
            .cache_bytes = times(times(r->cache_token_bytes / 4 * kinds[i].float_bytes, r->cache_tokens), r->batch),
        };
        finish(&needs[n++]);
    }
    return n;
}

static int add_training(const struct assay_memory_request *r, const struct weight_sums *w, struct assay_memory_need *needs)
{
    static const struct {
        const char *optimizer;
        int64_t numbers;
    } optimizers[] = {{"sgd", 0}, {"momentum", 1}, {"adam", 2}};
    int n = 0;
    if (!r->precision || strcmp(r->precision, "f32") != 0 || r->parameters == 0)
        return 0;
    for (int mixed = 0; mixed < 2; mixed++) {
        struct assay_memory_use use;
        int64_t width = mixed ? 2 : 4;
        assay_memory_use_find(&use, r->graph, width);
        for (size_t i = 0; i < ASSAY_COUNT(optimizers); i++) {
            needs[n] = (struct assay_memory_need){
                .mode = "training",
                .precision = mixed ? "mixed" : "f32",
                .optimizer = optimizers[i].optimizer,
                .weight_bytes = add(w->other_bytes, times(width, w->floats)),
                .input_bytes = use.input_bytes,
                .activation_bytes = use.kept_bytes,
                .gradient_bytes = times(width, r->parameters),
                /* of mixed precision the master copy too */
                .optimizer_bytes = times(4 * (optimizers[i].numbers + mixed), r->parameters),
            };
            finish(&needs[n++]);
        }
    }
    return n;
}

int assay_memory_needs(const struct assay_memory_request *request, struct assay_memory_need needs[ASSAY_MEMORY_MAX_NEEDS])
{
    struct weight_sums sums = {0};
    assay_weights_visit(request->graph, add_weight, &sums);
    int n = add_inference(request, &sums, needs);
    return n == 0 ? 0 : n + add_training(request, &sums, needs + n);
}
