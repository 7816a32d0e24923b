/* SPDX-License-Identifier: Apache-2.0 */
/* DETR (Carion et al. 2020): a ResNet, an encoder over its last map with sine positions, and a decoder of learned queries; alone,
 * with the heads for object detection, and with the mask head for panoptic segmentation.
 *
 * Training takes the targets already matched to the queries, which train/detr_matching.h does on the host from the outputs
 * "logits" and "pred_boxes" (and those of "auxiliary_outputs.*") of the same parameters. LAYERS is 1, or with "auxiliary_loss"
 * "decoder_layers"; the last decoder layer comes first.
 *   target_classes  int64 [LAYERS, batch, queries]     the matched object's class; the number of classes = no object
 *   target_boxes    f32 [LAYERS, batch, queries, 4]    its box (centre, size; of the image's 1); 0.5 0.5 1 1 = no object
 *   target_count    f32                                 objects in the batch, 1 at least, which boxes' losses are divided by
 *   target_masks    f32 [batch, queries, mask_height, mask_width]   of the mask head: 1 where the object is
 */
#include "model/families/common_resnet.h"

#include <math.h>
#include <string.h>

struct detr {
    struct resnet backbone;
    uint64_t features; /* maps that the backbone gives */
    int64_t d, queries, labels;
    int64_t encoder_layers, encoder_heads, encoder_inner, decoder_layers, decoder_heads, decoder_inner;
    double dropout, attention_dropout, activation_dropout;
    double no_object_weight, box_weight, giou_weight, mask_weight, dice_weight; /* of the loss's parts */
    const char *activation;
    bool has_learned_positions, has_auxiliary_loss;
};

/* What the transformer works on. */
struct scene {
    int maps[RESNET_MAX_STAGES + 1];
    int last;      /* the last map */
    int projected; /* [batch, d, height, width] */
    int looks;     /* bool [batch, height, width]: true where the image is, false where it was padded */
    int positions; /* [batch or 1, height * width, d] */
    int mask;      /* added to scores: [batch, 1, 1, height * width] */
    int memory;    /* the encoder's: [batch, height * width, d] */
};

/* ---- config */

/* What timm is told beside the name. */
static void read_timm_options(struct detr *m, struct assay_config *c)
{
    static const int64_t all[] = {1, 2, 3, 4};
    struct assay_config *k = c_sub(c, "backbone_kwargs");
    bool dilates = c_bool(c, "dilation", false);
    int64_t indices[ASSAY_CONFIG_MAX_LIST], stride = c_size(k, "output_stride", dilates ? 16 : 32);
    m->backbone.channels = c_size(k, "in_chans", m->backbone.channels);
    int n = c_ints(k, "out_indices", all, 4, indices);
    if (stride != 8 && stride != 16 && stride != 32)
        assay_config_fail(k, ASSAY_UNSUPPORTED, "\"output_stride\" is %lld; Assay builds 8, 16 and 32", (long long)stride);
    m->backbone.n_dilated = stride == 8 ? 2 : stride == 16 ? 1 : 0;
    m->features = 0;
    for (int i = 0; i < n; i++) {
        if (indices[i] < 0 || indices[i] > 4)
            assay_config_fail(k, ASSAY_UNSUPPORTED, "\"out_indices\" has the entry %lld; Assay builds 0 to 4",
                              (long long)indices[i]);
        else
            m->features |= (uint64_t)1 << indices[i];
    }
    if (!m->features)
        assay_config_fail(k, ASSAY_INVALID, "\"out_indices\" is empty");
}

static void read_backbone(struct detr *m, struct assay_config *c)
{
    bool is_timm = c_bool(c, "use_timm_backbone", true);
    if (is_timm) {
        const char *name = c_text(c, "backbone", "resnet50");
        if (!resnet_named(&m->backbone, name))
            assay_config_fail(c, ASSAY_UNSUPPORTED, "\"backbone\" is \"%s\"; Assay builds resnet18, 26, 34, 50, 101 and 152",
                              name);
        c_require_null(c, "backbone_config");
        m->backbone.channels = c_size(c, "num_channels", 3);
        read_timm_options(m, c);
    } else {
        struct assay_config *k = c_sub(c, "backbone_config");
        c_require_text(k, "model_type", "resnet");
        resnet_read(&m->backbone, k);
        m->features = resnet_features(&m->backbone, k);
        c_require_null(c, "backbone_kwargs");
        /* Transformers sets these to null. */
        c_ignore(c, "backbone", "dilation", "num_channels", NULL);
    }
    m->backbone.is_frozen = true;
    c_ignore(c, "use_pretrained_backbone", NULL);
}

static void read_config(struct detr *m, struct assay_config *c)
{
    const char *positions = c_text(c, "position_embedding_type", "sine");
    *m = (struct detr){
        .d = c_size(c, "d_model", 256),
        .queries = c_size(c, "num_queries", 100),
        .labels = c_labels(c, 2),
        .encoder_layers = c_count(c, "encoder_layers", 6),
        .encoder_heads = c_size(c, "encoder_attention_heads", 8),
        .encoder_inner = c_size(c, "encoder_ffn_dim", 2048),
        .decoder_layers = c_count(c, "decoder_layers", 6),
        .decoder_heads = c_size(c, "decoder_attention_heads", 8),
        .decoder_inner = c_size(c, "decoder_ffn_dim", 2048),
        .dropout = c_dropout(c, "dropout", 0.1),
        .attention_dropout = c_dropout(c, "attention_dropout", 0),
        .activation_dropout = c_dropout(c, "activation_dropout", 0),
        .no_object_weight = c_real(c, "eos_coefficient", 0.1),
        .box_weight = c_real(c, "bbox_loss_coefficient", 5),
        .giou_weight = c_real(c, "giou_loss_coefficient", 2),
        .mask_weight = c_real(c, "mask_loss_coefficient", 1),
        .dice_weight = c_real(c, "dice_loss_coefficient", 1),
        .activation = c_text(c, "activation_function", "relu"),
        .has_learned_positions = strcmp(positions, "learned") == 0,
        .has_auxiliary_loss = c_bool(c, "auxiliary_loss", false),
    };
    read_backbone(m, c);
    if (!m->has_learned_positions && strcmp(positions, "sine") != 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"position_embedding_type\" is \"%s\"; DETR's is \"sine\" or \"learned\"",
                          positions);
    if (m->d % m->encoder_heads != 0 || m->d % m->decoder_heads != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"d_model\" %lld is no multiple of \"%s_attention_heads\"", (long long)m->d,
                          m->d % m->encoder_heads ? "encoder" : "decoder");
    if (m->d % (m->has_learned_positions ? 2 : 4) != 0)
        assay_config_fail(c, ASSAY_INVALID, "\"d_model\" is %lld; positions need a multiple of %d", (long long)m->d,
                          m->has_learned_positions ? 2 : 4);
    /* Of matching and of initialisation; and what is left in published configs, unread. */
    c_ignore(c, "bbox_cost", "class_cost", "giou_cost", "init_std", "init_xavier_std", "num_hidden_layers",
             "max_position_embeddings", "scale_embedding", "tie_word_embeddings", NULL);
}

static void check_segmentation(const struct detr *m, struct assay_config *c)
{
    int n = 0;
    for (int stage = 0; stage <= m->backbone.n_stages; stage++)
        n += (int)(m->features >> stage & 1);
    if (n < 3)
        assay_config_fail(c, ASSAY_INVALID, "the mask head needs 3 maps of the backbone; the config tells %d", n);
    if (m->d < 16 || (m->d + m->encoder_heads) % 8 != 0)
        assay_config_fail(
            c, ASSAY_INVALID,
            "\"d_model\" %lld must be 16 at least, and with \"encoder_attention_heads\" a multiple of 8: the mask head "
            "norms in 8 groups",
            (long long)m->d);
}

/* ---- image to sequence */

/* Along `axis`, the places that PyTorch's nearest interpolation to the size of `like` takes, in its f32 arithmetic. */
static int nearest(struct assay_builder *b, int x, int64_t axis, int like, int64_t like_axis)
{
    int from = b_size_scalar(b, x, axis), to = b_size_scalar(b, like, like_axis);
    int ratio = b_div(b, b_cast(b, from, ASSAY_F32), b_cast(b, to, ASSAY_F32));
    int places = b_mul(b, b_cast(b, b_range(b, b_int(b, 0), to), ASSAY_F32), ratio);
    int last = b_sub(b, from, b_int(b, 1));
    places = b_op(b, "Min", B_VALUES(b_cast(b, b_unary(b, "Floor", places), ASSAY_I64), last));
    return b_gather(b, x, axis, places);
}

/* f32 [batch, height, width] of the last map: 1 where the image is. */
static int shrink_mask(struct assay_builder *b, int pixel_mask, int map)
{
    if (pixel_mask < 0) {
        int shape = b_concat(b, 0, B_VALUES(b_size(b, map, 0), b_size(b, map, 2), b_size(b, map, 3)));
        return b_expand(b, b_scalar(b, 1), shape);
    }
    int mask = b_cast(b, b_cast(b, pixel_mask, ASSAY_BOOL), ASSAY_F32);
    return nearest(b, nearest(b, mask, 1, map, 2), 2, map, 3);
}

/* [batch, height, width, d / 2] of one axis: how far along the image a place is, from 0 to 2 pi, as sines and cosines. */
static int sines(struct assay_builder *b, const struct detr *m, int mask, int64_t axis)
{
    int64_t half = m->d / 2, quarter = m->d / 4;
    float *frequencies = assay_arena_array(&b->arena, (size_t)quarter, sizeof *frequencies);
    for (int64_t i = 0; i < quarter; i++)
        frequencies[i] = powf(10000, 2 * (float)i / (float)half);
    int place = b_op(b, "CumSum", B_VALUES(mask, b_int(b, axis)));
    int whole = b_add(b, b_slice(b, place, axis, -1, INT64_MAX), b_scalar(b, 1e-6));
    place = b_scale(b, b_div(b, place, whole), 2 * M_PI);
    int angles = b_div(b, b_unsqueeze(b, place, B_LIST(3)), b_floats(b, "frequencies", B_LIST(quarter), frequencies));
    int sine = b_unsqueeze(b, b_unary(b, "Sin", angles), B_LIST(4)),
        cosine = b_unsqueeze(b, b_unary(b, "Cos", angles), B_LIST(4));
    return b_reshape(b, b_concat(b, 4, B_VALUES(sine, cosine)), B_LIST(0, 0, 0, half));
}

/* [height * width, d / 2] of one axis, from a table with 50 places. */
static int learned(struct assay_builder *b, const struct detr *m, int map, bool is_row)
{
    int64_t half = m->d / 2;
    int shape = b_concat(b, 0, B_VALUES(b_size(b, map, 2), b_size(b, map, 3), b_ints(b, B_LIST(half))));
    int places = b_range(b, b_int(b, 0), b_size_scalar(b, map, is_row ? 2 : 3));
    int x = b_embedding(b, places, is_row ? "row_embeddings" : "column_embeddings", 50, half);
    x = b_expand(b, b_unsqueeze(b, x, B_LIST(is_row ? 1 : 0)), shape);
    return b_reshape(b, x, B_LIST(-1, half));
}

static int positions_of(struct assay_builder *b, const struct detr *m, int map, int mask)
{
    int y, x;
    b_enter(b, "backbone.position_embedding");
    if (m->has_learned_positions) {
        y = learned(b, m, map, true);
        x = learned(b, m, map, false);
        x = b_unsqueeze(b, b_concat(b, -1, B_VALUES(x, y)), B_LIST(0));
    } else {
        y = sines(b, m, mask, 1);
        x = sines(b, m, mask, 2);
        x = b_reshape(b, b_concat(b, -1, B_VALUES(y, x)), B_LIST(0, -1, m->d));
    }
    b_leave(b);
    return x;
}

/* Transformers means to train all stages but the first of either backbone, but of its own ResNet looks for "stage.1" where the
 * name is "stages.1", and so trains none. */
static void freeze(struct assay_builder *b, bool is_timm)
{
    if (!is_timm) {
        b_freeze(b, "*");
        return;
    }
    b_freeze(b, "conv1.*");
    b_freeze(b, "layer1.*");
}

static void see(struct assay_builder *b, struct detr *m, struct scene *s)
{
    struct resnet *r = &m->backbone;
    const char *dims = assay_arena_printf(&b->arena, "batch %lld height width", (long long)r->channels);
    int pixels = b_input(b, "pixel_values", ASSAY_F32, dims);
    b_hint_dim(b, "height", 800); /* what the processor makes of most pictures */
    b_hint_dim(b, "width", 1066);
    int pixel_mask = b_input_optional(b, "pixel_mask", true, ASSAY_I64, "batch height width");
    int stage = r->n_stages;
    while (!(m->features >> stage & 1))
        stage--;
    b_enter(b, "backbone.conv_encoder.model");
    r->is_timm = b_has(b, "conv1.weight", r->is_timm);
    freeze(b, r->is_timm);
    resnet_run(b, r, pixels, s->maps);
    b_leave(b);
    s->last = s->maps[stage];
    int64_t channels = stage ? r->widths[stage - 1] : r->embedding;
    int mask = shrink_mask(b, pixel_mask, s->last);
    s->projected = b_conv2d(b, s->last, "input_projection", channels, m->d, 1, 1, 0, true);
    s->looks = b_cast(b, mask, ASSAY_BOOL);
    s->positions = positions_of(b, m, s->last, mask);
    s->mask = b_padding_mask(b, b_reshape(b, mask, B_LIST(0, -1)));
}

/* ---- transformer */

/* Positions go to queries and keys, not to values. */
static int attend(struct assay_builder *b, const struct detr *m, const char *name, struct b_attention *a, int query, int key,
                  int value)
{
    int64_t d = m->d;
    b_enter(b, "%s", name);
    a->q = b_linear(b, query, "q_proj", d, d, true);
    a->k = b_linear(b, key, "k_proj", d, d, true);
    a->v = b_linear(b, value, "v_proj", d, d, true);
    a->dropout = m->attention_dropout;
    int x = b_linear(b, b_attention(b, a), "out_proj", d, d, true);
    b_leave(b);
    return b_dropout(b, x, m->dropout);
}

static int feed_forward(struct assay_builder *b, const struct detr *m, int x, int64_t inner)
{
    int y = b_activation(b, b_linear(b, x, "fc1", m->d, inner, true), m->activation);
    y = b_linear(b, b_dropout(b, y, m->activation_dropout), "fc2", inner, m->d, true);
    return b_layer_norm(b, b_add(b, x, b_dropout(b, y, m->dropout)), "final_layer_norm", m->d, 1e-5);
}

static int encode(struct assay_builder *b, const struct detr *m, const struct scene *s)
{
    int x = b_transpose(b, b_reshape(b, s->projected, B_LIST(0, m->d, -1)), B_LIST(0, 2, 1));
    x = b_dropout(b, x, m->dropout);
    for (int64_t i = 0; i < m->encoder_layers && !b->emit.status; i++) {
        struct b_attention a = {.heads = m->encoder_heads, .head_dim = m->d / m->encoder_heads, B_ATTENTION_NONE};
        a.mask = s->mask;
        b_output_optional(b, x, "encoder_hidden_states.%d", (int)i);
        b_enter(b, "encoder.layers.%d", (int)i);
        int placed = b_add(b, x, s->positions);
        x = b_add(b, x, attend(b, m, "self_attn", &a, placed, placed, x));
        x = feed_forward(b, m, b_layer_norm(b, x, "self_attn_layer_norm", m->d, 1e-5), m->encoder_inner);
        b_leave(b);
        b_output_optional(b, a.probabilities, "encoder_attentions.%d", (int)i);
    }
    b_output_optional(b, x, "encoder_hidden_states.%d", (int)m->encoder_layers);
    return x;
}

static int decoder_layer(struct assay_builder *b, const struct detr *m, const struct scene *s, int x, int queries, int i)
{
    struct b_attention own = {.heads = m->decoder_heads, .head_dim = m->d / m->decoder_heads, B_ATTENTION_NONE}, cross = own;
    cross.mask = s->mask;
    b_enter(b, "layers.%d", i);
    int placed = b_add(b, x, queries);
    x = b_add(b, x, attend(b, m, "self_attn", &own, placed, placed, x));
    x = b_layer_norm(b, x, "self_attn_layer_norm", m->d, 1e-5);
    placed = b_add(b, x, queries);
    x = b_add(b, x, attend(b, m, "encoder_attn", &cross, placed, b_add(b, s->memory, s->positions), s->memory));
    x = b_layer_norm(b, x, "encoder_attn_layer_norm", m->d, 1e-5);
    x = feed_forward(b, m, x, m->decoder_inner);
    b_leave(b);
    b_output_optional(b, own.probabilities, "decoder_attentions.%d", i);
    b_output_optional(b, cross.probabilities, "cross_attentions.%d", i);
    return x;
}

/* [batch, queries, d]. With auxiliary losses Transformers norms each layer's result, for the next layer too. */
static int decode(struct assay_builder *b, const struct detr *m, const struct scene *s, int *levels)
{
    int queries = b_unsqueeze(b, b_param(b, "query_position_embeddings.weight", B_LIST(m->queries, m->d)), B_LIST(0));
    int shape = b_concat(b, 0, B_VALUES(b_size(b, s->memory, 0), b_ints(b, B_LIST(m->queries, m->d))));
    int x = b_expand(b, b_scalar(b, 0), shape), stack = -1;
    b_enter(b, "decoder");
    for (int64_t i = 0; i < m->decoder_layers && !b->emit.status; i++) {
        b_output_optional(b, x, "decoder_hidden_states.%d", (int)i);
        x = decoder_layer(b, m, s, x, queries, (int)i);
        if (!m->has_auxiliary_loss)
            continue;
        x = b_layer_norm(b, x, "layernorm", m->d, 1e-5);
        levels[i] = x;
        int level = b_unsqueeze(b, x, B_LIST(0));
        stack = stack < 0 ? level : b_concat(b, 0, B_VALUES(stack, level));
    }
    x = b_layer_norm(b, x, "layernorm", m->d, 1e-5);
    b_leave(b);
    b_output_optional(b, x, "decoder_hidden_states.%d", (int)m->decoder_layers);
    if (stack >= 0)
        b_output_optional(b, stack, "intermediate_hidden_states");
    return x;
}

/* ---- heads */

/* What a layer of the decoder predicts: [batch, queries, labels + 1], [batch, queries, 4]. */
struct guess {
    int scores, boxes;
};

static int guess_boxes(struct assay_builder *b, const struct detr *m, int x)
{
    x = b_unary(b, "Relu", b_linear(b, x, "bbox_predictor.layers.0", m->d, m->d, true));
    x = b_unary(b, "Relu", b_linear(b, x, "bbox_predictor.layers.1", m->d, m->d, true));
    return b_unary(b, "Sigmoid", b_linear(b, x, "bbox_predictor.layers.2", m->d, 4, true));
}

static struct guess detect(struct assay_builder *b, const struct detr *m, int x)
{
    struct guess g = {.scores = b_linear(b, x, "class_labels_classifier", m->d, m->labels + 1, true)};
    b_output(b, g.scores, "logits");
    g.boxes = guess_boxes(b, m, x);
    b_output(b, g.boxes, "pred_boxes");
    return g;
}

/* The layers before the last, where a loss or somebody asks for them. */
static void detect_early(struct assay_builder *b, const struct detr *m, const int *levels, struct guess *guesses)
{
    for (int i = 0; i < (int)m->decoder_layers - 1 && m->has_auxiliary_loss && !b->emit.status; i++) {
        if (!b_training(b) && !b_wants(b, "auxiliary_outputs.%d.logits", i) && !b_wants(b, "auxiliary_outputs.%d.pred_boxes", i))
            continue;
        guesses[i].scores = b_linear(b, levels[i], "class_labels_classifier", m->d, m->labels + 1, true);
        guesses[i].boxes = guess_boxes(b, m, levels[i]);
        b_output_optional(b, guesses[i].scores, "auxiliary_outputs.%d.logits", i);
        b_output_optional(b, guesses[i].boxes, "auxiliary_outputs.%d.pred_boxes", i);
    }
}

/* ---- the loss of a set: see above */

struct targets {
    int classes, boxes, count;
};

/* Boxes' upper left and lower right corners: [.., 2] each. */
static void corners(struct assay_builder *b, int boxes, int *low, int *high)
{
    int centre = b_slice(b, boxes, -1, 0, 2), half = b_scale(b, b_slice(b, boxes, -1, 2, 4), 0.5);
    *low = b_sub(b, centre, half);
    *high = b_add(b, centre, half);
}

static int area(struct assay_builder *b, int low, int high)
{
    int sides = b_unary(b, "Relu", b_sub(b, high, low));
    return b_mul(b, b_take(b, sides, -1, 0), b_take(b, sides, -1, 1));
}

/* Generalized intersection over union (Rezatofighi et al. 2019): [batch, queries]. */
static int generalized_iou(struct assay_builder *b, int x, int y)
{
    int x_low, x_high, y_low, y_high;
    corners(b, x, &x_low, &x_high);
    corners(b, y, &y_low, &y_high);
    int shared = area(b, b_op(b, "Max", B_VALUES(x_low, y_low)), b_op(b, "Min", B_VALUES(x_high, y_high)));
    int together = b_sub(b, b_add(b, area(b, x_low, x_high), area(b, y_low, y_high)), shared);
    int around = area(b, b_op(b, "Min", B_VALUES(x_low, y_low)), b_op(b, "Max", B_VALUES(x_high, y_high)));
    return b_sub(b, b_div(b, shared, together), b_div(b, b_sub(b, around, together), around));
}

/* Of layer `level` of the targets. */
static int loss_of(struct assay_builder *b, const struct detr *m, const struct guess *g, const struct targets *t, int level)
{
    float *weights = assay_arena_array(&b->arena, (size_t)m->labels + 1, sizeof *weights);
    for (int64_t i = 0; i <= m->labels; i++)
        weights[i] = i < m->labels ? 1 : (float)m->no_object_weight;
    int classes = b_take(b, t->classes, 0, level), boxes = b_take(b, t->boxes, 0, level);
    int loss = b_op(b, "SoftmaxCrossEntropyLoss",
                    B_VALUES(b_reshape(b, g->scores, B_LIST(-1, m->labels + 1)), b_reshape(b, classes, B_LIST(-1)),
                             b_floats(b, "class_weights", B_LIST(m->labels + 1), weights)));
    int is_object = b_cast(b, b_op(b, "Less", B_VALUES(classes, b_int(b, m->labels))), ASSAY_F32);
    int far = b_reduce(b, "ReduceSum", b_unary(b, "Abs", b_sub(b, g->boxes, boxes)), false, B_LIST(-1));
    int apart = b_sub(b, b_scalar(b, 1), generalized_iou(b, g->boxes, boxes));
    int each = b_add(b, b_scale(b, far, m->box_weight), b_scale(b, apart, m->giou_weight));
    int sum = b_reduce(b, "ReduceSum", b_mul(b, each, is_object), false, B_LIST(0, 1));
    return b_add(b, loss, b_div(b, sum, t->count));
}

/* Focal and Dice loss of the objects' masks, which are resized to the targets'. */
static int mask_loss(struct assay_builder *b, const struct detr *m, const struct targets *t, int masks)
{
    int wanted = b_host_input(b, "target_masks", ASSAY_F32,
                              assay_arena_printf(&b->arena, "batch %lld mask_height mask_width", (long long)m->queries));
    b_hint_input(b, "target_masks", "zeros");
    b_hint_dim(b, "mask_height", 200);
    b_hint_dim(b, "mask_width", 266);
    int sizes = b_unary(b, "Shape", wanted);
    int x = b_op(b, "Resize", B_VALUES(masks, -1, -1, sizes));
    b_set_text(b, "mode", "linear");
    b_set_text(b, "coordinate_transformation_mode", "half_pixel");
    x = b_reshape(b, x, B_LIST(0, 0, -1));
    int y = b_reshape(b, wanted, B_LIST(0, 0, -1)), p = b_unary(b, "Sigmoid", x), one = b_scalar(b, 1);
    int rest = b_unary(b, "Log", b_add(b, b_unary(b, "Exp", b_unary(b, "Neg", b_unary(b, "Abs", x))), one));
    int entropy = b_add(b, b_sub(b, b_unary(b, "Relu", x), b_mul(b, x, y)), rest);
    int missed = b_sub(b, b_add(b, p, y), b_scale(b, b_mul(b, p, y), 2)); /* 1 - the right class's probability */
    int alpha = b_add(b, b_scale(b, y, 0.25 - 0.75), b_scalar(b, 0.75));
    int focal = b_mul(b, b_mul(b, alpha, entropy), b_mul(b, missed, missed));
    focal = b_reduce(b, "ReduceMean", focal, false, B_LIST(-1));
    int both = b_scale(b, b_reduce(b, "ReduceSum", b_mul(b, p, y), false, B_LIST(-1)), 2);
    int sum = b_reduce(b, "ReduceSum", b_add(b, p, y), false, B_LIST(-1));
    int dice = b_sub(b, one, b_div(b, b_add(b, both, one), b_add(b, sum, one)));
    int each = b_add(b, b_scale(b, focal, m->mask_weight), b_scale(b, dice, m->dice_weight));
    int is_object = b_cast(b, b_op(b, "Less", B_VALUES(b_take(b, t->classes, 0, 0), b_int(b, m->labels))), ASSAY_F32);
    return b_div(b, b_reduce(b, "ReduceSum", b_mul(b, each, is_object), false, B_LIST(0, 1)), t->count);
}

/* guesses: the last layer's, then the others'. masks: -1 = none. */
static void add_loss(struct assay_builder *b, const struct detr *m, const struct guess *guesses, int masks)
{
    long long queries = (long long)m->queries;
    int n = m->has_auxiliary_loss && m->decoder_layers > 1 ? (int)m->decoder_layers : 1;
    struct targets t;
    t.classes = b_host_input(b, "target_classes", ASSAY_I64, assay_arena_printf(&b->arena, "%d batch %lld", n, queries));
    b_hint_input(b, "target_classes", "tokens:%lld", (long long)m->labels + 1);
    t.boxes = b_host_input(b, "target_boxes", ASSAY_F32, assay_arena_printf(&b->arena, "%d batch %lld 4", n, queries));
    b_hint_input(b, "target_boxes", "constant:0.5");
    t.count = b_host_input(b, "target_count", ASSAY_F32, "");
    b_hint_input(b, "target_count", "ones");
    int loss = loss_of(b, m, &guesses[0], &t, 0);
    for (int i = 1; i < n && !b->emit.status; i++)
        loss = b_add(b, loss, loss_of(b, m, &guesses[i], &t, i));
    b_loss(b, masks >= 0 ? b_add(b, loss, mask_loss(b, m, &t, masks)) : loss);
}

/* [batch * queries, heads, height, width]: where each query looks, over all heads together. */
static int attention_maps(struct assay_builder *b, const struct detr *m, const struct scene *s, int x)
{
    int64_t heads = m->encoder_heads, d = m->d / heads;
    b_enter(b, "bbox_attention");
    int q = b_scale(b, b_linear(b, x, "q_linear", m->d, m->d, true), 1 / sqrt((double)d));
    int k = b_linear(b, s->memory, "k_linear", m->d, m->d, true);
    q = b_transpose(b, b_reshape(b, q, B_LIST(0, 0, heads, d)), B_LIST(0, 2, 1, 3));
    k = b_transpose(b, b_reshape(b, k, B_LIST(0, 0, heads, d)), B_LIST(0, 2, 3, 1));
    int scores = b_transpose(b, b_matmul(b, q, k), B_LIST(0, 2, 1, 3)); /* [batch, query, head, place] */
    int looks = b_unsqueeze(b, b_reshape(b, s->looks, B_LIST(0, -1)), B_LIST(1, 2));
    scores = b_reshape(b, b_where(b, looks, scores, b_lowest(b)), B_LIST(0, 0, -1));
    int shape = b_concat(b, 0, B_VALUES(b_ints(b, B_LIST(-1, heads)), b_size(b, s->last, 2), b_size(b, s->last, 3)));
    int maps = b_reshape_to(b, b_softmax(b, scores, -1), shape);
    b_leave(b);
    return maps;
}

/* A map [batch, channels, height, width] for each query of an image: [batch * queries, channels, height, width]. */
static int per_query(struct assay_builder *b, const struct detr *m, int map, int64_t channels)
{
    int height = b_size(b, map, 2), width = b_size(b, map, 3), sizes = b_ints(b, B_LIST(m->queries, channels));
    int all = b_concat(b, 0, B_VALUES(b_size(b, map, 0), sizes, height, width));
    int flat = b_concat(b, 0, B_VALUES(b_ints(b, B_LIST(-1, channels)), height, width));
    return b_reshape_to(b, b_expand(b, b_unsqueeze(b, map, B_LIST(1)), all), flat);
}

static int mask_layer(struct assay_builder *b, int x, int i, int64_t in, int64_t out)
{
    x = b_conv2d(b, x, assay_arena_printf(&b->arena, "lay%d", i), in, out, 3, 1, 1, true);
    x = b_group_norm(b, x, assay_arena_printf(&b->arena, "gn%d", i), out < 8 ? out : 8, out, 1e-5);
    return b_unary(b, "Relu", x);
}

/* [batch, queries, height / 4, width / 4] of the sizes of the backbone's first map. */
static int draw_masks(struct assay_builder *b, const struct detr *m, const struct scene *s, int x)
{
    int64_t in = m->d + m->encoder_heads, out = m->d / 2;
    int fpn[3], n = 0;
    for (int stage = 0; stage <= m->backbone.n_stages && n < 3; stage++)
        if (m->features >> stage & 1)
            fpn[n++] = stage;
    int seen = per_query(b, m, s->projected, m->d), looked = attention_maps(b, m, s, x);
    b_enter(b, "mask_head");
    x = mask_layer(b, b_concat(b, 1, B_VALUES(seen, looked)), 1, in, in);
    x = mask_layer(b, x, 2, in, out);
    for (int i = 0; i < 3; i++) {
        int stage = fpn[2 - i];
        int64_t channels = stage ? m->backbone.widths[stage - 1] : m->backbone.embedding;
        int fine = b_conv2d(b, s->maps[stage], assay_arena_printf(&b->arena, "adapter%d", i + 1), channels, out, 1, 1, 0, true);
        x = b_add(b, per_query(b, m, fine, out), nearest(b, nearest(b, x, 2, fine, 2), 3, fine, 3));
        x = mask_layer(b, x, i + 3, out, out / 2);
        out /= 2;
    }
    x = b_conv2d(b, x, "out_lay", out, 1, 3, 1, 1, true);
    int shape = b_concat(b, 0, B_VALUES(b_ints(b, B_LIST(-1, m->queries)), b_size(b, x, 2), b_size(b, x, 3)));
    x = b_reshape_to(b, x, shape);
    b_leave(b);
    return x;
}

static bool is(const struct assay_architecture *a, const char *name) { return strcmp(a->name, name) == 0; }

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    struct detr m;
    struct scene s;
    bool detects = !is(a, "DetrModel"), segments = is(a, "DetrForSegmentation");
    read_config(&m, c);
    if (segments)
        check_segmentation(&m, c);
    if (assay_config_status(c))
        return;
    b_enter(b, "%s", segments ? "detr" : "");
    b_enter(b, "%s", detects ? "model" : "");
    see(b, &m, &s);
    s.memory = encode(b, &m, &s);
    int *levels = assay_arena_array(&b->arena, (size_t)m.decoder_layers + 1, sizeof *levels), masks = -1;
    struct guess *guesses = assay_arena_array(&b->arena, (size_t)m.decoder_layers + 1, sizeof *guesses);
    int x = decode(b, &m, &s, levels);
    b_leave(b);
    if (detects) {
        guesses[0] = detect(b, &m, x);
        detect_early(b, &m, levels, guesses + 1);
    }
    b_leave(b);
    if (segments) {
        masks = draw_masks(b, &m, &s, x);
        b_output(b, masks, "pred_masks");
    }
    if (b_training(b) && detects)
        add_loss(b, &m, guesses, masks);
    b_output(b, x, "last_hidden_state");
    b_output(b, s.memory, "encoder_last_hidden_state");
}

static const struct assay_architecture architectures[] = {
    {"DetrForSegmentation", "detr", "mask_head.lay1.weight"},
    {"DetrForObjectDetection", "detr", "class_labels_classifier.weight"},
    {"DetrModel", "detr", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_detr = {
    .name = "detr", .modality = "vision", .architectures = architectures, .build = build};
