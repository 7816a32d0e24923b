/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Synthetic samples, for throughput alone: any named tensors of any shape, each a function of (seed, name, split, index). Floats
 * are uniform with mean 0 and variance 1; whole numbers are uniform below a limit.
 *
 *     synthetic:image=f32[3,224,224]:label=i64[]<1000:train=50000
 */
#include "data/dataset.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST_SAMPLE = 1 << 30, MOST_SAMPLES = 1 << 30 };

struct synthetic {
    uint64_t seed;
    uint64_t limits[ASSAY_DATASET_TENSORS];
};

/* f32[3,224,224] or i64[]<1000 */
static enum assay_status read_type(const char *name, const char *text, struct assay_type *type, uint64_t *limit,
                                   struct assay_error *err)
{
    static const enum assay_dtype known[] = {ASSAY_F32, ASSAY_F16, ASSAY_BF16, ASSAY_F64,
                                             ASSAY_I64, ASSAY_I32, ASSAY_U8,   ASSAY_BOOL};
    char word[8] = "";
    size_t n = strcspn(text, "[");
    if (n < sizeof word)
        memcpy(word, text, n);
    *type = (struct assay_type){0};
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        if (strcmp(word, assay_dtype_word(known[i])) == 0)
            type->dtype = known[i];
    const char *at = text + n;
    bool is_right = *name && type->dtype != ASSAY_NO_DTYPE && *at == '[';
    int64_t count = 1;
    for (at += is_right; is_right && *at != ']';) {
        char *end;
        long long dim = strtoll(at, &end, 10);
        is_right = end != at && dim >= 1 && dim <= LARGEST_SAMPLE / count && type->rank < ASSAY_MAX_RANK - 1;
        if (!is_right)
            break;
        count *= dim;
        type->dims[type->rank++] = dim;
        is_right = *end == ']' || (*end == ',' && end[1] != ']');
        at = end + (*end == ',');
    }
    *limit = 2;
    if (is_right && at[1] == '<') {
        char *end;
        long long given = strtoll(at + 2, &end, 10);
        is_right = *end == '\0' && given >= 1 && given <= UINT32_MAX && (type->dtype != ASSAY_U8 || given <= 256) &&
                   !assay_dtype_is_float(type->dtype);
        *limit = (uint64_t)given;
    } else if (is_right) {
        is_right = at[1] == '\0';
    }
    if (!is_right)
        return assay_error_set(err, ASSAY_INVALID,
                               "%s=%s describes no tensor; an example is image=f32[3,224,224] or "
                               "label=i64[]<1000",
                               name, text);
    return ASSAY_OK;
}

static enum assay_status open_synthetic(struct assay_dataset *dataset, struct assay_dataset_options *options,
                                        const struct assay_dataset_progress *progress, struct assay_error *err)
{
    static const int64_t otherwise[ASSAY_N_SPLITS] = {1 << 20, 1 << 10, 1 << 10};
    (void)progress;
    struct synthetic *synthetic = dataset->state = assay_arena_alloc(&dataset->arena, sizeof *synthetic);
    int64_t seed;
    enum assay_status st = assay_dataset_option_int(options, "seed", 0, 0, INT64_MAX, &seed, err);
    synthetic->seed = (uint64_t)seed;
    for (int split = 0; !st && split < ASSAY_N_SPLITS; split++)
        st = assay_dataset_option_int(options, assay_split_word(split), otherwise[split], 0, MOST_SAMPLES, &dataset->n[split],
                                      err);
    for (int i = 0; !st && i < options->n; i++) {
        struct assay_dataset_option *option = &options->list[i];
        struct assay_type type;
        if (option->is_used || !option->value)
            continue;
        if (dataset->n_tensors == ASSAY_DATASET_TENSORS)
            return assay_error_set(err, ASSAY_INVALID, "a sample can have at most %d tensors", ASSAY_DATASET_TENSORS);
        option->is_used = true;
        bool is_label = strncmp(option->name, "label", 5) == 0;
        st = read_type(option->name, option->value, &type, &synthetic->limits[dataset->n_tensors], err);
        if (!st && is_label && !assay_dtype_is_float(type.dtype))
            dataset->n_classes = (int64_t)synthetic->limits[dataset->n_tensors];
        assay_dataset_add_tensor(dataset, option->name, type, is_label, 0);
    }
    if (!st && dataset->n_tensors == 0)
        st = assay_error_set(err, ASSAY_INVALID,
                             "no tensor is named; an example is synthetic:image=f32[3,224,224]:label=i64[]<10");
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_text(&hash, dataset->spec);
    assay_hash_final(&hash, dataset->hash);
    return st;
}

static double uniform(struct assay_rng *rng)
{
    return ((double)assay_rng_u32(rng) * 0x1p-32 - 0.5) * 3.4641016151377544; /* √12 */
}

static void fill(struct assay_rng *rng, enum assay_dtype dtype, uint64_t limit, int64_t n, void *to)
{
    for (int64_t i = 0; i < n; i++)
        switch (dtype) {
        case ASSAY_F32:
            ((float *)to)[i] = (float)uniform(rng);
            break;
        case ASSAY_F64:
            ((double *)to)[i] = uniform(rng);
            break;
        case ASSAY_F16:
            ((uint16_t *)to)[i] = assay_f32_to_f16((float)uniform(rng));
            break;
        case ASSAY_BF16:
            ((uint16_t *)to)[i] = assay_f32_to_bf16((float)uniform(rng));
            break;
        case ASSAY_I64:
            ((int64_t *)to)[i] = (int64_t)(assay_rng_u32(rng) * limit >> 32);
            break;
        case ASSAY_I32:
            ((int32_t *)to)[i] = (int32_t)(assay_rng_u32(rng) * limit >> 32);
            break;
        case ASSAY_BOOL:
            ((bool *)to)[i] = assay_rng_u32(rng) >> 31;
            break;
        default:
            ((uint8_t *)to)[i] = (uint8_t)(assay_rng_u32(rng) * limit >> 32);
        }
}

static enum assay_status read_synthetic(const struct assay_dataset *dataset, enum assay_split split, int64_t index,
                                        void *const *to, struct assay_error *err)
{
    (void)err;
    const struct synthetic *synthetic = dataset->state;
    for (int i = 0; i < dataset->n_tensors; i++) {
        const struct assay_dataset_tensor *tensor = &dataset->tensors[i];
        struct assay_rng rng;
        /* Samples are 2^32 blocks apart in the stream of their tensor and split. */
        assay_rng_init(&rng, synthetic->seed, assay_rng_stream(tensor->name) + (uint64_t)split);
        rng.counter = (uint64_t)index << 32;
        fill(&rng, tensor->type.dtype, synthetic->limits[i], assay_type_count(&tensor->type), to[i]);
    }
    return ASSAY_OK;
}

const struct assay_dataset_kind assay_dataset_synthetic = {
    .name = "synthetic",
    .about = "random tensors of any shape, for throughput alone: there is nothing to learn",
    .options = "NAME=DTYPE[DIMS] or NAME=DTYPE[DIMS]<LIMIT for each tensor, train=SAMPLES (1048576), validation=SAMPLES (1024), "
               "test=SAMPLES (1024), seed=NUMBER (0)",
    .licence = "none needed",
    .source = "made by Philox4x32-10 from the seed, the tensor's name, the split and the sample's number",
    .open = open_synthetic,
    .read = read_synthetic,
};
