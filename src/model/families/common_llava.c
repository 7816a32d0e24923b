/* SPDX-License-Identifier: Apache-2.0 */
/* See common_llava.h. */
#include "model/families/common_llava.h"

#include <string.h>

/* ---- config */

static void read_text(struct llava *l, struct assay_config *c)
{
    struct assay_config *text = c_sub(c, "text_config");
    const char *type = c_text(text, "model_type", "llama");
    if (!decoder_is_known(type)) {
        assay_config_fail(text, ASSAY_UNSUPPORTED, "\"model_type\" is \"%s\"; Assay builds llama, mistral and qwen2 here", type);
        return;
    }
    decoder_read(&l->text, text, type);
}

static void read_vision(struct llava *l, struct assay_config *c)
{
    /* Without a vision_config it is the large CLIP for images of 336; with one, CLIP's own defaults hold. */
    static const struct clip_tower large = {.hidden = 1024,
                                            .inner = 4096,
                                            .layers = 24,
                                            .heads = 16,
                                            .eps = 1e-5,
                                            .activation = "quick_gelu",
                                            .image = 336,
                                            .patch = 14,
                                            .channels = 3,
                                            .n_patches = 24 * 24};
    struct assay_config *vision = c_sub(c, "vision_config");
    l->vision = large;
    if (!c_has(c, "vision_config"))
        return;
    c_require_text(vision, "model_type", "clip_vision_model");
    clip_read_vision(&l->vision, vision);
    c_ignore(vision, "vocab_size", NULL);
}

void llava_read(struct llava *l, struct assay_config *c)
{
    *l = (struct llava){
        .image_token = c_int(c, "image_token_index", 32000),
        .pad_token = c_int(c, "pad_token_id", -1),
        .ignored_label = c_int(c, "ignore_index", -100),
        .projector_bias = c_bool(c, "multimodal_projector_bias", true),
        .activation = c_text(c, "projector_hidden_act", "gelu"),
    };
    read_text(l, c);
    read_vision(l, c);
    int64_t layer = c_int(c, "vision_feature_layer", -2), states = l->vision.layers + 1;
    l->feature_layer = layer < 0 ? states + layer : layer;
    if (l->feature_layer < 0 || l->feature_layer >= states)
        assay_config_fail(c, ASSAY_INVALID, "\"vision_feature_layer\" is %lld, and the vision tower has %lld hidden states",
                          (long long)layer, (long long)states);
    const char *strategy = c_text(c, "vision_feature_select_strategy", "default");
    l->keeps_class = strcmp(strategy, "full") == 0;
    if (!l->keeps_class && strcmp(strategy, "default") != 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"vision_feature_select_strategy\" is \"%s\"; Assay builds default and full",
                          strategy);
    if (l->image_token < 0 || l->image_token >= l->text.vocabulary)
        assay_config_fail(c, ASSAY_INVALID, "\"image_token_index\" %lld is outside the vocabulary of %lld",
                          (long long)l->image_token, (long long)l->text.vocabulary);
    /* Of the text's config, which counts; how many tokens processors insert. */
    c_ignore(c, "vocab_size", "tie_word_embeddings", "image_seq_length", NULL);
}

/* ---- images */

int llava_features(struct assay_builder *b, const struct llava *l, int pixels)
{
    int *states = assay_arena_array(&b->arena, (size_t)l->vision.layers + 1, sizeof *states);
    b_enter(b, "vision_tower.vision_model");
    clip_vision(b, &l->vision, pixels, "vision_tower.", states);
    b_leave(b);
    if (b->emit.status)
        return -1;
    int x = states[l->feature_layer];
    if (!l->keeps_class)
        x = b_slice(b, x, 1, 1, INT64_MAX);
    b_enter(b, "multi_modal_projector");
    x = b_linear(b, x, "linear_1", l->vision.hidden, l->text.hidden, l->projector_bias);
    x = b_linear(b, b_activation(b, x, l->activation), "linear_2", l->text.hidden, l->text.hidden, l->projector_bias);
    b_leave(b);
    return x;
}

/* ---- text and images in one sequence */

static int cumulate(struct assay_builder *b, int x, int64_t axis) { return b_op(b, "CumSum", B_VALUES(x, b_int(b, axis))); }

static int gather_along(struct assay_builder *b, int x, int indices)
{
    int y = b_op(b, "GatherElements", B_VALUES(x, indices));
    b_set_int(b, "axis", 1);
    return y;
}

static int maximum(struct assay_builder *b, int x)
{
    int y = b_op(b, "ReduceMax", B_VALUES(x));
    b_set_int(b, "keepdims", 0);
    return y;
}

static int equals(struct assay_builder *b, int x, int64_t value) { return b_op(b, "Equal", B_VALUES(x, b_int(b, value))); }

/* Where the tokens go: all int64, [batch, sequence] and [batch, 1]. */
struct layout {
    int places;  /* of each token, the last one of an image */
    int padding; /* how many places of a row nothing is put at */
    int length;  /* scalar: of the merged rows */
    int is_told; /* bool scalar: whether that is the length they were told to have; -1 = they were not told */
};

static struct layout lay_out(struct assay_builder *b, const struct llava *l, int ids, int extra, int length)
{
    struct layout o;
    int images = b_cast(b, equals(b, ids, l->image_token), ASSAY_I64);
    o.places = b_sub(b, cumulate(b, b_add(b, b_mul(b, images, extra), b_int(b, 1)), 1), b_int(b, 1));
    int last = b_slice(b, o.places, 1, -1, INT64_MAX), most = maximum(b, last);
    o.length = b_add(b, most, b_int(b, 1));
    o.is_told = length < 0 ? -1 : b_op(b, "Equal", B_VALUES(o.length, length));
    o.length = length < 0 ? o.length : length;
    o.padding = b_sub(b, most, last);
    /* Rows are taken as padded on the left unless one of them ends with padding. */
    int right = maximum(b, b_cast(b, equals(b, b_slice(b, ids, 1, -1, INT64_MAX), l->pad_token), ASSAY_I64));
    o.places = b_add(b, o.places, b_mul(b, b_sub(b, b_int(b, 1), right), o.padding));
    return o;
}

struct merged {
    int embeddings, mask, positions;
    int labels; /* -1 = none */
};

/* Whether the places for features are as many as the features, or there are none at all: bool scalar. */
static int fits(struct assay_builder *b, int counted, int n_features)
{
    int n_places = b_op(b, "ReduceSum", B_VALUES(counted));
    b_set_int(b, "keepdims", 0);
    return b_op(b, "Or", B_VALUES(b_op(b, "Equal", B_VALUES(n_places, n_features)), equals(b, n_places, 0)));
}

/* Each place of the merged rows takes one row of a table: of the tokens, of the features in their order, or the last, of zeros.
 * Features fill what no text token takes, but for as many places in front as the row is padded by. If their
 * number is another, every place points beyond the table, so that running the model fails, as it does in Transformers; pictures
 * that no token asks for are left out. */
static struct merged merge(struct assay_builder *b, const struct llava *l, int ids, int attention_mask, int x, int features,
                           int extra, int length, int labels)
{
    struct layout o = lay_out(b, l, ids, extra, length);
    int64_t hidden = l->text.hidden;
    int place = b_unsqueeze(b, b_range(b, b_int(b, 0), o.length), B_LIST(0)); /* [1, merged] */
    int before = b_op(b, "Less", B_VALUES(b_unsqueeze(b, o.places, B_LIST(1)), b_unsqueeze(b, place, B_LIST(2))));
    int n_before = b_reduce(b, "ReduceSum", b_cast(b, before, ASSAY_I64), false, B_LIST(2));
    int sequence = b_size_scalar(b, ids, 1), rows = b_size_scalar(b, ids, 0);
    int token = b_op(b, "Min", B_VALUES(n_before, b_sub(b, sequence, b_int(b, 1)))); /* [batch, merged] */
    int id = gather_along(b, ids, token), taken = b_op(b, "Equal", B_VALUES(gather_along(b, o.places, token), place));
    int is_text = b_op(b, "And", B_VALUES(taken, b_unary(b, "Not", equals(b, id, l->image_token))));
    int is_other = b_unary(b, "Not", is_text);
    int rank = b_sub(b, cumulate(b, b_cast(b, is_other, ASSAY_I64), 1), b_int(b, 1));
    int is_feature = b_op(b, "And", B_VALUES(is_other, b_op(b, "GreaterOrEqual", B_VALUES(rank, o.padding))));
    int counted = b_cast(b, is_feature, ASSAY_I64);
    int nth = b_sub(b, cumulate(b, b_reshape(b, counted, B_LIST(-1)), 0), b_int(b, 1));
    nth = b_reshape_to(b, nth, b_unary(b, "Shape", counted));

    int n_tokens = b_mul(b, rows, sequence);
    int flat = b_reshape(b, features, B_LIST(-1, hidden)), n_features = b_size_scalar(b, flat, 0);
    int zero_row = b_add(b, n_tokens, n_features);
    float *zeros = assay_arena_array(&b->arena, (size_t)hidden, sizeof *zeros);
    memset(zeros, 0, (size_t)hidden * sizeof *zeros);
    int table =
        b_concat(b, 0, B_VALUES(b_reshape(b, x, B_LIST(-1, hidden)), flat, b_floats(b, "no_token", B_LIST(1, hidden), zeros)));
    int row = b_unsqueeze(b, b_range(b, b_int(b, 0), rows), B_LIST(1));
    int of_token = b_add(b, b_mul(b, row, sequence), token), is_padding = equals(b, id, l->pad_token);
    int index = b_where(b, is_feature, b_add(b, n_tokens, nth), zero_row);
    index = b_where(b, is_text, b_where(b, is_padding, zero_row, of_token), index);
    int is_good = fits(b, counted, n_features);
    if (o.is_told >= 0)
        is_good = b_op(b, "And", B_VALUES(is_good, o.is_told));
    index = b_where(b, is_good, index, b_add(b, zero_row, b_int(b, 1)));

    struct merged m;
    m.embeddings = b_gather(b, table, 0, index);
    m.mask = b_where(b, is_text, gather_along(b, attention_mask, token), counted);
    int seen = b_sub(b, cumulate(b, m.mask, 1), b_int(b, 1));
    m.positions = b_where(b, equals(b, m.mask, 0), b_int(b, 1), seen);
    m.labels = labels < 0 ? -1 : b_where(b, is_text, gather_along(b, labels, token), b_int(b, l->ignored_label));
    return m;
}

/* What is masked is not learned. */
static int loss_of(struct assay_builder *b, const struct merged *m, int scores)
{
    int labels = b_where(b, equals(b, m->mask, 0), b_int(b, B_IGNORED_LABEL), m->labels);
    return b_next_token_loss(b, scores, labels);
}

int llava_images_per_row(struct assay_builder *b, int ids, int images)
{
    return b_div(b, b_size_scalar(b, images, 0), b_size_scalar(b, ids, 0));
}

void llava_read_all(struct assay_builder *b, const struct llava *l, int ids, int attention_mask, int features, int extra,
                    int length)
{
    bool whole = b->options->phase == ASSAY_PHASE_WHOLE;
    if (attention_mask < 0)
        attention_mask = b_add(b, b_mul(b, ids, b_int(b, 0)), b_int(b, 1));
    int labels = b_training(b) ? b_labels(b, "labels", "batch sequence", l->text.vocabulary) : -1;
    decoder_tie(b, &l->text, "language_model");
    b_enter(b, "language_model.model");
    struct merged m = merge(b, l, ids, attention_mask, decoder_embed(b, &l->text, ids), features, extra, length, labels);
    int x = whole ? decoder_run(b, &l->text, m.embeddings, m.mask, m.positions) : -1;
    b_leave(b);
    if (!whole) {
        b_ignore(b, "language_model.*");
        b_output(b, m.embeddings, "inputs_embeds");
        b_output(b, m.mask, "decoder_attention_mask");
        b_output(b, m.positions, "position_ids");
        return;
    }
    x = decoder_head(b, &l->text, x, "language_model");
    b_output(b, x, "logits");
    if (labels >= 0)
        b_loss(b, loss_of(b, &m, x));
    b_output_optional(b, m.embeddings, "merged.inputs_embeds");
    b_output_optional(b, m.mask, "merged.attention_mask");
    b_output_optional(b, m.positions, "merged.position_ids");
}

void llava_step(struct assay_builder *b, const struct llava *l)
{
    const char *embedded = assay_arena_printf(&b->arena, "batch prefix %lld", (long long)l->text.hidden);
    int ids = b_input(b, "input_ids", ASSAY_I64, "batch sequence");
    int mask = b_input(b, "attention_mask", ASSAY_I64, "batch total_sequence");
    int positions = b_input(b, "position_ids", ASSAY_I64, "batch new_sequence");
    int prefix = b_input(b, "inputs_embeds", ASSAY_F32, embedded);
    b_ignore(b, "vision_tower.*");
    b_ignore(b, "multi_modal_projector.*");
    b_ignore(b, "image_newline");
    decoder_tie(b, &l->text, "language_model");
    b_enter(b, "language_model.model");
    int x = b_concat(b, 1, B_VALUES(prefix, decoder_embed(b, &l->text, ids)));
    x = decoder_run(b, &l->text, x, mask, positions);
    b_leave(b);
    b_output(b, decoder_head(b, &l->text, x, "language_model"), "logits");
}
