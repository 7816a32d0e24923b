/* SPDX-License-Identifier: Apache-2.0 */
/* See common_decoder.h. */
#include "model/families/common_decoder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- config */

static bool is_word(const char *word, const char *name) { return strcmp(word, name) == 0; }

/* rope_scaling: {"type": …} as Transformers 4.41 writes it, {"rope_type": …} as later ones do. */
static void read_rope(struct decoder *d, struct assay_config *c)
{
    const json_t *given = c_json(c, "rope_scaling");
    if (!given)
        return;
    struct assay_config *r = c_sub(c, "rope_scaling");
    const char *type = c_text(r, "rope_type", c_text(r, "type", "default"));
    if (is_word(type, "default"))
        return;
    d->factor = c_real(r, "factor", 0);
    if (!(d->factor >= 1))
        assay_config_fail(r, ASSAY_INVALID, "\"factor\" must be at least 1");
    if (is_word(type, "linear")) {
        d->rope = DECODER_ROPE_LINEAR;
    } else if (is_word(type, "dynamic")) {
        d->rope = DECODER_ROPE_DYNAMIC;
    } else if (is_word(type, "llama3")) {
        d->rope = DECODER_ROPE_LLAMA3;
        d->low_frequency = c_real(r, "low_freq_factor", 1);
        d->high_frequency = c_real(r, "high_freq_factor", 4);
        d->original_positions = c_size(r, "original_max_position_embeddings", 8192);
        if (!(d->high_frequency > d->low_frequency) || !(d->low_frequency > 0))
            assay_config_fail(r, ASSAY_INVALID, "\"high_freq_factor\" must be above \"low_freq_factor\", and that above 0");
    } else if (is_word(type, "yarn")) {
        d->rope = DECODER_ROPE_YARN;
        d->fast = c_real(r, "beta_fast", 32);
        d->slow = c_real(r, "beta_slow", 1);
        d->original_positions = c_size(r, "original_max_position_embeddings", d->positions);
        d->attention_factor = c_real(r, "attention_factor", 0.1 * log(d->factor >= 1 ? d->factor : 1) + 1);
        if (!(d->fast > 0) || !(d->slow > 0))
            assay_config_fail(r, ASSAY_INVALID, "\"beta_fast\" and \"beta_slow\" must be above 0");
    } else {
        assay_config_fail(r, ASSAY_UNSUPPORTED, "the scaling \"%s\" of rotary positions is none that Assay builds", type);
    }
}

static void read_window(struct decoder *d, struct assay_config *c)
{
    const json_t *given = c->object ? json_object_get(c->object, "sliding_window") : NULL;
    int64_t window = c_size(c, "sliding_window", 4096);
    /* Whether flash attention has the window, and from which layer on it does without. Plain attention of Transformers 4.41
     * always has it, in all layers. */
    c_bool(c, "use_sliding_window", false);
    c_ignore(c, "max_window_layers", NULL);
    /* A query sees that many keys before itself, as flash attention counts. */
    d->window = json_is_null(given) ? 0 : window + 1;
}

static void check(const struct decoder *d, struct assay_config *c)
{
    if (d->heads % d->kv_heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"num_attention_heads\" %lld is no multiple of \"num_key_value_heads\" %lld",
                          (long long)d->heads, (long long)d->kv_heads);
    if (d->head_dim < 2 || d->head_dim % 2 != 0)
        assay_config_fail(c, ASSAY_INVALID, "attention heads of %lld numbers cannot be rotated: that must be even",
                          (long long)d->head_dim);
    if (!(d->theta > 0))
        assay_config_fail(c, ASSAY_INVALID, "\"rope_theta\" must be above 0");
    if (d->rope == DECODER_ROPE_DYNAMIC && d->head_dim == 2)
        assay_config_fail(c, ASSAY_INVALID, "attention heads of 2 numbers are too small for dynamic scaling");
}

/* Defaults of Transformers' config classes, where they differ. */
static const struct decoder_class {
    const char *model_type;
    int64_t inner, kv_heads, vocabulary, positions; /* kv_heads 0: as many as heads */
    bool qkv_bias, window;
} classes[] = {
    {"llama", 11008, 0, 32000, 2048, false, false},
    {"mistral", 14336, 8, 32000, 4096 * 32, false, true},
    {"qwen2", 22016, 32, 151936, 32768, true, true},
};

static const struct decoder_class *class_of(const char *model_type)
{
    for (size_t i = 0; i < ASSAY_COUNT(classes); i++)
        if (is_word(model_type, classes[i].model_type))
            return &classes[i];
    return NULL;
}

bool decoder_is_known(const char *model_type) { return class_of(model_type) != NULL; }

/* A class's number stands where the field is missing; null means as many as heads. */
static int64_t read_kv_heads(struct assay_config *c, const struct decoder_class *class, int64_t heads)
{
    bool named = c->object && json_object_get(c->object, "num_key_value_heads");
    return c_size(c, "num_key_value_heads", class->kv_heads && !named ? class->kv_heads : heads);
}

void decoder_read(struct decoder *d, struct assay_config *c, const char *model_type)
{
    const struct decoder_class *class = class_of(model_type);
    ASSAY_ASSERT(class);
    *d = (struct decoder){
        .hidden = c_size(c, "hidden_size", 4096),
        .dropout = c_dropout(c, "attention_dropout", 0),
        .inner = c_size(c, "intermediate_size", class->inner),
        .layers = c_count(c, "num_hidden_layers", 32),
        .heads = c_size(c, "num_attention_heads", 32),
        .vocabulary = c_size(c, "vocab_size", class->vocabulary),
        .positions = c_size(c, "max_position_embeddings", class->positions),
        .eps = c_real(c, "rms_norm_eps", 1e-6),
        .theta = c_real(c, "rope_theta", 10000),
        .activation = c_text(c, "hidden_act", "silu"),
        .qkv_bias = class->qkv_bias,
        .tied = c_bool(c, "tie_word_embeddings", false),
        .factor = 1,
        .attention_factor = 1,
    };
    d->kv_heads = read_kv_heads(c, class, d->heads);
    d->padding = c_padding_row(c, -1, d->vocabulary);
    d->head_dim = c_size(c, "head_dim", d->hidden / d->heads > 0 ? d->hidden / d->heads : 1);
    if (!c_has(c, "head_dim") && d->hidden % d->heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"hidden_size\" %lld is no multiple of \"num_attention_heads\" %lld",
                          (long long)d->hidden, (long long)d->heads);
    if (class->window)
        read_window(d, c);
    if (is_word(model_type, "llama")) {
        d->qkv_bias = d->output_bias = c_bool(c, "attention_bias", false);
        d->inner_bias = c_bool(c, "mlp_bias", false);
        /* In how many slices training computed its products; what the first conversions called the positions. */
        c_ignore(c, "pretraining_tp", "max_sequence_length", NULL);
    }
    read_rope(d, c);
    check(d, c);
}

/* ---- rotary positions */

/* Long waves are stretched, short ones stay, those between are blended (Llama 3.1). */
static double stretch_llama3(const struct decoder *d, double frequency)
{
    double wave = 2 * M_PI / frequency, original = (double)d->original_positions;
    if (wave < original / d->high_frequency)
        return frequency;
    if (wave > original / d->low_frequency)
        return frequency / d->factor;
    double smooth = (original / wave - d->low_frequency) / (d->high_frequency - d->low_frequency);
    return (1 - smooth) * frequency / d->factor + smooth * frequency;
}

/* Index of the frequency that turns `n` times over the original length (YaRN, Peng et al. 2023). */
static double yarn_index(const struct decoder *d, double n)
{
    return (double)d->head_dim * log((double)d->original_positions / (n * 2 * M_PI)) / (2 * log(d->theta));
}

static double stretch_yarn(const struct decoder *d, int64_t i, double frequency)
{
    double low = floor(yarn_index(d, d->fast)), high = ceil(yarn_index(d, d->slow));
    low = low > 0 ? low : 0;
    high = high < (double)d->head_dim - 1 ? high : (double)d->head_dim - 1;
    double ramp = ((double)i - low) / (high > low ? high - low : 0.001);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return frequency / d->factor * ramp + frequency * (1 - ramp);
}

/* Beyond the length of training the base grows with the length at hand: each frequency is multiplied by a power of a ratio that
 * is 1 up to that length. */
static int stretch_dynamic(struct assay_builder *b, const struct decoder *d, int frequencies, int position_ids)
{
    int64_t half = d->head_dim / 2;
    float *powers = assay_arena_array(&b->arena, (size_t)half, sizeof *powers);
    for (int64_t i = 0; i < half; i++)
        powers[i] = (float)(-2.0 * (double)i / (double)(d->head_dim - 2));
    int last = b_op(b, "ReduceMax", B_VALUES(position_ids));
    b_set_int(b, "keepdims", 0);
    int length = b_add(b, b_cast(b, last, ASSAY_F32), b_scalar(b, 1));
    int ratio = b_scale(b, b_op(b, "Max", B_VALUES(length, b_scalar(b, (double)d->positions))), d->factor / (double)d->positions);
    ratio = b_sub(b, ratio, b_scalar(b, d->factor - 1));
    return b_mul(b, frequencies, b_op(b, "Pow", B_VALUES(ratio, b_floats(b, "rope_powers", B_LIST(half), powers))));
}

static int frequencies_of(struct assay_builder *b, const struct decoder *d, int position_ids)
{
    int64_t half = d->head_dim / 2;
    float *numbers = assay_arena_array(&b->arena, (size_t)half, sizeof *numbers);
    for (int64_t i = 0; i < half; i++) {
        double f = 1 / pow(d->theta, 2.0 * (double)i / (double)d->head_dim);
        if (d->rope == DECODER_ROPE_LINEAR)
            f /= d->factor;
        else if (d->rope == DECODER_ROPE_LLAMA3)
            f = stretch_llama3(d, f);
        else if (d->rope == DECODER_ROPE_YARN)
            f = stretch_yarn(d, i, f);
        numbers[i] = (float)f;
    }
    int frequencies = b_floats(b, "rope_frequencies", B_LIST(half), numbers);
    return d->rope == DECODER_ROPE_DYNAMIC ? stretch_dynamic(b, d, frequencies, position_ids) : frequencies;
}

/* ---- layers */

struct shared {
    int mask, cosine, sine;
};

static int rotate(struct assay_builder *b, const struct decoder *d, const struct shared *s, int x, int64_t heads)
{
    return b_rope(b, b_reshape(b, x, B_LIST(0, 0, heads, d->head_dim)), d->head_dim, s->cosine, s->sine);
}

static int attend(struct assay_builder *b, const struct decoder *d, const struct shared *s, int x, int64_t i)
{
    int64_t h = d->hidden, n_q = d->heads * d->head_dim, n_kv = d->kv_heads * d->head_dim;
    struct b_attention a = {.heads = d->heads, .kv_heads = d->kv_heads, .head_dim = d->head_dim, B_ATTENTION_NONE};
    a.dropout = d->dropout;
    b_enter(b, "self_attn");
    a.q = rotate(b, d, s, b_linear(b, x, "q_proj", h, n_q, d->qkv_bias), d->heads);
    a.k = rotate(b, d, s, b_linear(b, x, "k_proj", h, n_kv, d->qkv_bias), d->kv_heads);
    a.v = b_linear(b, x, "v_proj", h, n_kv, d->qkv_bias);
    a.mask = s->mask;
    a.cached = b->options->phase == ASSAY_PHASE_DECODE;
    a.layer = i;
    int y = b_linear(b, b_attention(b, &a), "o_proj", n_q, h, d->output_bias);
    b_leave(b);
    b_output_optional(b, a.probabilities, "attentions.%d", (int)i);
    b_output_optional(b, a.key, "past_key_values.%d.0", (int)i);
    b_output_optional(b, a.value, "past_key_values.%d.1", (int)i);
    return y;
}

static int feed_forward(struct assay_builder *b, const struct decoder *d, int x)
{
    b_enter(b, "mlp");
    int gate = b_activation(b, b_linear(b, x, "gate_proj", d->hidden, d->inner, d->inner_bias), d->activation);
    int up = b_linear(b, x, "up_proj", d->hidden, d->inner, d->inner_bias);
    int y = b_linear(b, b_mul(b, gate, up), "down_proj", d->inner, d->hidden, d->inner_bias);
    b_leave(b);
    return y;
}

int decoder_run(struct assay_builder *b, const struct decoder *d, int x, int attention_mask, int position_ids)
{
    struct shared s;
    int queries = b_size_scalar(b, x, 1);
    bool cached = b->options->phase == ASSAY_PHASE_DECODE;
    s.mask = b_causal_mask(b, queries, cached ? b_size_scalar(b, attention_mask, 1) : queries, d->window, attention_mask);
    b_rope_tables(b, position_ids, frequencies_of(b, d, position_ids), d->attention_factor, &s.cosine, &s.sine);
    b_ignore(b, "*.rotary_emb.inv_freq");
    for (int64_t i = 0; i < d->layers && !b->emit.status; i++) {
        b_output_optional(b, x, "hidden_states.%d", (int)i);
        b_enter(b, "layers.%d", (int)i);
        x = b_add(b, x, attend(b, d, &s, b_rms_norm(b, x, "input_layernorm", d->hidden, d->eps), i));
        x = b_add(b, x, feed_forward(b, d, b_rms_norm(b, x, "post_attention_layernorm", d->hidden, d->eps)));
        b_leave(b);
    }
    x = b_rms_norm(b, x, "norm", d->hidden, d->eps);
    b_output_optional(b, x, "hidden_states.%d", (int)d->layers);
    return x;
}

int decoder_embed(struct assay_builder *b, const struct decoder *d, int ids)
{
    return b_embedding_padded(b, ids, "embed_tokens", d->vocabulary, d->hidden, d->padding);
}

void decoder_tie(struct assay_builder *b, const struct decoder *d, const char *prefix)
{
    const char *dot = *prefix ? "." : "";
    if (d->tied)
        b_tie(b, assay_arena_printf(&b->arena, "%s%slm_head.weight", prefix, dot),
              assay_arena_printf(&b->arena, "%s%smodel.embed_tokens.weight", prefix, dot));
}

int decoder_head(struct assay_builder *b, const struct decoder *d, int x, const char *prefix)
{
    if (b->options->phase == ASSAY_PHASE_DECODE)
        x = b_slice(b, x, 1, -1, INT64_MAX);
    b_enter(b, "%s", prefix);
    x = b_linear(b, x, "lm_head", d->hidden, d->vocabulary, false);
    b_leave(b);
    return x;
}

int decoder_positions(struct assay_builder *b, int x)
{
    return b_unsqueeze(b, b_range(b, b_int(b, 0), b_size_scalar(b, x, 1)), B_LIST(0));
}
