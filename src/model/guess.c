/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See guess.h. The rules look at the kinds of inputs and at which ops make up the graph; a guess says how sure it is, and where
 * no rule fits there is none. A family's own name (bert, whisper, …) comes only from the file's metadata: structure alone
 * does not tell siblings apart.
 */
#include "model/guess.h"

#include "model/weights.h"

#include <strings.h>

/* What the rules look at; bodies count too. */
struct traits {
    int n_nodes, n_conv, n_depthwise, n_recurrent, n_norm, n_attention, n_product, n_spectral, n_quantized;
    bool has_conv_1d, has_conv_2d;
    bool has_causal; /* a triangular mask, or keys and values of the past as inputs */
    bool has_tokens, has_image, has_audio;
    const char *token_input, *image_input, *audio_input, *audio_why;
    int64_t weight_bytes, bytes_of[ASSAY_BF16 + 1]; /* of weights, by dtype */
};

static bool is_op(const struct assay_node *node, const char *const *types)
{
    for (; *types; types++)
        if (strcmp(node->type, *types) == 0)
            return true;
    return false;
}

static bool contains(const char *text, const char *const *parts)
{
    for (; *parts; parts++)
        if (strcasestr(text, *parts))
            return true;
    return false;
}

static const char *const conv_types[] = {"Conv", "ConvInteger", "QLinearConv", NULL};
static const char *const recurrent_types[] = {"LSTM", "GRU", "RNN", NULL};
static const char *const product_types[] = {"MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "Einsum", NULL};
static const char *const norm_types[] = {"LayerNormalization", "RMSNormalization", "SkipLayerNormalization",
                                         "SimplifiedLayerNormalization", NULL};
static const char *const attention_types[] = {"Attention", "MultiHeadAttention", "GroupQueryAttention", NULL};
static const char *const spectral_types[] = {"STFT", "DFT", "MelWeightMatrix", NULL};
static const char *const quantized_types[] = {"QLinearConv",   "QLinearMatMul",    "ConvInteger",
                                              "MatMulInteger", "DequantizeLinear", NULL};
/* Ops that hand a value on as it is, or nearly so. */
static const char *const passing_types[] = {
    "Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze", "Dropout",        "Flatten",          "Transpose",
    "Slice",    "Clip", "Mul",     "Where",     "Expand",  "QuantizeLinear", "DequantizeLinear", NULL};

static const struct assay_node *producer_of(const struct assay_graph *graph, int value)
{
    if (value < 0 || graph->values[value].producer < 0 || graph->values[value].producer >= graph->n_nodes)
        return NULL;
    return graph->nodes[graph->values[value].producer];
}

/* Where a value comes from, through ops that pass their first input on. */
static int origin_of(const struct assay_graph *graph, int value)
{
    for (int step = 0; step < 8; step++) {
        const struct assay_node *node = producer_of(graph, value);
        if (!node || node->n_inputs == 0 || !is_op(node, passing_types) || node->inputs[0] < 0)
            break;
        value = node->inputs[0];
    }
    return value;
}

/* softmax(…) · values, where neither side is a weight. */
static bool is_attention(const struct assay_graph *graph, const struct assay_node *node)
{
    if (is_op(node, attention_types))
        return true;
    if ((strcmp(node->type, "MatMul") != 0 && strcmp(node->type, "Einsum") != 0) || node->n_inputs < 2 || node->inputs[0] < 0 ||
        node->inputs[1] < 0 || assay_weights_constant(graph, node->inputs[1]))
        return false;
    const struct assay_node *from = producer_of(graph, origin_of(graph, node->inputs[0]));
    return from && strcmp(from->type, "Softmax") == 0;
}

static void look_at_conv(struct traits *t, const struct assay_graph *graph, const struct assay_node *node)
{
    int at = strcmp(node->type, "QLinearConv") == 0 ? 3 : 1;
    t->n_conv++;
    if (at >= node->n_inputs || node->inputs[at] < 0)
        return;
    const struct assay_type *weight = &graph->values[node->inputs[at]].type;
    t->has_conv_1d |= weight->rank == 3;
    t->has_conv_2d |= weight->rank == 4;
    t->n_depthwise += weight->rank >= 3 && weight->dims[1] == 1 && assay_node_int(node, "group", 1) > 1;
}

/* Rows of a table looked up with an integer input: token ids. */
static void look_at_gather(struct traits *t, const struct assay_graph *graph, const struct assay_node *node)
{
    if (node->n_inputs < 2 || node->inputs[0] < 0 || node->inputs[1] < 0)
        return;
    const struct assay_tensor *table = assay_weights_constant(graph, origin_of(graph, node->inputs[0]));
    const struct assay_value *ids = &graph->values[origin_of(graph, node->inputs[1])];
    if (table && table->type.rank == 2 && table->type.dims[0] > 16 && ids->is_input && !graph->outer &&
        assay_dtype_is_integer(ids->type.dtype)) {
        t->has_tokens = true;
        t->token_input = ids->name;
    }
}

static void look_at_nodes(struct traits *t, const struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        t->n_nodes++;
        t->n_recurrent += is_op(node, recurrent_types);
        t->n_norm += is_op(node, norm_types);
        t->n_product += is_op(node, product_types);
        t->n_spectral += is_op(node, spectral_types);
        t->n_quantized += is_op(node, quantized_types);
        t->n_attention += is_attention(graph, node);
        t->has_causal |= strcmp(node->type, "Trilu") == 0;
        if (is_op(node, conv_types))
            look_at_conv(t, graph, node);
        if (strcmp(node->type, "Gather") == 0)
            look_at_gather(t, graph, node);
    }
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        look_at_nodes(t, body);
}

static void look_at_inputs(struct traits *t, const struct assay_graph *graph)
{
    static const char *const audio_words[] = {"audio", "wav", "speech", "mel", "fbank", "waveform", "pcm", NULL};
    static const char *const rate_words[] = {"sample_rate", "sampling_rate", "samplerate", NULL};
    static const char *const past_words[] = {"past_key", "past_value", "past.", "cache_k", "cache_v", NULL};
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_value *input = &graph->values[graph->inputs[i]];
        const struct assay_type *type = &input->type;
        bool is_float = assay_dtype_is_float(type->dtype);
        t->has_causal |= contains(input->name, past_words);
        if (type->rank == 4 && (is_float || type->dtype == ASSAY_U8)) {
            bool nchw = type->dims[1] == 1 || type->dims[1] == 3, nhwc = type->dims[3] == 1 || type->dims[3] == 3;
            if ((nchw || nhwc) && !t->has_image) {
                t->has_image = true;
                t->image_input = input->name;
            }
        }
        if (contains(input->name, rate_words) || strcmp(input->name, "sr") == 0) {
            t->has_audio = true;
            t->audio_input = input->name;
            t->audio_why = "a sampling rate";
        } else if (is_float && type->rank >= 2 && type->rank <= 3 && contains(input->name, audio_words) && !t->has_audio) {
            t->has_audio = true;
            t->audio_input = input->name;
            t->audio_why = "named like audio";
        }
    }
}

static void add_weight(void *context, const struct assay_tensor *weight, bool is_parameter)
{
    struct traits *t = context;
    (void)is_parameter;
    t->weight_bytes += assay_tensor_bytes(weight);
    t->bytes_of[weight->type.dtype] += assay_tensor_bytes(weight);
}

/* ---- the guesses */

/* The dtype of most weights, counted in elements; without weights, that of the inputs. */
static const char *guess_precision(const struct traits *t, const struct assay_graph *graph)
{
    int64_t int8 = t->bytes_of[ASSAY_I8] + t->bytes_of[ASSAY_U8], best = 0;
    enum assay_dtype dtype = ASSAY_NO_DTYPE;
    static const enum assay_dtype floats[] = {ASSAY_F32, ASSAY_F16, ASSAY_BF16, ASSAY_F64};
    for (size_t i = 0; i < ASSAY_COUNT(floats); i++) {
        int64_t n = t->bytes_of[floats[i]] / (int64_t)assay_dtype_size(floats[i]);
        if (n > best) {
            best = n;
            dtype = floats[i];
        }
    }
    if (t->n_quantized > 0 && int8 > 0 && int8 >= best)
        return "int8";
    for (int i = 0; i < graph->n_inputs && !dtype; i++)
        if (assay_dtype_is_float(graph->values[graph->inputs[i]].type.dtype))
            dtype = graph->values[graph->inputs[i]].type.dtype;
    return dtype ? assay_dtype_word(dtype) : NULL;
}

/* A word like "bert" or "mobilenet_v3": nothing that could spoil a table. */
static bool is_word(const char *text)
{
    size_t n = strlen(text);
    return n > 0 && n < 64 && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

/* What the file's metadata calls its family. */
static const char *stated_family(const struct assay_graph *graph)
{
    static const char *const keys[] = {"family", "model_type"};
    for (size_t k = 0; k < ASSAY_COUNT(keys); k++)
        for (int i = 0; i < graph->n_metadata; i++)
            if (strcmp(graph->metadata[i].name, keys[k]) == 0 && is_word(graph->metadata[i].s))
                return graph->metadata[i].s;
    return NULL;
}

static void guess_transformer(struct assay_analysis *analysis, const struct traits *t)
{
    struct assay_arena *arena = &analysis->arena;
    if (t->n_conv > t->n_attention * 3) {
        analysis->family = "cnn-transformer";
        analysis->family_why =
            assay_arena_printf(arena, "likely: %d convolutions and %d attention blocks", t->n_conv, t->n_attention);
    } else if (t->has_causal) {
        analysis->family = "transformer-decoder";
        analysis->family_why =
            assay_arena_printf(arena, "likely: %d attention blocks with a causal mask or a cache", t->n_attention);
    } else {
        analysis->family = "transformer-encoder";
        analysis->family_why = assay_arena_printf(
            arena, "perhaps: %d attention blocks, no cache; a causal mask stored as a constant would not be seen",
            t->n_attention);
    }
}

static void guess_family(struct assay_analysis *analysis, const struct traits *t, const struct assay_graph *graph)
{
    struct assay_arena *arena = &analysis->arena;
    const char *stated = stated_family(graph);
    if (stated) {
        analysis->family = assay_arena_strdup(arena, stated);
        analysis->family_why = "certain: the file's metadata says so";
    } else if (t->n_attention > 0) {
        guess_transformer(analysis, t);
    } else if (t->n_recurrent > 0) {
        analysis->family = "rnn";
        analysis->family_why = assay_arena_printf(arena, "likely: %d recurrent layers beside %d convolutions, no attention",
                                                  t->n_recurrent, t->n_conv);
    } else if (t->n_conv >= 4 && t->n_depthwise * 5 >= t->n_conv) {
        analysis->family = "mobilenet-like";
        analysis->family_why =
            assay_arena_printf(arena, "likely: %d of %d convolutions are depthwise", t->n_depthwise, t->n_conv);
    } else if (t->n_conv >= 2) {
        analysis->family = "cnn";
        analysis->family_why = assay_arena_printf(arena, "likely: %d convolutions, no attention, no recurrent layer", t->n_conv);
    } else if (t->n_product >= 2 && t->n_conv == 0 && t->n_product * 8 >= t->n_nodes) {
        analysis->family = "mlp";
        analysis->family_why =
            assay_arena_printf(arena, "perhaps: %d matrix products, no convolution, attention or recurrent layer", t->n_product);
    }
}

static void guess_modality(struct assay_analysis *analysis, const struct traits *t)
{
    struct assay_arena *arena = &analysis->arena;
    bool vision = t->has_image && t->has_conv_2d;
    bool audio = t->has_audio || (!vision && t->n_spectral > 0);
    if (t->has_tokens + vision + audio > 1) {
        analysis->modality = "multimodal";
        analysis->modality_why = assay_arena_printf(arena, "likely: it takes%s%s%s", t->has_tokens ? " token ids" : "",
                                                    vision ? " images" : "", audio ? " audio" : "");
    } else if (t->has_tokens) {
        analysis->modality = "text";
        analysis->modality_why =
            assay_arena_printf(arena, "likely: input '%s' holds indices into a table of vectors", t->token_input);
    } else if (vision) {
        analysis->modality = "vision";
        analysis->modality_why = assay_arena_printf(
            arena, "likely: input '%s' has four dimensions, one of them 1 or 3 channels, and goes through convolutions",
            t->image_input);
    } else if (t->has_audio) {
        analysis->modality = "audio";
        analysis->modality_why = assay_arena_printf(arena, "likely: input '%s' is %s", t->audio_input, t->audio_why);
    } else if (audio) {
        analysis->modality = "audio";
        analysis->modality_why = assay_arena_printf(arena, "perhaps: %d spectral transforms", t->n_spectral);
    }
}

void assay_guess(struct assay_analysis *analysis, const struct assay_graph *graph)
{
    struct traits t = {0};
    look_at_nodes(&t, graph);
    look_at_inputs(&t, graph);
    assay_weights_visit(graph, add_weight, &t);
    analysis->precision = guess_precision(&t, graph);
    guess_family(analysis, &t, graph);
    guess_modality(analysis, &t);
}
