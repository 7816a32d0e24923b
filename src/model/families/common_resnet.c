/* SPDX-License-Identifier: Apache-2.0 */
/* See common_resnet.h. */
#include "model/families/common_resnet.h"

#include <stdlib.h>
#include <string.h>

/* ---- configs */

static void check_lists(const struct resnet *r, struct assay_config *c, int n_depths)
{
    int64_t blocks = 0;
    if (r->n_stages != n_depths || r->n_stages < 1 || r->n_stages > RESNET_MAX_STAGES) {
        assay_config_fail(c, ASSAY_INVALID,
                          "\"hidden_sizes\" has %d entries and \"depths\" has %d; both must tell 1 to %d stages", r->n_stages,
                          n_depths, RESNET_MAX_STAGES);
        return;
    }
    for (int i = 0; i < r->n_stages; i++) {
        int64_t least = r->is_bottleneck ? 4 : 1;
        if (r->widths[i] < least)
            assay_config_fail(c, ASSAY_INVALID, "\"hidden_sizes\" has the entry %lld; the least is %lld", (long long)r->widths[i],
                              (long long)least);
        if (r->depths[i] < 1)
            assay_config_fail(c, ASSAY_INVALID, "\"depths\" has the entry %lld; a stage has a layer at least",
                              (long long)r->depths[i]);
        blocks += r->depths[i];
    }
    if (blocks > ASSAY_CONFIG_MAX_COUNT)
        assay_config_fail(c, ASSAY_INVALID, "\"depths\" tells %lld layers, more than %d", (long long)blocks,
                          ASSAY_CONFIG_MAX_COUNT);
}

void resnet_read(struct resnet *r, struct assay_config *c)
{
    static const int64_t widths[] = {256, 512, 1024, 2048}, depths[] = {3, 4, 6, 3};
    const char *layer = c_text(c, "layer_type", "bottleneck");
    *r = (struct resnet){
        .channels = c_size(c, "num_channels", 3),
        .embedding = c_size(c, "embedding_size", 64),
        .is_bottleneck = strcmp(layer, "bottleneck") == 0,
        .strides_first_stage = c_bool(c, "downsample_in_first_stage", false),
        .strides_first_conv = c_bool(c, "downsample_in_bottleneck", false),
        .activation = c_text(c, "hidden_act", "relu"),
    };
    r->n_stages = c_ints(c, "hidden_sizes", widths, 4, r->widths);
    int n_depths = c_ints(c, "depths", depths, 4, r->depths);
    if (!r->is_bottleneck && strcmp(layer, "basic") != 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"layer_type\" is \"%s\"; a ResNet's is \"basic\" or \"bottleneck\"", layer);
    check_lists(r, c, n_depths);
    c_ignore(c, "stage_names", "tie_word_embeddings", NULL); /* stages follow from the depths; there are no embeddings */
}

bool resnet_named(struct resnet *r, const char *name)
{
    static const struct {
        const char *name;
        bool is_bottleneck;
        int64_t depths[4];
    } known[] = {
        {"resnet18", false, {2, 2, 2, 2}}, {"resnet26", true, {2, 2, 2, 2}},   {"resnet34", false, {3, 4, 6, 3}},
        {"resnet50", true, {3, 4, 6, 3}},  {"resnet101", true, {3, 4, 23, 3}}, {"resnet152", true, {3, 8, 36, 3}},
    };
    size_t length = strcspn(name, "."); /* what follows tells how it was trained: "resnet50.a1_in1k" */
    for (size_t k = 0; k < ASSAY_COUNT(known); k++) {
        if (strlen(known[k].name) != length || strncmp(known[k].name, name, length) != 0)
            continue;
        *r = (struct resnet){.channels = 3,
                             .embedding = 64,
                             .n_stages = 4,
                             .is_bottleneck = known[k].is_bottleneck,
                             .gives_unpooled = true,
                             .is_timm = true,
                             .activation = "relu"};
        for (int i = 0; i < 4; i++) {
            r->depths[i] = known[k].depths[i];
            r->widths[i] = (known[k].is_bottleneck ? 256 : 64) << i;
        }
        return true;
    }
    return false;
}

/* "stem" is 0, "stage2" is 2; -1 for what is none. */
static int64_t stage_of(const json_t *name, int n_stages)
{
    const char *text = json_string_value(name);
    if (!text)
        return -1;
    if (strcmp(text, "stem") == 0)
        return 0;
    if (strncmp(text, "stage", 5) != 0 || text[5] < '1' || text[5] > '9' || strlen(text) > 7)
        return -1;
    char *end;
    long stage = strtol(text + 5, &end, 10);
    return *end || stage > n_stages ? -1 : stage;
}

uint64_t resnet_features(const struct resnet *r, struct assay_config *c)
{
    int64_t last = r->n_stages, indices[ASSAY_CONFIG_MAX_LIST];
    const json_t *names = c_json(c, "out_features");
    int n = c_ints(c, "out_indices", &last, 1, indices);
    const char *field = names ? "out_features" : "out_indices";
    uint64_t bits = 0;
    if (names)
        n = json_array_size(names) > RESNET_MAX_STAGES ? 0 : (int)json_array_size(names);
    for (int i = 0; i < n; i++) {
        int64_t stage = names ? stage_of(json_array_get(names, (size_t)i), r->n_stages) : indices[i];
        stage += !names && stage < 0 ? r->n_stages + 1 : 0;
        if (stage < 0 || stage > r->n_stages) {
            assay_config_fail(c, ASSAY_INVALID, "\"%s\" has an entry that is none of this model's %d stages", field, r->n_stages);
            return 0;
        }
        bits |= (uint64_t)1 << stage;
    }
    if (!bits)
        assay_config_fail(c, ASSAY_INVALID, "\"%s\" must be a list of stages", field);
    return bits;
}

/* ---- layers */

struct layer {
    const char *convolution, *norm;
    int64_t in, out, kernel, stride, dilation;
};

static int normalised(struct assay_builder *b, const struct resnet *r, int x, const struct layer *l)
{
    int64_t pad = l->kernel / 2 * l->dilation;
    const struct b_conv conv = {.n_spatial = 2,
                                .in = l->in,
                                .out = l->out,
                                .kernel = {l->kernel, l->kernel},
                                .stride = {l->stride, l->stride},
                                .dilation = {l->dilation, l->dilation},
                                .pad = {pad, pad, pad, pad}};
    x = b_conv(b, x, l->convolution, &conv);
    if (!r->is_frozen)
        return b_batch_norm(b, x, l->norm, l->out, 1e-5);
    b_enter(b, "%s", l->norm);
    int weight = b_buffer(b, "weight", B_LIST(l->out)), bias = b_buffer(b, "bias", B_LIST(l->out));
    int mean = b_buffer(b, "running_mean", B_LIST(l->out)), variance = b_buffer(b, "running_var", B_LIST(l->out));
    x = b_op(b, "BatchNormalization", B_VALUES(x, weight, bias, mean, variance));
    b_set_float(b, "epsilon", 1e-5);
    b_leave(b);
    return x;
}

/* The i-th convolution of a block. */
static int numbered(struct assay_builder *b, const struct resnet *r, int x, int i, struct layer l)
{
    const char *convolution = r->is_timm ? "conv%d" : "layer.%d.convolution",
               *norm = r->is_timm ? "bn%d" : "layer.%d.normalization";
    l.convolution = assay_arena_printf(&b->arena, convolution, r->is_timm ? i + 1 : i);
    l.norm = assay_arena_printf(&b->arena, norm, r->is_timm ? i + 1 : i);
    return normalised(b, r, x, &l);
}

/* The first one of a stage has the dilation of the stage before, as timm has it. Between its convolutions stands a ReLU, whatever
 * the config's activation, which is the stem's and the block's. */
static int block(struct assay_builder *b, const struct resnet *r, int x, const struct layer *whole, int64_t first_dilation)
{
    int64_t in = whole->in, out = whole->out, stride = whole->stride, dilation = whole->dilation;
    int rest = x, y;
    if (in != out || stride != 1)
        rest = normalised(b, r, x,
                          &(struct layer){.convolution = r->is_timm ? "downsample.0" : "shortcut.convolution",
                                          .norm = r->is_timm ? "downsample.1" : "shortcut.normalization",
                                          .in = in,
                                          .out = out,
                                          .kernel = 1,
                                          .stride = stride,
                                          .dilation = 1});
    if (r->is_bottleneck) {
        int64_t narrow = out / 4, first = r->strides_first_conv ? stride : 1;
        y = numbered(b, r, x, 0, (struct layer){.in = in, .out = narrow, .kernel = 1, .stride = first, .dilation = 1});
        y = b_unary(b, "Relu", y);
        y = numbered(
            b, r, y, 1,
            (struct layer){.in = narrow, .out = narrow, .kernel = 3, .stride = stride / first, .dilation = first_dilation});
        y = b_unary(b, "Relu", y);
        y = numbered(b, r, y, 2, (struct layer){.in = narrow, .out = out, .kernel = 1, .stride = 1, .dilation = 1});
    } else {
        y = numbered(b, r, x, 0, (struct layer){.in = in, .out = out, .kernel = 3, .stride = stride, .dilation = first_dilation});
        y = b_unary(b, "Relu", y);
        y = numbered(b, r, y, 1, (struct layer){.in = out, .out = out, .kernel = 3, .stride = 1, .dilation = dilation});
    }
    return b_activation(b, b_add(b, y, rest), r->activation);
}

static int stem(struct assay_builder *b, const struct resnet *r, int x, int *map)
{
    x = normalised(b, r, x,
                   &(struct layer){.convolution = r->is_timm ? "conv1" : "embedder.embedder.convolution",
                                   .norm = r->is_timm ? "bn1" : "embedder.embedder.normalization",
                                   .in = r->channels,
                                   .out = r->embedding,
                                   .kernel = 7,
                                   .stride = 2,
                                   .dilation = 1});
    int before = b_activation(b, x, r->activation);
    x = b_op(b, "MaxPool", B_VALUES(before));
    b_set_ints(b, "kernel_shape", B_LIST(3, 3));
    b_set_ints(b, "strides", B_LIST(2, 2));
    b_set_ints(b, "pads", B_LIST(1, 1, 1, 1));
    *map = r->gives_unpooled ? before : x;
    return x;
}

void resnet_run(struct assay_builder *b, const struct resnet *r, int pixels, int *maps)
{
    int64_t in = r->embedding, dilation = 1;
    int x = stem(b, r, pixels, &maps[0]);
    b_ignore(b, "*.num_batches_tracked");
    for (int s = 0; s < r->n_stages; s++) {
        int64_t before = dilation;
        bool is_dilated = s >= r->n_stages - r->n_dilated;
        dilation *= is_dilated ? 2 : 1;
        for (int64_t j = 0; j < r->depths[s] && !b->emit.status; j++) {
            bool halves = j == 0 && (s > 0 || r->strides_first_stage) && !is_dilated;
            const struct layer whole = {.in = in, .out = r->widths[s], .stride = halves ? 2 : 1, .dilation = dilation};
            if (r->is_timm)
                b_enter(b, "layer%d.%d", s + 1, (int)j);
            else
                b_enter(b, "encoder.stages.%d.layers.%d", s, (int)j);
            x = block(b, r, x, &whole, j == 0 ? before : dilation);
            b_leave(b);
            in = r->widths[s];
        }
        maps[s + 1] = x;
    }
}
