/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See guess.h. Families are told by rules over traits.h: what must be there, what must not, and what is usual. The rule that asks
 * for most wins. How sure: certain where the file's metadata says so; likely where all that is asked for and all that is usual is
 * there; perhaps where something usual is missing, or where only a name tells. Where no rule fits there is no guess.
 */
#include "model/guess.h"

#include "model/family.h"
#include "model/traits.h"
#include "model/weights.h"

#include <strings.h>

/* What the rules look at. */
struct look {
    struct assay_traits traits;
    const char *named_sound, *named_sound_why;    /* an input whose name says that it is sound */
    int64_t weight_bytes, bytes_of[ASSAY_I4 + 1]; /* of weights, by dtype */
};

static void look_at_names(struct look *t, const struct assay_graph *graph)
{
    static const char *const words[] = {"audio", "wav", "speech", "mel", "fbank", "waveform", "pcm"};
    static const char *const rates[] = {"sample_rate", "sampling_rate", "samplerate"};
    static const char *const pasts[] = {"past_key", "past_value", "past.", "cache_k", "cache_v"};
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_value *input = &graph->values[graph->inputs[i]];
        bool is_rate = strcmp(input->name, "sr") == 0, is_sound = false;
        for (size_t k = 0; k < ASSAY_COUNT(rates); k++)
            is_rate |= strcasestr(input->name, rates[k]) != NULL;
        for (size_t k = 0; k < ASSAY_COUNT(words); k++)
            is_sound |= strcasestr(input->name, words[k]) && assay_dtype_is_float(input->type.dtype) && input->type.rank >= 2 &&
                        input->type.rank <= 3;
        for (size_t k = 0; k < ASSAY_COUNT(pasts); k++)
            t->traits.bits |= strcasestr(input->name, pasts[k]) ? ASSAY_TRAIT(CAUSAL) : 0;
        if (is_rate || (is_sound && !t->named_sound)) {
            t->named_sound = input->name;
            t->named_sound_why = is_rate ? "a sampling rate" : "named like audio";
        }
    }
}

static void add_weight(void *context, const struct assay_tensor *weight, bool is_parameter)
{
    struct look *t = context;
    (void)is_parameter;
    t->weight_bytes += assay_tensor_bytes(weight);
    t->bytes_of[weight->type.dtype] += assay_tensor_bytes(weight);
}

/* ---- precision, and what the file says of itself */

/* The dtype of most weights, counted in elements; without weights, that of the inputs. */
static const char *guess_precision(const struct look *t, const struct assay_graph *graph)
{
    int64_t int8 = t->bytes_of[ASSAY_I8] + t->bytes_of[ASSAY_U8], best = 0;
    int64_t int4 = 2 * (t->bytes_of[ASSAY_I4] + t->bytes_of[ASSAY_U4]);
    enum assay_dtype dtype = ASSAY_NO_DTYPE;
    static const enum assay_dtype floats[] = {ASSAY_F32, ASSAY_F16, ASSAY_BF16, ASSAY_F64};
    for (size_t i = 0; i < ASSAY_COUNT(floats); i++) {
        int64_t n = t->bytes_of[floats[i]] / (int64_t)assay_dtype_size(floats[i]);
        if (n > best) {
            best = n;
            dtype = floats[i];
        }
    }
    if (t->traits.n_quantized > 0 && int8 > 0 && int8 >= best && int8 >= int4)
        return "int8";
    if (t->traits.n_quantized > 0 && int4 > 0 && int4 >= best)
        return "w4a32";
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

/* ---- families */

#define T(name) ASSAY_TRAIT(name)
static const struct rule {
    const char *family;
    uint64_t needs, lacks, usual;
} rules[] = {
    {"bert", T(TOKENS) | T(ATTENTION) | T(LAYER_NORM), T(CAUSAL) | T(IMAGE) | T(CROSS_ATTENTION) | T(RMS_NORM) | T(ROTARY),
     T(GELU_ERF) | T(ALL_BIASED)},
    {"gpt2", T(TOKENS) | T(ATTENTION) | T(LAYER_NORM) | T(CAUSAL), T(IMAGE) | T(CROSS_ATTENTION) | T(RMS_NORM) | T(ROTARY),
     T(GELU_TANH)},
    {"t5", T(TOKENS) | T(ATTENTION) | T(RMS_NORM) | T(UNBIASED), T(ROTARY) | T(IMAGE) | T(LAYER_NORM), T(CROSS_ATTENTION)},
    {"llama", T(TOKENS) | T(ATTENTION) | T(RMS_NORM) | T(ROTARY) | T(UNBIASED), T(IMAGE) | T(LAYER_NORM) | T(CROSS_ATTENTION),
     T(CAUSAL) | T(SWISH)},
    {"qwen2", T(TOKENS) | T(ATTENTION) | T(RMS_NORM) | T(ROTARY) | T(SOME_BIASED), T(IMAGE) | T(LAYER_NORM) | T(CROSS_ATTENTION),
     T(CAUSAL) | T(SWISH)},
    {"vit", T(IMAGE) | T(PATCHES) | T(ATTENTION) | T(LAYER_NORM), T(TOKENS) | T(DEEP_CONV) | T(CONTRAST) | T(FRAMES) | T(CAUSAL),
     T(GELU_ERF) | T(ALL_BIASED)},
    {"clip", T(IMAGE) | T(PATCHES) | T(ATTENTION) | T(TOKENS) | T(CONTRAST), T(FRAMES) | T(CROSS_ATTENTION) | T(SPECTROGRAM),
     T(SWISH) | T(CAUSAL)},
    {"xclip", T(IMAGE) | T(PATCHES) | T(ATTENTION) | T(TOKENS) | T(CONTRAST) | T(FRAMES), T(SPECTROGRAM), T(SWISH) | T(CAUSAL)},
    {"clap", T(SPECTROGRAM) | T(PATCHES) | T(ATTENTION) | T(TOKENS) | T(CONTRAST), 0, T(GELU_ERF)},
    {"llava", T(IMAGE) | T(PATCHES) | T(ATTENTION) | T(TOKENS) | T(RMS_NORM) | T(ROTARY), T(FRAMES) | T(CONTRAST),
     T(CAUSAL) | T(SWISH) | T(LAYER_NORM)},
    {"llava_next", T(IMAGE) | T(PATCHES) | T(ATTENTION) | T(TOKENS) | T(RMS_NORM) | T(ROTARY) | T(FRAMES), T(CONTRAST),
     T(CAUSAL) | T(SWISH) | T(LAYER_NORM)},
    {"detr", T(IMAGE) | T(DEEP_CONV) | T(ATTENTION) | T(CROSS_ATTENTION) | T(LAYER_NORM), T(TOKENS) | T(DEPTHWISE),
     T(RELU) | T(MAX_POOL) | T(WAVES_ADDED)},
    {"whisper", T(MEL) | T(ATTENTION) | T(LAYER_NORM) | T(CONV_1D), T(MANY_CONV_1D), T(GELU_ERF)},
    {"wav2vec2", T(WAVE) | T(MANY_CONV_1D) | T(ATTENTION) | T(LAYER_NORM), T(TOKENS), T(GELU_ERF)},
    {"resnet", T(IMAGE) | T(DEEP_CONV) | T(SKIPS) | T(RELU) | T(MAX_POOL) | T(GLOBAL_POOL),
     T(ATTENTION) | T(DEPTHWISE) | T(RELU6) | T(LSTM) | T(GATED_CONV), 0},
    {"mobilenet_v2", T(IMAGE) | T(DEEP_CONV) | T(SKIPS) | T(RELU6) | T(DEPTHWISE) | T(GLOBAL_POOL),
     T(ATTENTION) | T(LSTM) | T(GATED_CONV) | T(RELU), 0},
    {"ds_cnn", T(SPECTROGRAM) | T(DEEP_CONV) | T(DEPTHWISE) | T(RELU), T(ATTENTION) | T(LSTM) | T(GATED_CONV) | T(SKIPS), 0},
    {"lstm", T(TOKENS) | T(LSTM), T(ATTENTION), 0},
};

static int count(uint64_t bits) { return __builtin_popcountll(bits); }

/* The words of the traits in `bits`, with commas. */
static const char *list(uint64_t bits, struct assay_arena *arena)
{
    const char *text = "";
    for (int i = 0; i < ASSAY_N_TRAITS; i++)
        if (bits >> i & 1)
            text = assay_arena_printf(arena, "%s%s%s", text, *text ? ", " : "", assay_trait_words(i));
    return text;
}

static bool guess_by_rule(struct assay_analysis *analysis, uint64_t bits)
{
    const struct rule *best = NULL;
    int best_score = 0;
    for (size_t i = 0; i < ASSAY_COUNT(rules); i++) {
        const struct rule *rule = &rules[i];
        int score = 4 * count(rule->needs) + 2 * count(rule->usual & bits) + count(rule->lacks);
        if ((bits & rule->needs) == rule->needs && !(bits & rule->lacks) && score > best_score) {
            best = rule;
            best_score = score;
        }
    }
    if (!best)
        return false;
    uint64_t missing = best->usual & ~bits;
    bool is_likely = !missing && count(best->needs | best->usual) >= 4;
    const char *has = list(bits & (best->needs | best->usual), &analysis->arena);
    analysis->family = best->family;
    analysis->family_sure = is_likely ? "likely" : "perhaps";
    analysis->family_why =
        missing ? assay_arena_printf(&analysis->arena, "perhaps: it has %s; but not %s", has, list(missing, &analysis->arena))
                : assay_arena_printf(&analysis->arena, "%s: it has %s", analysis->family_sure, has);
    return true;
}

/* What a graph is of where no rule fits: a kind, not a family. */
static void guess_kind(struct assay_analysis *analysis, const struct assay_traits *t)
{
    struct assay_arena *arena = &analysis->arena;
    const char *kind = NULL, *sure = "likely", *why = NULL;
    if (t->n_attention > 0 && t->n_conv > t->n_attention * 3) {
        kind = "cnn-transformer";
        why = assay_arena_printf(arena, "%d convolutions and %d attention blocks", t->n_conv, t->n_attention);
    } else if (t->n_attention > 0 && t->bits & T(CAUSAL)) {
        kind = "transformer-decoder";
        why = assay_arena_printf(arena, "%d attention blocks with a causal mask or a cache", t->n_attention);
    } else if (t->n_attention > 0) {
        kind = "transformer-encoder";
        sure = "perhaps";
        why = assay_arena_printf(arena, "%d attention blocks, and neither a causal mask nor a cache was found", t->n_attention);
    } else if (t->n_recurrent > 0) {
        kind = "rnn";
        why = assay_arena_printf(arena, "%d recurrent layers beside %d convolutions, no attention", t->n_recurrent, t->n_conv);
    } else if (t->bits & T(DEPTHWISE)) {
        kind = "mobilenet-like";
        why = assay_arena_printf(arena, "%d of %d convolutions are depthwise", t->n_depthwise, t->n_conv);
    } else if (t->n_conv >= 2) {
        kind = "cnn";
        why = assay_arena_printf(arena, "%d convolutions, no attention, no recurrent layer", t->n_conv);
    } else if (t->n_product >= 2 && t->n_conv == 0 && t->n_product * 8 >= t->n_nodes) {
        kind = "mlp";
        sure = "perhaps";
        why = assay_arena_printf(arena, "%d matrix products, no convolution, attention or recurrent layer", t->n_product);
    }
    if (!kind)
        return;
    analysis->family = kind;
    analysis->family_sure = sure;
    analysis->family_why = assay_arena_printf(arena, "%s: %s", sure, why);
}

static void guess_family(struct assay_analysis *analysis, const struct look *look, const struct assay_graph *graph)
{
    const char *stated = stated_family(graph);
    if (stated) {
        analysis->family = assay_arena_strdup(&analysis->arena, stated);
        analysis->family_sure = "certain";
        analysis->family_why = "certain: the file's metadata says so";
    } else if (!guess_by_rule(analysis, look->traits.bits)) {
        guess_kind(analysis, &look->traits);
    }
}

/* ---- modality */

static void set_modality(struct assay_analysis *analysis, const char *modality, const char *sure, const char *why)
{
    analysis->modality = modality;
    analysis->modality_sure = sure;
    analysis->modality_why = assay_arena_printf(&analysis->arena, "%s: %s", sure, why);
}

/* NULL if the name is none of ours. */
static const struct assay_family *family_of(const char *name)
{
    for (int i = 0; name && assay_family_at(i); i++)
        if (strcmp(assay_family_at(i)->name, name) == 0)
            return assay_family_at(i);
    return NULL;
}

static void guess_modality(struct assay_analysis *analysis, const struct look *look, const struct assay_graph *graph)
{
    const struct assay_traits *t = &look->traits;
    struct assay_arena *arena = &analysis->arena;
    const struct assay_family *stated = family_of(stated_family(graph));
    if (stated) {
        set_modality(analysis, stated->modality, "certain",
                     assay_arena_printf(arena, "the file's metadata says that it is %s", stated->name));
        return;
    }
    bool text = t->bits & T(TOKENS), vision = t->bits & T(IMAGE), sound = t->sound_input || look->named_sound;
    sound |= !vision && t->bits & T(SPECTRAL);
    /* Speech recognition takes its own earlier words as tokens: what it is given is sound. */
    bool listens = sound && text && t->bits & T(CROSS_ATTENTION) && !(t->bits & T(CONTRAST));
    if (text + vision + sound > 1 && !listens)
        set_modality(analysis, "multimodal", "likely",
                     assay_arena_printf(arena, "it takes%s%s%s%s", text ? " token ids" : "", text && vision ? " and" : "",
                                        vision ? " images" : "", sound ? " and sound" : ""));
    else if (t->sound_input)
        set_modality(analysis, "audio", t->bits & (T(WAVE) | T(MEL)) ? "likely" : "perhaps",
                     assay_arena_printf(arena, "input '%s' is %s%s", t->sound_input,
                                        list(t->bits & (T(WAVE) | T(MEL) | T(SPECTROGRAM)), arena),
                                        listens ? ", and tokens attend to it" : ""));
    else if (look->named_sound)
        set_modality(analysis, "audio", "perhaps",
                     assay_arena_printf(arena, "input '%s' is %s", look->named_sound, look->named_sound_why));
    else if (sound)
        set_modality(analysis, "audio", "perhaps", assay_arena_printf(arena, "%d spectral transforms", t->n_spectral));
    else if (text)
        set_modality(analysis, "text", "likely",
                     assay_arena_printf(arena, "input '%s' holds indices into a table of vectors", t->token_input));
    else if (vision)
        set_modality(
            analysis, "vision", "likely",
            assay_arena_printf(arena, "input '%s' is %s", t->image_input, list(t->bits & (T(IMAGE) | T(FRAMES)), arena)));
}

void assay_guess(struct assay_analysis *analysis, const struct assay_graph *graph)
{
    struct look look = {0};
    assay_traits_find(&look.traits, graph);
    look_at_names(&look, graph);
    assay_weights_visit(graph, add_weight, &look);
    analysis->precision = guess_precision(&look, graph);
    guess_family(analysis, &look, graph);
    guess_modality(analysis, &look, graph);
}
