/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See traits.h. Everything is told by ops, shapes and where values come from; names are not looked at, since tools that export,
 * optimise and merge models write their own.
 */
#include "model/traits.h"

#include "model/weights.h"

#include <math.h>
#include <string.h>

const char *assay_trait_words(int number)
{
    static const char *const words[] = {
#define X(name, text) text,
        ASSAY_TRAITS(X)
#undef X
    };
    return words[number];
}

static bool is_op(const struct assay_node *node, const char *const *types)
{
    for (; *types; types++)
        if (strcmp(node->type, *types) == 0)
            return true;
    return false;
}
static bool is(const struct assay_node *node, const char *type) { return node && strcmp(node->type, type) == 0; }

static const char *const conv_types[] = {"Conv", "ConvInteger", "QLinearConv", NULL};
static const char *const recurrent_types[] = {"LSTM", "GRU", "RNN", NULL};
static const char *const product_types[] = {"MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "Einsum", NULL};
static const char *const layer_norm_types[] = {"LayerNormalization", "SkipLayerNormalization", NULL};
static const char *const rms_norm_types[] = {"RMSNormalization", "SimplifiedLayerNormalization",
                                             "SkipSimplifiedLayerNormalization", NULL};
static const char *const attention_types[] = {"Attention", "MultiHeadAttention", "GroupQueryAttention", NULL};
static const char *const spectral_types[] = {"STFT", "DFT", "MelWeightMatrix", NULL};
static const char *const compare_types[] = {"Less", "LessOrEqual", "Greater", "GreaterOrEqual", NULL};
static const char *const quantized_types[] = {"QLinearConv",   "QLinearMatMul",    "ConvInteger",
                                              "MatMulInteger", "DequantizeLinear", NULL};

enum { STEPS = 48 };

/* -1 = not given. */
static int input_of(const struct assay_node *node, int k) { return k < node->n_inputs ? node->inputs[k] : -1; }

static const struct assay_node *producer_of(const struct assay_graph *graph, int value)
{
    if (value < 0 || graph->values[value].producer < 0 || graph->values[value].producer >= graph->n_nodes)
        return NULL;
    return graph->nodes[graph->values[value].producer];
}

static bool is_constant(const struct assay_graph *graph, int value)
{
    return value < 0 || graph->values[value].constant.data || assay_weights_constant(graph, value);
}

/* The first input that is no constant; -1 = none. */
static int data_input(const struct assay_graph *graph, const struct assay_node *node)
{
    for (int k = 0; k < node->n_inputs; k++)
        if (!is_constant(graph, node->inputs[k]))
            return node->inputs[k];
    return -1;
}

/* Where a value comes from: back along first inputs, through ops that hand data on element by element or in another order, up to
 * one that does more, a graph input, or a constant. */
static int origin_of(const struct assay_graph *graph, int value)
{
    static const char *const passing[] = {"Identity",
                                          "Cast",
                                          "Reshape",
                                          "Unsqueeze",
                                          "Squeeze",
                                          "Dropout",
                                          "Flatten",
                                          "Transpose",
                                          "Slice",
                                          "Clip",
                                          "Mul",
                                          "Div",
                                          "Add",
                                          "Sub",
                                          "Where",
                                          "Expand",
                                          "QuantizeLinear",
                                          "DequantizeLinear",
                                          "Pad",
                                          "Concat",
                                          "Split",
                                          "Resize",
                                          "Gather",
                                          "BatchNormalization",
                                          NULL};
    for (int step = 0; step < STEPS; step++) {
        const struct assay_node *node = producer_of(graph, value);
        if (!node || !is_op(node, passing) || (is(node, "Gather") && is_constant(graph, input_of(node, 0))))
            break;
        int next = data_input(graph, node);
        if (next < 0)
            break;
        value = next;
    }
    return value;
}

/* A product with weights, which may pass a Transpose on their way. */
static bool is_projection(const struct assay_graph *graph, const struct assay_node *node)
{
    if (!node || !is_op(node, product_types) || node->n_inputs < 2)
        return false;
    const struct assay_node *turned = producer_of(graph, node->inputs[1]);
    return is_constant(graph, node->inputs[1]) || (is(turned, "Transpose") && is_constant(graph, input_of(turned, 0)));
}

/* ---- attention */

/* What a query or a key was projected from; -1 if that is not seen. */
static int projected_from(const struct assay_graph *graph, int value)
{
    value = origin_of(graph, value);
    const struct assay_node *node = producer_of(graph, value);
    return is_projection(graph, node) ? node->inputs[0] : -1;
}

/* softmax(q · k) · v, where v is no weight. */
static void look_at_attention(struct assay_traits *t, const struct assay_graph *graph, const struct assay_node *node)
{
    if (is_op(node, attention_types)) {
        t->n_attention++;
        return;
    }
    if ((!is(node, "MatMul") && !is(node, "Einsum")) || node->n_inputs < 2 || node->inputs[0] < 0 || node->inputs[1] < 0 ||
        assay_weights_constant(graph, node->inputs[1]))
        return;
    const struct assay_node *softmax = producer_of(graph, origin_of(graph, node->inputs[0]));
    if (!is(softmax, "Softmax"))
        return;
    t->n_attention++;
    const struct assay_node *scores = producer_of(graph, origin_of(graph, input_of(softmax, 0)));
    if (!scores || !is_op(scores, product_types) || scores->n_inputs < 2)
        return;
    int q = projected_from(graph, scores->inputs[0]), k = projected_from(graph, scores->inputs[1]);
    /* DETR adds positions to both sides of self-attention, one sum each. */
    if (q >= 0 && k >= 0 && q != k && origin_of(graph, q) != origin_of(graph, k))
        t->bits |= ASSAY_TRAIT(CROSS_ATTENTION);
}

/* A comparison of one range with another, or a triangle of constants. */
static bool is_range(const struct assay_graph *graph, int value)
{
    for (int step = 0; step < STEPS; step++) {
        const struct assay_node *node = producer_of(graph, value);
        if (!node)
            return value >= 0 && graph->values[value].is_inferred;
        if (is(node, "Range") || is(node, "CumSum"))
            return true;
        if (node->n_inputs < 1)
            return false;
        int next = data_input(graph, node);
        if (next < 0)
            return false;
        value = next;
    }
    return false;
}

static bool is_triangle(const struct assay_graph *graph, int value)
{
    const struct assay_tensor *c = value < 0 ? NULL : assay_weights_constant(graph, value);
    if (!c || c->type.rank < 2)
        return false;
    int64_t n = c->type.dims[c->type.rank - 1], count = assay_tensor_count(c);
    if (n < 8 || c->type.dims[c->type.rank - 2] != n || count != n * n)
        return false;
    double low = assay_tensor_real(c, n * (n - 1)), high = assay_tensor_real(c, n - 1), corner = assay_tensor_real(c, 0);
    return low == corner && assay_tensor_real(c, count - 1) == corner && high != low;
}

static void look_at_mask(struct assay_traits *t, const struct assay_graph *graph, const struct assay_node *node)
{
    if (is(node, "Trilu"))
        t->bits |= ASSAY_TRAIT(CAUSAL);
    if (is_op(node, compare_types) && node->n_inputs == 2 && is_range(graph, node->inputs[0]) && is_range(graph, node->inputs[1]))
        t->bits |= ASSAY_TRAIT(CAUSAL);
    if (is(node, "Where") || is(node, "Slice") || is(node, "Add"))
        for (int k = 0; k < node->n_inputs; k++)
            if (is_triangle(graph, node->inputs[k]))
                t->bits |= ASSAY_TRAIT(CAUSAL);
}

/* ---- what goes in */

/* A long picture that is narrow: bins of a spectrogram, not pixels. */
static bool is_spectrogram(const struct assay_type *type)
{
    int64_t width = type->dims[3], height = type->dims[2], channels = type->dims[1];
    bool narrow = width == 10 || width == 40 || width == 64 || width == 80 || width == 96 || width == 128;
    return type->rank == 4 && (channels == 1 || channels == 4) && narrow && (height < 0 || height >= 4 * width);
}

static void look_at_image(struct assay_traits *t, const struct assay_value *input, const struct assay_type *weight)
{
    const struct assay_type *type = &input->type;
    bool is_pixel = assay_dtype_is_float(type->dtype) || type->dtype == ASSAY_U8;
    if (!is_pixel || (type->rank != 4 && type->rank != 5))
        return;
    if (is_spectrogram(type)) {
        t->bits |= ASSAY_TRAIT(SPECTROGRAM);
        t->sound_input = input->name;
    } else if (weight->dims[1] >= 1 && weight->dims[1] <= 4) {
        t->bits |= ASSAY_TRAIT(IMAGE) | (type->rank == 5 ? ASSAY_TRAIT(FRAMES) : 0);
        t->image_input = input->name;
    }
}

static void look_at_sound(struct assay_traits *t, const struct assay_value *input, const struct assay_type *weight)
{
    const struct assay_type *type = &input->type;
    int64_t channels = weight->dims[1];
    if (!assay_dtype_is_float(type->dtype) || (type->rank != 2 && type->rank != 3))
        return;
    if (channels == 1)
        t->bits |= ASSAY_TRAIT(WAVE);
    else if (type->rank == 3 && (channels == 40 || channels == 64 || channels == 80 || channels == 96 || channels == 128))
        t->bits |= ASSAY_TRAIT(MEL);
    else
        return;
    t->sound_input = input->name;
}

static void look_at_conv(struct assay_traits *t, const struct assay_graph *graph, const struct assay_node *node, int *n_1d,
                         int *n_2d)
{
    int at = is(node, "QLinearConv") ? 3 : 1;
    t->n_conv++;
    if (input_of(node, at) < 0 || node->inputs[0] < 0)
        return;
    const struct assay_type *weight = &graph->values[node->inputs[at]].type;
    *n_1d += weight->rank == 3;
    *n_2d += weight->rank == 4;
    t->n_depthwise += weight->rank >= 3 && weight->dims[1] == 1 && assay_node_int(node, "group", 1) > 1;
    size_t n_strides;
    const int64_t *strides = assay_node_ints(node, "strides", &n_strides);
    if (weight->rank == 4 && n_strides == 2 && strides[0] >= 4 && strides[0] == weight->dims[2])
        t->bits |= ASSAY_TRAIT(PATCHES);
    int origin = origin_of(graph, node->inputs[0]);
    for (int step = 0; step < STEPS; step++) {
        const struct assay_value *value = &graph->values[origin];
        const struct assay_node *node_before = producer_of(graph, origin);
        if (value->outer >= 0) {
            origin = origin_of(graph->outer, value->outer);
            graph = graph->outer;
        } else if (is(node_before, "MatMul") && data_input(graph, node_before) >= 0) { /* resizes a picture */
            origin = origin_of(graph, data_input(graph, node_before));
        } else {
            break;
        }
    }
    const struct assay_value *input = &graph->values[origin];
    if (!input->is_input || graph->outer)
        return;
    if (weight->rank == 4)
        look_at_image(t, input, weight);
    else if (weight->rank == 3)
        look_at_sound(t, input, weight);
}

/* Rows of a table looked up with an integer input: token ids. */
static void look_at_gather(struct assay_traits *t, const struct assay_graph *graph, const struct assay_node *node)
{
    if (node->n_inputs < 2 || node->inputs[0] < 0 || node->inputs[1] < 0)
        return;
    const struct assay_tensor *table = assay_weights_constant(graph, origin_of(graph, node->inputs[0]));
    const struct assay_value *ids = &graph->values[origin_of(graph, node->inputs[1])];
    if (table && table->type.rank == 2 && table->type.dims[0] > 16 && ids->is_input && !graph->outer &&
        assay_dtype_is_integer(ids->type.dtype)) {
        t->bits |= ASSAY_TRAIT(TOKENS);
        t->token_input = ids->name;
    }
}

/* ---- the rest */

/* Counts that only their share or number makes a trait of. */
struct counts {
    int n_1d, n_2d, n_biased, n_projections, n_layer_norm, n_rms_norm, n_l2, n_sin, n_cos, n_rotated, n_skips;
};

/* A mean of squares: of a difference from the mean (LayerNorm, written out), or of the values themselves (RMSNorm). */
static void look_at_mean(struct counts *n, const struct assay_graph *graph, const struct assay_node *node)
{
    const struct assay_node *square = node->n_inputs ? producer_of(graph, node->inputs[0]) : NULL;
    bool is_square = is(square, "Pow") || (is(square, "Mul") && square->n_inputs == 2 && square->inputs[0] == square->inputs[1]);
    if (!is_square)
        return;
    const struct assay_node *from = producer_of(graph, input_of(square, 0));
    *(is(from, "Sub") ? &n->n_layer_norm : &n->n_rms_norm) += 1;
}

/* x · sigmoid(x), or x · sigmoid(1.702 x). */
static bool is_swish(const struct assay_graph *graph, const struct assay_node *node)
{
    if (!is(node, "Mul") || node->n_inputs != 2)
        return false;
    for (int k = 0; k < 2; k++) {
        const struct assay_node *sigmoid = producer_of(graph, node->inputs[k]);
        if (!is(sigmoid, "Sigmoid"))
            continue;
        int x = input_of(sigmoid, 0), other = node->inputs[1 - k];
        const struct assay_node *scaled = producer_of(graph, x);
        if (x == other || (is(scaled, "Mul") && data_input(graph, scaled) == other))
            return true;
    }
    return false;
}

/* A channel's factor that was pooled over all places. */
static bool is_squeeze(const struct assay_graph *graph, const struct assay_node *node)
{
    if (!is(node, "Mul") || node->n_inputs != 2)
        return false;
    for (int k = 0; k < 2; k++) {
        const struct assay_node *gate = producer_of(graph, node->inputs[k]);
        if (is(gate, "Sigmoid") || is(gate, "HardSigmoid") || is(gate, "Clip") || is(gate, "Div")) {
            const struct assay_node *conv = producer_of(graph, origin_of(graph, node->inputs[k]));
            conv =
                is(conv, "Sigmoid") || is(conv, "HardSigmoid") ? producer_of(graph, origin_of(graph, input_of(conv, 0))) : conv;
            for (int step = 0; step < 8 && conv && !is(conv, "GlobalAveragePool"); step++)
                conv = conv->n_inputs ? producer_of(graph, origin_of(graph, input_of(conv, 0))) : NULL;
            if (conv)
                return true;
        }
    }
    return false;
}

static void look_at_sum(struct counts *n, const struct assay_graph *graph, const struct assay_node *node)
{
    if (node->n_inputs != 2)
        return;
    for (int k = 0; k < 2; k++) {
        const struct assay_tensor *bias = node->inputs[k] < 0 ? NULL : assay_weights_constant(graph, node->inputs[k]);
        const struct assay_node *product = producer_of(graph, node->inputs[1 - k]);
        if (bias && bias->type.rank == 1 && is_projection(graph, product))
            n->n_biased++;
    }
    n->n_skips += !is_constant(graph, node->inputs[0]) && !is_constant(graph, node->inputs[1]);
}

static void look_at_node(struct assay_traits *t, struct counts *n, const struct assay_graph *graph, const struct assay_node *node)
{
    static const struct {
        const char *type;
        uint64_t trait;
    } plain[] = {
        {"Relu", ASSAY_TRAIT(RELU)},        {"LSTM", ASSAY_TRAIT(LSTM)},
        {"MaxPool", ASSAY_TRAIT(MAX_POOL)}, {"GlobalAveragePool", ASSAY_TRAIT(GLOBAL_POOL)},
        {"Erf", ASSAY_TRAIT(GELU_ERF)},
    };
    for (size_t i = 0; i < ASSAY_COUNT(plain); i++)
        t->bits |= is(node, plain[i].type) ? plain[i].trait : 0;
    t->n_recurrent += is_op(node, recurrent_types);
    t->n_product += is_op(node, product_types);
    t->n_spectral += is_op(node, spectral_types);
    t->n_quantized += is_op(node, quantized_types);
    n->n_layer_norm += is_op(node, layer_norm_types);
    n->n_rms_norm += is_op(node, rms_norm_types);
    n->n_l2 += is(node, "ReduceL2") || is(node, "LpNormalization");
    n->n_sin += is(node, "Sin");
    n->n_cos += is(node, "Cos");
    n->n_rotated += is(node, "Neg") || (is(node, "Sub") && graph->values[node->outputs[0]].type.rank == 4);
    n->n_projections += is_projection(graph, node);
    look_at_attention(t, graph, node);
    look_at_mask(t, graph, node);
    if (is_op(node, conv_types))
        look_at_conv(t, graph, node, &n->n_1d, &n->n_2d);
    if (is(node, "Gather"))
        look_at_gather(t, graph, node);
    if (is(node, "ReduceMean"))
        look_at_mean(n, graph, node);
    if (is(node, "Add"))
        look_at_sum(n, graph, node);
    if (is(node, "Gemm"))
        n->n_biased += node->n_inputs > 2;
    if (is(node, "Gelu"))
        t->bits |=
            strcmp(assay_node_string(node, "approximate", "none"), "tanh") == 0 ? ASSAY_TRAIT(GELU_TANH) : ASSAY_TRAIT(GELU_ERF);
    if (is(node, "Tanh") && is(producer_of(graph, input_of(node, 0)), "Mul"))
        t->bits |= ASSAY_TRAIT(GELU_TANH);
    if (is(node, "Clip"))
        t->bits |= ASSAY_TRAIT(RELU6);
    if (is_swish(graph, node))
        t->bits |= ASSAY_TRAIT(SWISH);
    if (is_squeeze(graph, node))
        t->bits |= ASSAY_TRAIT(GATED_CONV);
}

static void look_at_nodes(struct assay_traits *t, struct counts *n, const struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i]->n_outputs > 0 && graph->nodes[i]->outputs[0] >= 0)
            look_at_node(t, n, graph, graph->nodes[i]);
    t->n_nodes += graph->n_nodes;
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        look_at_nodes(t, n, body);
}

static void set(struct assay_traits *t, bool has, uint64_t trait) { t->bits |= has ? trait : 0; }

void assay_traits_find(struct assay_traits *t, const struct assay_graph *graph)
{
    struct counts n = {0};
    *t = (struct assay_traits){0};
    look_at_nodes(t, &n, graph);
    set(t, t->n_attention > 0, ASSAY_TRAIT(ATTENTION));
    set(t, t->n_spectral > 0, ASSAY_TRAIT(SPECTRAL));
    set(t, n.n_2d >= 8, ASSAY_TRAIT(DEEP_CONV));
    set(t, n.n_1d >= 2, ASSAY_TRAIT(CONV_1D));
    set(t, n.n_1d >= 6, ASSAY_TRAIT(MANY_CONV_1D));
    set(t, t->n_conv >= 4 && t->n_depthwise * 5 >= t->n_conv, ASSAY_TRAIT(DEPTHWISE));
    /* Positions and inputs also make sums: a few are no sign. */
    set(t, n.n_skips >= 4, ASSAY_TRAIT(SKIPS));
    set(t, n.n_layer_norm >= 2 && n.n_layer_norm > n.n_rms_norm / 4, ASSAY_TRAIT(LAYER_NORM));
    set(t, n.n_rms_norm >= 2 && n.n_rms_norm > n.n_layer_norm / 4, ASSAY_TRAIT(RMS_NORM));
    set(t, n.n_l2 >= 2, ASSAY_TRAIT(CONTRAST));
    set(t, n.n_sin > 0 && n.n_cos > 0 && 2 * n.n_rotated >= t->n_attention, ASSAY_TRAIT(ROTARY));
    set(t, n.n_sin > 0 && n.n_cos > 0 && 2 * n.n_rotated < t->n_attention, ASSAY_TRAIT(WAVES_ADDED));
    double biased = n.n_projections ? (double)n.n_biased / n.n_projections : NAN;
    set(t, biased >= 0.85, ASSAY_TRAIT(ALL_BIASED));
    set(t, biased > 0.15 && biased < 0.85, ASSAY_TRAIT(SOME_BIASED));
    set(t, biased <= 0.15, ASSAY_TRAIT(UNBIASED));
    /* Inputs that states end in are a cache. */
    for (int i = 0; i < graph->n_states; i++)
        set(t, graph->values[graph->inputs[graph->states[i].input]].type.rank == 4, ASSAY_TRAIT(CAUSAL));
}
