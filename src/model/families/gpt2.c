/* SPDX-License-Identifier: Apache-2.0 */
/* GPT-2 (Radford et al. 2019): pre-norm decoder with learned positions, packed queries, keys and values, weights stored
 * [in, out]. Heads: LM, sequence and token classification, question
 * answering. */
#include "model/families/common_causal.h"

#include <math.h>
#include <string.h>

struct gpt2 {
    int64_t hidden, inner, layers, heads, vocabulary, positions;
    double eps, dropout, attention_dropout, embedding_dropout;
    const char *activation;
    bool scaled, by_layer, tied;
};

static void read_config(struct gpt2 *g, struct assay_config *c)
{
    *g = (struct gpt2){
        .hidden = c_size(c, "n_embd", 768),
        .layers = c_count(c, "n_layer", 12),
        .heads = c_size(c, "n_head", 12),
        .vocabulary = c_size(c, "vocab_size", 50257),
        .positions = c_size(c, "n_positions", 1024),
        .eps = c_real(c, "layer_norm_epsilon", 1e-5),
        .dropout = c_dropout(c, "resid_pdrop", 0.1),
        .attention_dropout = c_dropout(c, "attn_pdrop", 0.1),
        .embedding_dropout = c_dropout(c, "embd_pdrop", 0.1),
        .activation = c_text(c, "activation_function", "gelu_new"),
        .scaled = c_bool(c, "scale_attn_weights", true),
        .by_layer = c_bool(c, "scale_attn_by_inverse_layer_idx", false),
        .tied = c_bool(c, "tie_word_embeddings", true),
    };
    g->inner = c_size(c, "n_inner", 4 * g->hidden);
    /* In which order products are scaled against overflow of f16; of old configs, n_ctx; the summary is of the double head. */
    c_ignore(c, "reorder_and_upcast_attn", "n_ctx", "summary_activation", "summary_first_dropout", "summary_proj_to_labels",
             "summary_type", "summary_use_proj", NULL);
    if (g->hidden % g->heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"n_embd\" %lld is no multiple of \"n_head\" %lld", (long long)g->hidden,
                          (long long)g->heads);
}

static int block(struct assay_builder *b, const struct gpt2 *g, int x, int keep, int mask, int64_t i)
{
    int64_t h = g->hidden, d = h / g->heads;
    int parts[3];
    struct b_attention a = {.heads = g->heads, .head_dim = d, .keep = keep, .mask = mask, .dropout = g->attention_dropout};
    a.scale = (g->scaled ? 1 / sqrt((double)d) : 1) / (g->by_layer ? (double)i + 1 : 1);
    b_enter(b, "h.%d", (int)i);
    int y = b_layer_norm(b, x, "ln_1", h, g->eps);
    b_split(b, b_linear_in_out(b, y, "attn.c_attn", h, 3 * h, true), -1, B_LIST(h, h, h), parts);
    a.q = parts[0];
    a.k = parts[1];
    a.v = parts[2];
    a.cached = b->options->phase == ASSAY_PHASE_DECODE;
    a.layer = i;
    x = b_add(b, x, b_dropout(b, b_linear_in_out(b, b_attention(b, &a), "attn.c_proj", h, h, true), g->dropout));
    y = b_linear_in_out(b, b_layer_norm(b, x, "ln_2", h, g->eps), "mlp.c_fc", h, g->inner, true);
    y = b_linear_in_out(b, b_activation(b, y, g->activation), "mlp.c_proj", g->inner, h, true);
    x = b_add(b, x, b_dropout(b, y, g->dropout));
    b_leave(b);
    b_output_optional(b, a.probabilities, "attentions.%d", (int)i);
    b_output_optional(b, a.key, "past_key_values.%d.0", (int)i);
    b_output_optional(b, a.value, "past_key_values.%d.1", (int)i);
    return x;
}

/* [batch, length, hidden]; *input_ids: what it read. */
static int run(struct assay_builder *b, const struct gpt2 *g, const char *scope, bool single, int *input_ids)
{
    bool cached = b->options->phase == ASSAY_PHASE_DECODE;
    int ids, attention_mask, positions;
    causal_inputs(b, single, &ids, &attention_mask, &positions);
    b->text_positions = g->positions;
    int types = cached ? -1 : b_input_optional(b, "token_type_ids", false, ASSAY_I64, single ? "1 sequence" : "batch sequence");
    *input_ids = ids;
    b_enter(b, "%s", scope);
    if (positions < 0)
        positions = decoder_positions(b, ids);
    int x = b_embedding(b, ids, "wte", g->vocabulary, g->hidden);
    x = b_add(b, x, b_embedding(b, positions, "wpe", g->positions, g->hidden));
    if (types >= 0)
        x = b_add(b, x, b_embedding(b, types, "wte", g->vocabulary, g->hidden));
    x = b_dropout(b, x, g->embedding_dropout);
    int queries = b_size_scalar(b, x, 1);
    int keep = b_causal(b, queries, cached ? b_size_scalar(b, attention_mask, 1) : queries, 0);
    int mask = attention_mask >= 0 ? b_padding_mask(b, attention_mask) : -1;
    for (int64_t i = 0; i < g->layers && !b->emit.status; i++) {
        b_output_optional(b, x, "hidden_states.%d", (int)i);
        x = block(b, g, x, keep, mask, i);
    }
    x = b_layer_norm(b, x, "ln_f", g->hidden, g->eps);
    b_output_optional(b, x, "hidden_states.%d", (int)g->layers);
    b_leave(b);
    return x;
}

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *architecture)
{
    struct gpt2 g;
    read_config(&g, c);
    bool alone = is(architecture, "GPT2Model"), sequence = is(architecture, "GPT2ForSequenceClassification");
    int64_t labels = c_labels(c, 2), pad_token = causal_pad_token(c);
    double head_dropout = causal_head_dropout(c);
    if (assay_config_status(c))
        return;
    /* The causal mask that old checkpoints hold; openai-community/gpt2 was saved as the model alone. */
    b_ignore(b, "*.attn.bias");
    b_ignore(b, "*.attn.masked_bias");
    const char *scope = alone || b_has(b, "wte.weight", false) ? "" : "transformer";
    if (g.tied)
        b_tie(b, "lm_head.weight", *scope ? "transformer.wte.weight" : "wte.weight");
    int ids, x = run(b, &g, scope, sequence && !c_has(c, "pad_token_id"), &ids);
    if (b->options->phase == ASSAY_PHASE_DECODE)
        x = b_slice(b, x, 1, -1, INT64_MAX);
    if (alone) {
        b_output(b, x, "last_hidden_state");
    } else if (sequence) {
        causal_classify(b, c, b_linear(b, x, "score", g.hidden, labels, false), ids, pad_token);
    } else if (is(architecture, "GPT2ForTokenClassification")) {
        x = b_linear(b, b_dropout(b, x, head_dropout), "classifier", g.hidden, labels, true);
        b_output(b, x, "logits");
        b_classes_loss(b, x, "batch sequence");
    } else if (is(architecture, "GPT2ForQuestionAnswering")) {
        causal_answer(b, x, g.hidden);
    } else {
        causal_speak(b, b_linear(b, x, "lm_head", g.hidden, g.vocabulary, false));
    }
}

static const struct assay_architecture architectures[] = {
    {"GPT2ForSequenceClassification", "gpt2", "score.weight"},
    {"GPT2ForTokenClassification", "gpt2", "classifier.weight"},
    {"GPT2ForQuestionAnswering", "gpt2", "qa_outputs.weight"},
    {"GPT2LMHeadModel", "gpt2", "transformer.wte.weight"},
    {"GPT2Model", "gpt2", NULL},
    {NULL, NULL, NULL},
};

static const char *const generators[] = {"GPT2LMHeadModel", NULL};

const struct assay_family assay_family_gpt2 = {
    .name = "gpt2", .modality = "text", .architectures = architectures, .generators = generators, .build = build};
