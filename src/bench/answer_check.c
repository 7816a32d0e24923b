/* SPDX-License-Identifier: Apache-2.0 */
/* See answer_check.h. */
#include "bench/answer_check.h"

#include "base/fs.h"
#include "bench/reference_cache.h"
#include "graph/weight_only.h"
#include "runtime/registry.h"

#include <math.h>
#include <string.h>

void assay_reference_answer_release(struct assay_reference_answer *reference)
{
    assay_tensor_release(&reference->first);
    assay_tensor_release(&reference->tokens);
    assay_tensor_release(&reference->logits);
    assay_tensor_release(&reference->scale);
}

/* ---- what is kept */

/* The n largest of row[size], from the top, the first of equal ones first: by insertion, since n is small and few come in late.
 */
static void keep_largest(const float *row, int64_t size, int64_t n, int64_t *tokens, float *logits)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < size; i++) {
        if (kept == n && !(row[i] > logits[n - 1]))
            continue;
        int64_t at = kept < n ? kept++ : n - 1;
        for (; at > 0 && row[i] > logits[at - 1]; at--) {
            logits[at] = logits[at - 1];
            tokens[at] = tokens[at - 1];
        }
        logits[at] = row[i];
        tokens[at] = i;
    }
}

static float largest_magnitude(const float *row, int64_t size)
{
    float largest = 0;
    for (int64_t i = 0; i < size; i++)
        largest = fmaxf(largest, fabsf(row[i]));
    return largest;
}

static enum assay_status alloc(struct assay_tensor *tensor, enum assay_dtype dtype, int rank, int64_t a, int64_t b, int64_t c,
                               struct assay_error *err)
{
    struct assay_type type = assay_type_make(dtype, rank, (const int64_t[]){a, b, c});
    return assay_tensor_alloc(tensor, &type, err);
}

enum assay_status assay_reference_answer_make(struct assay_reference_answer *reference, const struct assay_answer *answer,
                                              struct assay_error *err)
{
    int64_t batch = answer->batch, n = answer->n_tokens, vocabulary = answer->vocabulary;
    int64_t kept = vocabulary < ASSAY_KEPT_LOGITS ? vocabulary : ASSAY_KEPT_LOGITS;
    memset(reference, 0, sizeof *reference);
    enum assay_status st = alloc(&reference->first, ASSAY_F32, 2, batch, vocabulary, 0, err);
    if (!st)
        st = alloc(&reference->tokens, ASSAY_I64, 3, batch, n, kept, err);
    if (!st)
        st = alloc(&reference->logits, ASSAY_F32, 3, batch, n, kept, err);
    if (!st)
        st = alloc(&reference->scale, ASSAY_F32, 2, batch, n, 0, err);
    if (st) {
        assay_reference_answer_release(reference);
        return st;
    }
    for (int64_t b = 0; b < batch; b++) {
        memcpy((float *)reference->first.data + b * vocabulary, answer->logits + b * n * vocabulary,
               (size_t)vocabulary * sizeof(float));
        for (int64_t t = b * n; t < (b + 1) * n; t++) {
            const float *row = answer->logits + t * vocabulary;
            keep_largest(row, vocabulary, kept, (int64_t *)reference->tokens.data + t * kept,
                         (float *)reference->logits.data + t * kept);
            ((float *)reference->scale.data)[t] = largest_magnitude(row, vocabulary);
        }
    }
    return ASSAY_OK;
}

/* ---- comparing */

/* How far below the chosen token's logit that of `token` is; infinite where it is not among those kept. */
static double gap(const struct assay_reference_answer *reference, int64_t place, int64_t token)
{
    int64_t kept = reference->tokens.type.dims[2];
    const int64_t *tokens = (const int64_t *)reference->tokens.data + place * kept;
    const float *logits = (const float *)reference->logits.data + place * kept;
    for (int64_t i = 0; i < kept; i++)
        if (tokens[i] == token)
            return (double)logits[0] - (double)logits[i];
    return INFINITY;
}

/* One text. *tied: the number of the token where it leaves the reference's at a tie, -1 if it never does. */
static enum assay_status compare_text(const struct assay_reference_answer *reference, int64_t sample, const int64_t *tokens,
                                      double tolerance, int64_t *tied, struct assay_error *err)
{
    int64_t n = reference->tokens.type.dims[1], kept = reference->tokens.type.dims[2], t = 0;
    const int64_t *wanted = (const int64_t *)reference->tokens.data + sample * n * kept;
    *tied = -1;
    while (t < n && tokens[t] == wanted[t * kept])
        t++;
    if (t == n)
        return ASSAY_OK;
    double scale = ((const float *)reference->scale.data)[sample * n + t];
    double difference = gap(reference, sample * n + t, tokens[t]), allowed = 2 * tolerance * scale;
    if (difference <= allowed) {
        *tied = t;
        return ASSAY_OK;
    }
    if (isinf(difference))
        return assay_error_set(
            err, ASSAY_MISMATCH,
            "token %lld of sample %lld is %lld where the reference has %lld, and none of its %lld largest logits", (long long)t,
            (long long)sample, (long long)tokens[t], (long long)wanted[t * kept], (long long)kept);
    return assay_error_set(
        err, ASSAY_MISMATCH,
        "token %lld of sample %lld is %lld where the reference has %lld, whose logit is larger by %.3g (%.3g of "
        "their largest magnitude; a tie is %.3g)",
        (long long)t, (long long)sample, (long long)tokens[t], (long long)wanted[t * kept], difference, difference / scale,
        2 * tolerance);
}

enum assay_status assay_answer_compare(const struct assay_reference_answer *reference, const struct assay_tensor *first,
                                       const int64_t *tokens, struct assay_arena *arena, struct assay_correctness *k,
                                       struct assay_error *err)
{
    int64_t batch = reference->tokens.type.dims[0], n = reference->tokens.type.dims[1], n_ties = 0, sample = 0, token = 0;
    struct assay_difference d = assay_tensor_compare(first, &reference->first, 0, 0);
    char has[128], wants[128];
    k->worst = "logits";
    if (!d.same_type)
        return assay_error_set(err, ASSAY_MISMATCH, "the logits are %s where the reference gives %s",
                               assay_type_text(&first->type, has, sizeof has),
                               assay_type_text(&reference->first.type, wants, sizeof wants));
    k->max_abs = d.max_abs;
    k->max_rel = d.max_rel;
    if (!(d.max_rel <= k->tolerance))
        return assay_error_set(
            err, ASSAY_MISMATCH,
            "the first token's logits differ from the reference's by %.3g at element %lld (%.3g of their largest "
            "magnitude; allowed %.3g)",
            d.max_abs, (long long)d.index, d.max_rel, k->tolerance);
    for (int64_t b = 0; b < batch; b++) {
        int64_t tied;
        enum assay_status st = compare_text(reference, b, tokens + b * n, k->tolerance, &tied, err);
        if (st)
            return st;
        if (tied >= 0 && n_ties++ == 0) {
            sample = b;
            token = tied;
        }
    }
    if (n_ties)
        k->note =
            assay_arena_printf(arena,
                               "logits of the first token; %lld of %lld texts equal the reference's up to a tie, the first at "
                               "token %lld of sample %lld, and go on otherwise from there",
                               (long long)n_ties, (long long)batch, (long long)token, (long long)sample);
    else
        k->note = "logits of the first token, and all tokens equal";
    return ASSAY_OK;
}

/* ---- the reference's answer */

enum { N_PARTS = 4 };

static void to_parts(const struct assay_reference_answer *reference, struct assay_tensor parts[N_PARTS])
{
    parts[0] = reference->first;
    parts[1] = reference->tokens;
    parts[2] = reference->logits;
    parts[3] = reference->scale;
}

static bool is_shaped(const struct assay_tensor *tensor, enum assay_dtype dtype, int rank, int64_t batch, int64_t second)
{
    const struct assay_type *type = &tensor->type;
    return type->dtype == dtype && type->rank == rank && type->dims[0] == batch && (second < 0 || type->dims[1] == second);
}

static bool read_kept(const char *path, const struct assay_answer *answer, struct assay_reference_answer *reference)
{
    struct assay_tensor parts[N_PARTS] = {0};
    if (!assay_reference_read(path, parts, N_PARTS))
        return false;
    *reference = (struct assay_reference_answer){parts[0], parts[1], parts[2], parts[3]};
    if (is_shaped(&reference->first, ASSAY_F32, 2, answer->batch, -1) &&
        is_shaped(&reference->tokens, ASSAY_I64, 3, answer->batch, answer->n_tokens) &&
        is_shaped(&reference->logits, ASSAY_F32, 3, answer->batch, answer->n_tokens) &&
        is_shaped(&reference->scale, ASSAY_F32, 2, answer->batch, answer->n_tokens) && reference->tokens.type.dims[2] > 0 &&
        reference->logits.type.dims[2] == reference->tokens.type.dims[2])
        return true;
    assay_reference_answer_release(reference);
    return false;
}

static const char *kept_path(const struct assay_case *c, const struct assay_request *request, struct assay_arena *arena)
{
    struct assay_hash hash;
    assay_reference_hash_init(&hash, c->model_id);
    if (assay_case_quantizes(c))
        assay_hash_text(&hash, c->precision);
    assay_hash_text(&hash, "generated");
    assay_hash_u64(&hash, (uint64_t)request->max_new_tokens);
    for (size_t i = 0; i < request->n_inputs; i++) {
        assay_hash_text(&hash, request->inputs[i].name);
        assay_reference_hash_tensor(&hash, &request->inputs[i].tensor);
    }
    return assay_reference_path(&hash, arena);
}

/* Runs the request with its logits and keeps what is needed of them. */
static enum assay_status generate_reference(struct assay_generator *generator, const struct assay_request *request,
                                            const char *path, struct assay_reference_answer *reference, struct assay_error *err)
{
    struct assay_request with_logits = *request;
    struct assay_answer answer = {0};
    struct assay_tensor parts[N_PARTS];
    with_logits.keep_logits = true;
    enum assay_status st = assay_generator_run(generator, &with_logits, &answer, err);
    if (!st)
        st = assay_reference_answer_make(reference, &answer, err);
    if (!st) {
        to_parts(reference, parts);
        assay_reference_write(path, parts, N_PARTS);
    }
    assay_answer_release(&answer);
    return st;
}

static enum assay_status quantize(void *context, struct assay_graph *graph, struct assay_error *err)
{
    return assay_graph_convert(graph, context, err);
}

static enum assay_status open_reference(const struct assay_case *c, struct assay_arena *arena, struct assay_platform *platform,
                                        struct assay_generator **generator, struct assay_error *err)
{
    struct assay_generator_options options = {.compile = {.platform = platform, .n_threads = 1}};
    if (assay_case_quantizes(c)) {
        options.transform = quantize;
        options.context = (void *)(uintptr_t)c->precision;
    }
    enum assay_status st = assay_platform_find(arena, "cpu/reference", platform, &options.runtime, err);
    return st ? st : assay_generator_open(c->model_path, &options, generator, err);
}

static enum assay_status reference_answer(const struct assay_case *c, const struct assay_request *request,
                                          const struct assay_answer *answer, struct assay_arena *arena,
                                          struct assay_reference_answer *reference, struct assay_error *err)
{
    struct assay_platform platform;
    struct assay_generator *generator = NULL;
    const char *path = kept_path(c, request, arena);
    if (read_kept(path, answer, reference))
        return ASSAY_OK;
    enum assay_status st = open_reference(c, arena, &platform, &generator, err);
    if (!st)
        st = generate_reference(generator, request, path, reference, err);
    assay_generator_close(generator);
    return st;
}

/* The logits of the first token, f32 [batch, vocabulary]. */
static enum assay_status first_logits(struct assay_generator *generator, const struct assay_request *request,
                                      struct assay_tensor *first, struct assay_error *err)
{
    struct assay_request one = *request;
    struct assay_answer answer = {0};
    one.max_new_tokens = 1;
    one.keep_logits = true;
    enum assay_status st = assay_generator_run(generator, &one, &answer, err);
    if (!st)
        st = alloc(first, ASSAY_F32, 2, answer.batch, answer.vocabulary, 0, err);
    if (!st)
        memcpy(first->data, answer.logits, (size_t)assay_tensor_bytes(first));
    assay_answer_release(&answer);
    return st;
}

static void keep_reference(const struct assay_case *c, struct assay_generator *generator, const struct assay_runtime *runtime,
                           const struct assay_request *request, struct assay_arena *arena)
{
    struct assay_reference_answer reference = {0};
    struct assay_error ignored;
    if (!c->check || !runtime->is_reference)
        return;
    const char *path = kept_path(c, request, arena);
    if (path && !assay_fs_exists(path) && !generate_reference(generator, request, path, &reference, &ignored))
        assay_reference_answer_release(&reference);
}

enum assay_status assay_answer_check(const struct assay_case *c, struct assay_generator *generator,
                                     const struct assay_runtime *runtime, const struct assay_request *request,
                                     const struct assay_answer *answer, struct assay_arena *arena, struct assay_correctness *k,
                                     struct assay_error *err)
{
    struct assay_reference_answer reference = {0};
    struct assay_tensor first = {0};
    *k = (struct assay_correctness){.tolerance = c->tolerance > 0 ? c->tolerance : assay_tolerance(c->precision),
                                    .note = assay_correctness_excuse(c, runtime)};
    if (k->note) {
        keep_reference(c, generator, runtime, request, arena);
        return ASSAY_OK;
    }
    enum assay_status st = reference_answer(c, request, answer, arena, &reference, err);
    if (st == ASSAY_UNSUPPORTED) {
        k->note = assay_arena_printf(arena, "the reference cannot run this model: %s", err->message);
        return ASSAY_OK;
    }
    if (!st)
        st = first_logits(generator, request, &first, err);
    if (!st)
        st = assay_answer_compare(&reference, &first, answer->tokens, arena, k, err);
    k->checked = st == ASSAY_OK || st == ASSAY_MISMATCH;
    if (st == ASSAY_MISMATCH)
        k->note = "logits of the first token, and tokens";
    assay_tensor_release(&first);
    assay_reference_answer_release(&reference);
    return st;
}
