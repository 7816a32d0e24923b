/* SPDX-License-Identifier: Apache-2.0 */
/* Oracles: searches worked out by hand, and all texts tried in turn, which a search with as many beams as there are texts must
 * equal. */
#include "bench/beams.h"

#include "base/rng.h"
#include "base/test.h"

static struct assay_error err;

/* Logits whose softmax are these probabilities: their logarithms. */
static void set_row(float *row, const double *probabilities, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        row[i] = (float)log(probabilities[i]);
}

/* Tokens a b c d. The likeliest first token, a (0.6), goes on evenly; b (0.4) goes on with c for sure, nearly. */
ASSAY_TEST(two_beams_find_what_greedy_misses)
{
    struct assay_beams_options options = {.batch = 1, .beams = 2, .vocabulary = 4, .max_new_tokens = 2};
    struct assay_beams *beams;
    const int64_t *tokens, *sources;
    float logits[8];
    int64_t best[2], n = 0;
    double score;
    CHECK_OK(assay_beams_open(&options, &beams, &err), err);
    set_row(logits, (const double[]){0.6, 0.38, 0.01, 0.01}, 4);
    assay_beams_step(beams, logits, &tokens, &sources);
    CHECK_INT(tokens[0], 0);
    CHECK_INT(tokens[1], 1);
    CHECK_INT(sources[0], 0);
    CHECK_INT(sources[1], 0);
    set_row(logits, (const double[]){0.25, 0.25, 0.3, 0.2}, 4);
    set_row(logits + 4, (const double[]){0.02, 0.02, 0.95, 0.01}, 4);
    assay_beams_step(beams, logits, &tokens, &sources);
    CHECK_INT(tokens[0], 2); /* b c: 0.361, before a c: 0.18 */
    CHECK_INT(sources[0], 1);
    CHECK_INT(tokens[1], 2);
    CHECK_INT(sources[1], 0);
    assay_beams_finish(beams, best, &n, &score);
    CHECK_INT(n, 2);
    CHECK_INT(best[0], 1);
    CHECK_INT(best[1], 2);
    CHECK_NEAR(score, log(0.38 * 0.95) / 2, 1e-6); /* logits are f32 */
    assay_beams_close(beams);
}

/* Ends: token 0, with 0.5 at once. What goes on with 1 has 0.45, then `next` for each further token. */
static int64_t end_or_go_on(double next, int64_t *text, double *score)
{
    const int64_t end = 0;
    struct assay_beams_options options = {
        .batch = 1, .beams = 2, .vocabulary = 3, .max_new_tokens = 3, .eos_tokens = &end, .n_eos_tokens = 1, .pad_token = 2};
    struct assay_beams *beams;
    const int64_t *tokens, *sources;
    float logits[6];
    int64_t n = 0;
    CHECK_OK(assay_beams_open(&options, &beams, &err), err);
    set_row(logits, (const double[]){0.5, 0.45, 0.05}, 3);
    assay_beams_step(beams, logits, &tokens, &sources);
    CHECK_INT(tokens[0], 1);
    for (int step = 1; step < 3; step++) {
        CHECK(!assay_beams_done(beams));
        set_row(logits, (const double[]){0.01, next, 0.99 - next}, 3);
        set_row(logits + 3, (const double[]){0.1, 0.5, 0.4}, 3);
        assay_beams_step(beams, logits, &tokens, &sources);
    }
    assay_beams_finish(beams, text, &n, score);
    assay_beams_close(beams);
    return n;
}

ASSAY_TEST(an_ended_text_competes_by_its_mean)
{
    int64_t text[3];
    double score;
    CHECK_INT(end_or_go_on(0.9, text, &score), 3);
    CHECK_INT(text[0], 1);
    CHECK_INT(text[2], 1);
    CHECK_NEAR(score, log(0.45 * 0.9 * 0.9) / 3, 1e-6); /* -0.34, where the end has -0.69 */
    CHECK_INT(end_or_go_on(0.5, text, &score), 1);
    CHECK_INT(text[0], 0);
    CHECK_NEAR(score, log(0.5), 1e-6);
}

/* ---- all texts */

enum { VOCABULARY = 3, LENGTH = 3, TEXTS = 27, END = 2 };

/* Seeded logits of what follows a prefix. */
static void logits_after(uint64_t seed, const int64_t *prefix, int64_t n, float *logits)
{
    struct assay_rng rng;
    for (int64_t i = 0; i < n; i++)
        seed = seed * 31 + (uint64_t)prefix[i] + 1;
    assay_rng_init(&rng, seed, 7);
    for (int i = 0; i < VOCABULARY; i++)
        logits[i] = (float)(4 * assay_rng_uniform(&rng) - 2);
}

static double log_probability(const float *logits, int64_t token)
{
    double sum = 0;
    for (int i = 0; i < VOCABULARY; i++)
        sum += exp(logits[i]);
    return logits[token] - log(sum);
}

/* The best of all texts that begin with a prefix of this sum; fewer tokens where they end. */
static void try_all(uint64_t seed, bool has_end, int64_t *prefix, int64_t n, double sum, double *best, int64_t *text,
                    int64_t *n_text)
{
    float logits[VOCABULARY];
    if (n == LENGTH || (has_end && n > 0 && prefix[n - 1] == END)) {
        if (sum / (double)n > *best) {
            *best = sum / (double)n;
            memcpy(text, prefix, (size_t)n * sizeof *text);
            *n_text = n;
        }
        return;
    }
    logits_after(seed, prefix, n, logits);
    for (int64_t token = 0; token < VOCABULARY; token++) {
        prefix[n] = token;
        try_all(seed, has_end, prefix, n + 1, sum + log_probability(logits, token), best, text, n_text);
    }
}

/* Two requests at once. */
static void check_search(uint64_t seed, bool has_end)
{
    const int64_t end = END;
    struct assay_beams_options options = {.batch = 2,
                                          .beams = TEXTS,
                                          .vocabulary = VOCABULARY,
                                          .max_new_tokens = LENGTH,
                                          .eos_tokens = &end,
                                          .n_eos_tokens = has_end,
                                          .pad_token = 0};
    static float logits[2 * TEXTS * VOCABULARY];
    int64_t texts[2 * TEXTS][LENGTH] = {{0}}, old[2 * TEXTS][LENGTH], found[2 * LENGTH], n = 0;
    const int64_t *tokens, *sources;
    double scores[2];
    struct assay_beams *beams;
    CHECK_OK(assay_beams_open(&options, &beams, &err), err);
    for (int step = 0; step < LENGTH; step++) {
        int rows = step ? TEXTS : 1;
        for (int r = 0; r < 2 * rows; r++)
            logits_after(seed + (uint64_t)(r / rows), texts[r], step, logits + r * VOCABULARY);
        assay_beams_step(beams, logits, &tokens, &sources);
        memcpy(old, texts, sizeof old);
        for (int r = 0; r < 2 * TEXTS; r++) {
            CHECK_INT(sources[r] / TEXTS, r / TEXTS);
            memcpy(texts[r], old[sources[r]], sizeof *texts);
            texts[r][step] = tokens[r];
        }
    }
    assay_beams_finish(beams, found, &n, scores);
    for (int request = 0; request < 2; request++) {
        int64_t prefix[LENGTH], best_text[LENGTH], n_best = 0;
        double best = -INFINITY;
        try_all(seed + (uint64_t)request, has_end, prefix, 0, 0, &best, best_text, &n_best);
        CHECK_NEAR(scores[request], best, 1e-9);
        CHECK(n_best <= n);
        for (int64_t i = 0; i < n_best; i++)
            CHECK_INT(found[request * n + i], best_text[i]);
        for (int64_t i = n_best; i < n; i++)
            CHECK_INT(found[request * n + i], 0);
    }
    assay_beams_close(beams);
}

ASSAY_TEST(as_many_beams_as_texts_find_the_best_of_all)
{
    for (uint64_t seed = 1; seed < 60; seed++) {
        check_search(seed, false);
        check_search(1000 * seed, true);
    }
}

ASSAY_TEST(numbers_that_make_no_sense_do_no_harm)
{
    const int64_t ends[] = {0, 1};
    struct assay_beams_options good = {.batch = 1, .beams = 2, .vocabulary = 4, .max_new_tokens = 2, .eos_tokens = ends},
                               bad = good;
    struct assay_beams *beams;
    const int64_t *tokens, *sources;
    bad.beams = 0;
    CHECK_INT(assay_beams_open(&bad, &beams, &err), ASSAY_INVALID);
    bad.beams = ASSAY_MOST_BEAMS + 1;
    CHECK_INT(assay_beams_open(&bad, &beams, &err), ASSAY_INVALID);
    bad = good;
    bad.vocabulary = 2;
    bad.n_eos_tokens = 2;
    CHECK_INT(assay_beams_open(&bad, &beams, &err), ASSAY_INVALID);
    bad = good;
    bad.batch = INT64_MAX / 2;
    CHECK_INT(assay_beams_open(&bad, &beams, &err), ASSAY_INVALID);
    float logits[8] = {NAN, NAN, NAN, NAN, -INFINITY, -INFINITY, INFINITY, 0};
    int64_t text[2], n;
    double score;
    CHECK_OK(assay_beams_open(&good, &beams, &err), err);
    for (int step = 0; step < 2; step++) {
        assay_beams_step(beams, logits, &tokens, &sources);
        for (int r = 0; r < 2; r++)
            CHECK(tokens[r] >= 0 && tokens[r] < 4 && sources[r] >= 0 && sources[r] < 2);
    }
    assay_beams_finish(beams, text, &n, &score);
    CHECK_INT(n, 2);
    assay_beams_close(beams);
    assay_beams_close(NULL);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(two_beams_find_what_greedy_misses), ASSAY_TEST_ENTRY(an_ended_text_competes_by_its_mean),
                ASSAY_TEST_ENTRY(as_many_beams_as_texts_find_the_best_of_all),
                ASSAY_TEST_ENTRY(numbers_that_make_no_sense_do_no_harm))
