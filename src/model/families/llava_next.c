/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LLaVA-NeXT (Liu et al. 2024): an image is seen whole and in tiles of a grid that suits its shape. The features of the tiles are
 * put together again, those of the padding around the image are cut off, and each row ends with a learned newline.
 *
 * All of this is arithmetic on indices: each place of an image's features takes one row of a table of all tiles' features and the
 * newline. Images that the grid doesn't fit, or whose features are fewer than another one's, point beyond the table, so that
 * running the model fails, as it does in Transformers.
 *
 * Training must know how long rows are before it reads them: its input "merged.position_ids" [batch, merged sequence] is of the
 * shape of the output of that name that the model gives otherwise, and tells it; rows have equally many images each.
 */
#include "model/families/common_llava.h"

struct next {
    struct llava l;
    int64_t side;                                                                  /* patches a tile's side has */
    int64_t n_pins, heights[ASSAY_CONFIG_MAX_LIST], widths[ASSAY_CONFIG_MAX_LIST]; /* sizes in pixels a grid may have */
};

/* ---- config */

static int64_t pixels_of(const json_t *pair, size_t i)
{
    const json_t *n = json_is_array(pair) && json_array_size(pair) == 2 ? json_array_get(pair, i) : NULL;
    return json_is_integer(n) && json_integer_value(n) <= ASSAY_CONFIG_MAX_SIZE ? json_integer_value(n) : 0;
}

static void read_pins(struct next *n, struct assay_config *c)
{
    static const int64_t usual[][2] = {{336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}};
    const json_t *list = c_json(c, "image_grid_pinpoints");
    n->n_pins = list ? (int64_t)json_array_size(list) : (int64_t)ASSAY_COUNT(usual);
    if (n->n_pins < 1 || n->n_pins > ASSAY_CONFIG_MAX_LIST) {
        assay_config_fail(c, ASSAY_INVALID, "\"image_grid_pinpoints\" must be a list of 1 to %d sizes", ASSAY_CONFIG_MAX_LIST);
        return;
    }
    for (int64_t i = 0; i < n->n_pins; i++) {
        n->heights[i] = list ? pixels_of(json_array_get(list, (size_t)i), 0) : usual[i][0];
        n->widths[i] = list ? pixels_of(json_array_get(list, (size_t)i), 1) : usual[i][1];
        if (n->heights[i] < n->l.vision.image || n->widths[i] < n->l.vision.image)
            assay_config_fail(c, ASSAY_INVALID,
                              "\"image_grid_pinpoints\" must hold pairs of a height and a width, none below the image size %lld",
                              (long long)n->l.vision.image);
    }
}

static void read_config(struct next *n, struct assay_config *c)
{
    llava_read(&n->l, c);
    read_pins(n, c);
    n->side = n->l.vision.image / n->l.vision.patch;
    if (n->l.keeps_class)
        assay_config_fail(c, ASSAY_UNSUPPORTED,
                          "\"vision_feature_select_strategy\" is \"full\", with which tiles cannot be put together");
    /* That there is a newline: Transformers always has it. */
    c_ignore(c, "use_image_newline_parameter", NULL);
}

/* ---- the grid of an image */

static int less(struct assay_builder *b, int x, int y) { return b_op(b, "Less", B_VALUES(x, y)); }

static int at_most(struct assay_builder *b, int x, int y) { return b_op(b, "Min", B_VALUES(x, y)); }

static int as_double(struct assay_builder *b, int x) { return b_cast(b, x, ASSAY_F64); }

/* Which of the sizes keeps most of the image's pixels, and of those wastes the least; the first one. int64 [images]. Height and
 * width [images, 1]. In doubles, as Python computes it. */
static int best_pin(struct assay_builder *b, const struct next *n, int height, int width)
{
    size_t k = (size_t)n->n_pins;
    int heights = b_ints(b, k, n->heights), widths = b_ints(b, k, n->widths), area = b_mul(b, heights, widths);
    int h = as_double(b, height), w = as_double(b, width);
    int scale = at_most(b, b_div(b, as_double(b, widths), w), b_div(b, as_double(b, heights), h));
    int scaled_w = b_cast(b, b_mul(b, w, scale), ASSAY_I64), scaled_h = b_cast(b, b_mul(b, h, scale), ASSAY_I64);
    int kept = at_most(b, b_mul(b, scaled_w, scaled_h), b_mul(b, height, width)); /* [images, sizes] */
    int most = b_op(b, "ReduceMax", B_VALUES(kept));
    b_set_ints(b, "axes", B_LIST(1));
    /* Pixels are fewer than 2^40, so this orders by what is kept first. */
    int lost = b_where(b, less(b, kept, most), b_int(b, (int64_t)1 << 42), b_sub(b, area, kept));
    int least = b_op(b, "ReduceMin", B_VALUES(lost));
    b_set_ints(b, "axes", B_LIST(1));
    int number = b_range(b, b_int(b, 0), b_int(b, n->n_pins));
    int candidates = b_where(b, less(b, least, lost), b_int(b, n->n_pins), number);
    int first = b_op(b, "ReduceMin", B_VALUES(candidates));
    b_set_ints(b, "axes", B_LIST(1));
    b_set_int(b, "keepdims", 0);
    return first;
}

/* All int64 [images, 1]; in patches. */
struct crop {
    int top, left, rows, columns; /* what is left of the grid without padding */
    int tiles, tiles_across;
};

/* How much of `whole` is padding on each side, if the image's `length` is scaled as its `other` side is to fill `other_whole`. In
 * f32, as PyTorch computes it. */
static int margin(struct assay_builder *b, int whole, int length, int other_whole, int other)
{
    int scale = b_div(b, b_cast(b, other_whole, ASSAY_F32), b_cast(b, other, ASSAY_F32));
    int used = b_cast(b, b_mul(b, b_cast(b, length, ASSAY_F32), scale), ASSAY_I64);
    return b_div(b, b_sub(b, whole, used), b_int(b, 2));
}

static struct crop crop_of(struct assay_builder *b, const struct next *n, int image_sizes)
{
    struct crop c;
    size_t k = (size_t)n->n_pins;
    int64_t down[ASSAY_CONFIG_MAX_LIST], across[ASSAY_CONFIG_MAX_LIST];
    for (size_t i = 0; i < k; i++) {
        down[i] = n->heights[i] / n->l.vision.image;
        across[i] = n->widths[i] / n->l.vision.image;
    }
    int height = b_slice(b, image_sizes, 1, 0, 1), width = b_slice(b, image_sizes, 1, 1, 2), zero = b_int(b, 0);
    int pin = best_pin(b, n, height, width);
    int tiles_down = b_unsqueeze(b, b_gather(b, b_ints(b, k, down), 0, pin), B_LIST(1));
    c.tiles_across = b_unsqueeze(b, b_gather(b, b_ints(b, k, across), 0, pin), B_LIST(1));
    c.tiles = b_mul(b, tiles_down, c.tiles_across);
    int whole_h = b_mul(b, tiles_down, b_int(b, n->side)), whole_w = b_mul(b, c.tiles_across, b_int(b, n->side));
    int aspect = b_div(b, b_cast(b, width, ASSAY_F32), b_cast(b, height, ASSAY_F32));
    int grid_aspect = b_div(b, b_cast(b, whole_w, ASSAY_F32), b_cast(b, whole_h, ASSAY_F32));
    int is_wide = less(b, grid_aspect, aspect);
    c.top = b_where(b, is_wide, margin(b, whole_h, height, whole_w, width), zero);
    c.left = b_where(b, is_wide, zero, margin(b, whole_w, width, whole_h, height));
    c.rows = b_sub(b, whole_h, b_add(b, c.top, c.top));
    c.columns = b_sub(b, whole_w, b_add(b, c.left, c.left));
    return c;
}

/* ---- features of an image */

static int modulo(struct assay_builder *b, int x, int y) { return b_op(b, "Mod", B_VALUES(x, y)); }

/* tiles [images · tiles, side², hidden] → [images, length, hidden]; *length: int64 scalar, told, or -1 before. */
static int assemble(struct assay_builder *b, const struct next *n, int tiles, int pixels, int image_sizes, int *length)
{
    int64_t hidden = n->l.text.hidden, area = n->side * n->side;
    int one = b_int(b, 1), side = b_int(b, n->side), per_tile = b_int(b, area), n_tiles = b_size_scalar(b, pixels, 1);
    struct crop c = crop_of(b, n, image_sizes);
    /* An image without tiles is seen whole alone, with one newline after it. */
    int single = b_op(b, "Equal", B_VALUES(n_tiles, one));
    c.rows = b_where(b, single, one, c.rows);
    c.columns = b_where(b, single, b_int(b, 0), c.columns);

    /* Never 0, whatever sizes an image claims. */
    int line = b_add(b, b_op(b, "Max", B_VALUES(c.columns, b_int(b, 0))), one);
    int most = b_op(b, "ReduceMax", B_VALUES(b_mul(b, c.rows, line)));
    b_set_int(b, "keepdims", 0);
    int counted = b_add(b, most, per_tile), is_told = *length < 0 ? -1 : b_op(b, "Equal", B_VALUES(counted, *length));
    *length = *length < 0 ? counted : *length;
    int place = b_unsqueeze(b, b_range(b, b_int(b, 0), *length), B_LIST(0)), tiled = b_sub(b, place, per_tile);
    int row = b_div(b, tiled, line), column = modulo(b, tiled, line); /* [images, length] */
    int y = b_add(b, row, c.top), x = b_add(b, column, c.left);
    int tile = b_add(b, b_mul(b, b_div(b, y, side), c.tiles_across), b_div(b, x, side));
    int within = b_add(b, b_mul(b, modulo(b, y, side), side), modulo(b, x, side));
    int from_tile = b_add(b, b_mul(b, b_add(b, tile, one), per_tile), within);

    int flat = b_reshape(b, tiles, B_LIST(-1, hidden)), newline = b_size_scalar(b, flat, 0);
    int image = b_unsqueeze(b, b_range(b, b_int(b, 0), b_size_scalar(b, pixels, 0)), B_LIST(1));
    int begin = b_mul(b, image, b_mul(b, n_tiles, per_tile));
    int fits = b_op(b, "Or", B_VALUES(single, b_op(b, "Equal", B_VALUES(b_add(b, c.tiles, one), n_tiles))));
    int good = b_op(b, "And", B_VALUES(fits, less(b, row, c.rows)));
    if (is_told >= 0)
        good = b_op(b, "And", B_VALUES(good, is_told));
    int at_end = b_op(b, "Equal", B_VALUES(column, c.columns));
    int index = b_where(b, at_end, newline, b_add(b, begin, from_tile));
    index = b_where(b, good, index, b_add(b, newline, one));
    index = b_where(b, less(b, tiled, b_int(b, 0)), b_add(b, begin, place), index);
    int last = b_reshape(b, b_param(b, "image_newline", B_LIST(hidden)), B_LIST(1, hidden));
    return b_gather(b, b_concat(b, 0, B_VALUES(flat, last)), 0, index);
}

/* The largest grid that a square image of *side fills, of those the smallest. */
static int64_t hinted_pin(const struct next *n, int64_t *side)
{
    int64_t best = 0, area = 0;
    *side = 0;
    for (int64_t i = 0; i < n->n_pins; i++) {
        int64_t least = n->heights[i] < n->widths[i] ? n->heights[i] : n->widths[i];
        if (least < *side || (least == *side && n->heights[i] * n->widths[i] >= area))
            continue;
        best = i;
        *side = least;
        area = n->heights[i] * n->widths[i];
    }
    return best;
}

/* Of 128 tokens with that image: the image whole, and its square of the grid with newlines. */
static int64_t hinted_length(const struct next *n)
{
    int64_t side, pin = hinted_pin(n, &side), image = n->l.vision.image;
    int64_t down = n->heights[pin] / image * n->side, across = n->widths[pin] / image * n->side;
    int64_t least = down < across ? down : across;
    int64_t rows = down - 2 * ((down - least) / 2), columns = across - 2 * ((across - least) / 2);
    return 128 - 1 + n->side * n->side + rows * (columns + 1);
}

/* One square image in the largest grid that it fills. */
static void hint(struct assay_builder *b, const struct next *n)
{
    int64_t side, best = hinted_pin(n, &side), image = n->l.vision.image;
    b_hint_input(b, "input_ids", "prompt:%lld:%lld", (long long)n->l.text.vocabulary, (long long)n->l.image_token);
    b_hint_input(b, "pixel_values", "image");
    b_hint_input(b, "image_sizes", "constant:%lld", (long long)side);
    b_hint_dim(b, "tiles", 1 + n->heights[best] / image * (n->widths[best] / image));
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *architecture)
{
    (void)architecture;
    struct next n;
    read_config(&n, c);
    if (assay_config_status(c))
        return;
    if (b->options->phase == ASSAY_PHASE_DECODE) {
        llava_step(b, &n.l);
        return;
    }
    const struct clip_tower *v = &n.l.vision;
    int ids = b_input(b, "input_ids", ASSAY_I64, "batch sequence");
    int mask = b_input_optional(b, "attention_mask", true, ASSAY_I64, "batch sequence");
    int pixels = b_input(b, "pixel_values", ASSAY_F32, clip_image_dims(b, v, "images tiles"));
    int image_sizes = b_input(b, "image_sizes", ASSAY_I64, "images 2"), length = -1, merged = -1;
    hint(b, &n);
    if (b_training(b)) {
        int positions = b_host_input(b, "merged.position_ids", ASSAY_I64, "batch merged_sequence");
        b_hint_input(b, "merged.position_ids", "range");
        b_hint_dim(b, "merged_sequence", hinted_length(&n));
        merged = b_size_scalar(b, positions, 1);
        length = b_div(b, b_sub(b, merged, b_size_scalar(b, ids, 1)), llava_images_per_row(b, ids, pixels));
        length = b_add(b, length, b_int(b, 1));
    }
    int tiles = llava_features(b, &n.l, b_reshape(b, pixels, B_LIST(-1, v->channels, v->image, v->image)));
    int features = assemble(b, &n, tiles, pixels, image_sizes, &length);
    llava_read_all(b, &n.l, ids, mask, features, b_sub(b, length, b_int(b, 1)), merged);
}

static const struct assay_architecture architectures[] = {
    {"LlavaNextForConditionalGeneration", "llava_next", NULL},
    {NULL, NULL, NULL},
};

static const char *const generators[] = {"LlavaNextForConditionalGeneration", NULL};

const struct assay_family assay_family_llava_next = {.name = "llava_next",
                                                     .modality = "multimodal",
                                                     .architectures = architectures,
                                                     .generators = generators,
                                                     .encodes = true,
                                                     .build = build};
