/* SPDX-License-Identifier: Apache-2.0 */
/* See plain.h. */
#include "model/plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BLOCKS = 32 };

/* Dimension `axis` of the tensor, 0 if there is none. */
static int64_t dim(const struct assay_checkpoint *checkpoint, const char *name, int axis)
{
    int64_t i = assay_checkpoint_find(checkpoint, name);
    const struct assay_type *type = i >= 0 ? &checkpoint->entries[i]->tensor.type : NULL;
    return type && axis < type->rank ? type->dims[axis] : 0;
}

static int64_t dim_of(const struct assay_checkpoint *checkpoint, const char *format, int block, int axis)
{
    char name[64];
    snprintf(name, sizeof name, format, block);
    return dim(checkpoint, name, axis);
}

/* The numbers behind the first `before` in the prose from `from` on, parted by commas: "s(2,2" → 2, 2. Their count. */
static int numbers(const char *from, const char *before, int64_t *values, int room)
{
    const char *at = from ? strstr(from, before) : NULL;
    int n = 0;
    if (!at)
        return 0;
    for (at += strlen(before); n < room; at++) {
        char *end;
        values[n] = strtoll(at, &end, 10);
        if (end == at)
            break;
        n++;
        at = end;
        if (*at != ',')
            break;
    }
    return n;
}

static json_t *list(const int64_t *values, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

static json_t *lstm(const struct assay_checkpoint *c)
{
    int layers = 0;
    while (layers < MOST_BLOCKS && dim_of(c, "lstm.weight_hh_l%d", layers, 1))
        layers++;
    return json_pack("{s:s, s:[s], s:I, s:I, s:I, s:i, s:b, s:I}", "model_type", "lstm", "architectures",
                     "LstmForSequenceClassification", "vocab_size", (json_int_t)dim(c, "embed.weight", 0), "embedding_size",
                     (json_int_t)dim(c, "embed.weight", 1), "hidden_size", (json_int_t)dim(c, "lstm.weight_hh_l0", 1),
                     "num_layers", layers, "bidirectional", dim(c, "lstm.weight_hh_l0_reverse", 0) > 0, "num_labels",
                     (json_int_t)dim(c, "fc.weight", 0));
}

static json_t *ds_cnn(const struct assay_checkpoint *c, const char *prose)
{
    int64_t kernel[] = {dim(c, "stem.0.weight", 2), dim(c, "stem.0.weight", 3)}, stride[2] = {1, 1}, pad[2] = {0, 0};
    int64_t strides[MOST_BLOCKS];
    int n = 0;
    numbers(prose, "s(", stride, 2);
    numbers(prose, "p(", pad, 2);
    while (n < MOST_BLOCKS && dim_of(c, "blocks.%d.pw.0.weight", n, 0))
        strides[n++] = 1;
    numbers(prose, "strides ", strides, n);
    return json_pack("{s:s, s:[s], s:I, s:b, s:b, s:o, s:o, s:o, s:o, s:I}", "model_type", "ds_cnn", "architectures",
                     "DsCnnForAudioClassification", "hidden_size", (json_int_t)dim(c, "stem.0.weight", 0), "conv_bias",
                     dim(c, "stem.0.bias", 0) > 0, "tf_padding", 0, "stem_kernel", list(kernel, 2), "stem_stride",
                     list(stride, 2), "stem_padding", list(pad, 2), "strides", list(strides, n), "num_labels",
                     (json_int_t)dim(c, "fc.weight", 0));
}

static json_t *resnet(const struct assay_checkpoint *c, const char *prose)
{
    int64_t widths[MOST_BLOCKS], strides[MOST_BLOCKS], stem_stride = 1;
    int n = 0;
    for (; n < MOST_BLOCKS && dim_of(c, "b%d.conv1.weight", n + 1, 0); n++) {
        char name[16];
        snprintf(name, sizeof name, "b%d(", n + 1);
        widths[n] = dim_of(c, "b%d.conv1.weight", n + 1, 0);
        strides[n] = 1;
        numbers(prose ? strstr(prose, name) : NULL, ",s", &strides[n], 1);
    }
    numbers(prose ? strstr(prose, "conv1(") : NULL, ",s", &stem_stride, 1);
    return json_pack("{s:s, s:[s], s:I, s:I, s:I, s:o, s:o, s:I}", "model_type", "plain_resnet", "architectures",
                     "PlainResNetForImageClassification", "num_channels", (json_int_t)dim(c, "conv1.weight", 1), "embedding_size",
                     (json_int_t)dim(c, "conv1.weight", 0), "stem_stride", (json_int_t)stem_stride, "hidden_sizes",
                     list(widths, n), "strides", list(strides, n), "num_labels", (json_int_t)dim(c, "fc.weight", 0));
}

json_t *assay_plain_config(const json_t *config, const struct assay_checkpoint *checkpoint)
{
    if (json_object_get(config, "model_type") || json_object_get(config, "architectures"))
        return NULL;
    const char *prose = json_string_value(json_object_get(config, "arch"));
    if (dim(checkpoint, "embed.weight", 1) && dim(checkpoint, "lstm.weight_hh_l0", 1))
        return lstm(checkpoint);
    if (dim(checkpoint, "stem.0.weight", 3) && dim(checkpoint, "blocks.0.dw.0.weight", 0))
        return ds_cnn(checkpoint, prose);
    if (dim(checkpoint, "conv1.weight", 1) && dim(checkpoint, "b1.conv1.weight", 0))
        return resnet(checkpoint, prose);
    return NULL;
}
