/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/answer_check.h"

#include "bench/testing.h"

enum { BATCH = 2, TOKENS = 3, WORDS = 4 };

/* Two texts of three tokens over four words. The reference chooses 1 2 3 and 0 0 2; its second token of the first text is nearly
 * word 3. */
static const float logits[BATCH][TOKENS][WORDS] = {{{0, 10, -20, 1}, {0, 1, 5, 4.999f}, {0, 1, 2, 8}},
                                                   {{7, 1, 2, 3}, {3, 1, 2, -4}, {0, 0, 1, 0.5f}}};

struct fixture {
    struct assay_arena arena;
    struct assay_reference_answer reference;
    struct assay_tensor first;
    struct assay_correctness k;
    struct assay_error err;
};

static void setup(struct fixture *f)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 2, (const int64_t[]){BATCH, WORDS});
    struct assay_answer answer = {.batch = BATCH, .n_tokens = TOKENS, .vocabulary = WORDS, .logits = (float *)logits};
    *f = (struct fixture){.k = {.tolerance = 1e-3}};
    assay_arena_init(&f->arena);
    CHECK_OK(assay_reference_answer_make(&f->reference, &answer, &f->err), f->err);
    CHECK_OK(assay_tensor_alloc(&f->first, &type, &f->err), f->err);
    for (int b = 0; b < BATCH; b++)
        memcpy((float *)f->first.data + b * WORDS, logits[b][0], sizeof logits[b][0]);
}

static void teardown(struct fixture *f)
{
    assay_tensor_release(&f->first);
    assay_reference_answer_release(&f->reference);
    assay_arena_release(&f->arena);
}

static enum assay_status compare(struct fixture *f, const int64_t tokens[BATCH][TOKENS])
{
    f->k.note = NULL;
    return assay_answer_compare(&f->reference, &f->first, &tokens[0][0], &f->arena, &f->k, &f->err);
}

ASSAY_TEST(the_largest_logits_are_kept_from_the_top)
{
    struct fixture f;
    setup(&f);
    CHECK_INT(f.reference.tokens.type.dims[2], WORDS); /* all of so few */
    static const int64_t second[WORDS] = {2, 3, 1, 0};
    for (int i = 0; i < WORDS; i++) {
        CHECK_INT(assay_tensor_int(&f.reference.tokens, WORDS + i), second[i]);
        CHECK_NEAR(assay_tensor_real(&f.reference.logits, WORDS + i), logits[0][1][second[i]], 0);
    }
    CHECK_INT(assay_tensor_int(&f.reference.tokens, 5 * WORDS + 2), 0); /* the first of equal ones first */
    CHECK_INT(assay_tensor_int(&f.reference.tokens, 5 * WORDS + 3), 1);
    CHECK_NEAR(assay_tensor_real(&f.reference.scale, 0), 20, 0);
    CHECK_NEAR(assay_tensor_real(&f.reference.scale, 4), 4, 0);
    teardown(&f);
}

ASSAY_TEST(of_a_large_vocabulary_only_the_top_is_kept)
{
    enum { MANY = 500 };
    struct assay_reference_answer reference;
    struct assay_error err;
    float many[MANY];
    for (int i = 0; i < MANY; i++)
        many[i] = (float)((i * 37) % MANY); /* each number once */
    struct assay_answer answer = {.batch = 1, .n_tokens = 1, .vocabulary = MANY, .logits = many};
    CHECK_OK(assay_reference_answer_make(&reference, &answer, &err), err);
    CHECK_INT(reference.tokens.type.dims[2], ASSAY_KEPT_LOGITS);
    for (int i = 0; i < ASSAY_KEPT_LOGITS; i++) {
        CHECK_NEAR(assay_tensor_real(&reference.logits, i), MANY - 1 - i, 0);
        CHECK_NEAR(many[assay_tensor_int(&reference.tokens, i)], MANY - 1 - i, 0);
    }
    assay_reference_answer_release(&reference);
}

ASSAY_TEST(equal_tokens_are_right)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(compare(&f, (const int64_t[BATCH][TOKENS]){{1, 2, 3}, {0, 0, 2}}), f.err);
    CHECK_CONTAINS(f.k.note, "all tokens equal");
    CHECK_NEAR(f.k.max_rel, 0, 0);
    teardown(&f);
}

/* Words 2 and 3 differ by 0.001 where the largest logit is 5: less than 2 x 0.001 x 5. What follows is another text. */
ASSAY_TEST(a_tie_counts_as_agreement_and_is_told)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(compare(&f, (const int64_t[BATCH][TOKENS]){{1, 3, 0}, {0, 0, 2}}), f.err);
    CHECK_CONTAINS(f.k.note, "1 of 2 texts");
    CHECK_CONTAINS(f.k.note, "token 1 of sample 0");
    f.k.tolerance = 1e-5; /* now it is none */
    CHECK_INT(compare(&f, (const int64_t[BATCH][TOKENS]){{1, 3, 0}, {0, 0, 2}}), ASSAY_MISMATCH);
    CHECK_CONTAINS(f.err.message, "token 1 of sample 0 is 3 where the reference has 2");
    teardown(&f);
}

ASSAY_TEST(another_token_is_a_mismatch_with_its_place)
{
    struct fixture f;
    setup(&f);
    CHECK_INT(compare(&f, (const int64_t[BATCH][TOKENS]){{1, 2, 3}, {0, 0, 3}}), ASSAY_MISMATCH);
    CHECK_CONTAINS(f.err.message, "token 2 of sample 1 is 3 where the reference has 2");
    CHECK_INT(compare(&f, (const int64_t[BATCH][TOKENS]){{1, 2, 99}, {0, 0, 2}}), ASSAY_MISMATCH);
    CHECK_CONTAINS(f.err.message, "none of its 4 largest");
    teardown(&f);
}

ASSAY_TEST(logits_beyond_the_tolerance_are_a_mismatch)
{
    static const int64_t same[BATCH][TOKENS] = {{1, 2, 3}, {0, 0, 2}};
    struct fixture f;
    setup(&f);
    ((float *)f.first.data)[5] += 0.019f; /* of 20 */
    CHECK_OK(compare(&f, same), f.err);
    CHECK_NEAR(f.k.max_abs, 0.019, 1e-6);
    ((float *)f.first.data)[5] += 0.01f;
    CHECK_INT(compare(&f, same), ASSAY_MISMATCH);
    CHECK_CONTAINS(f.err.message, "element 5");
    ((float *)f.first.data)[5] = NAN;
    CHECK_INT(compare(&f, same), ASSAY_MISMATCH);
    teardown(&f);
}

/* ---- with a model */

struct generating {
    struct assay_arena arena;
    const char *folder;
    struct assay_case c;
    int64_t ids[6];
    struct assay_request_input inputs[1];
    struct assay_request request;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    struct assay_generator *generator;
    struct assay_answer answer;
    struct assay_correctness k;
    struct assay_error err;
};

static void open_model(struct generating *g, const char *platform)
{
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){2, 3});
    *g = (struct generating){.ids = {1, 5, 9, 12, 0, 3}};
    assay_arena_init(&g->arena);
    g->folder = testing_folder(&g->arena);
    g->c = (struct assay_case){.model_path = testing_llama(&g->arena, g->folder),
                               .model_id = "id",
                               .precision = "f32",
                               .model_precision = "f32",
                               .check = true};
    g->inputs[0].name = "input_ids";
    assay_tensor_borrow(&g->inputs[0].tensor, &type, g->ids);
    g->request = (struct assay_request){.inputs = g->inputs, .n_inputs = 1, .max_new_tokens = 4, .ignore_eos = true};
    CHECK_OK(assay_platform_find(&g->arena, platform, &g->platform, &g->runtime, &g->err), g->err);
    struct assay_generator_options options = {
        .runtime = g->runtime, .compile = {.platform = &g->platform, .n_threads = 1, .isa = "", .optimization = 3}};
    CHECK_OK(assay_generator_open(g->c.model_path, &options, &g->generator, &g->err), g->err);
    CHECK_OK(assay_generator_run(g->generator, &g->request, &g->answer, &g->err), g->err);
}

static enum assay_status check(struct generating *g)
{
    return assay_answer_check(&g->c, g->generator, g->runtime, &g->request, &g->answer, &g->arena, &g->k, &g->err);
}

static void close_model(struct generating *g)
{
    assay_generator_close(g->generator);
    assay_answer_release(&g->answer);
    testing_folder_release(&g->arena, g->folder);
}

ASSAY_TEST(the_references_own_answer_is_kept_for_others)
{
    struct generating g;
    char **names = NULL;
    size_t n = 0;
    open_model(&g, "cpu/reference");
    CHECK_OK(check(&g), g.err);
    CHECK(!g.k.checked);
    CHECK_CONTAINS(g.k.note, "is the reference");
    CHECK_OK(assay_fs_list(assay_path_join(&g.arena, g.folder, "cache/reference"), &g.arena, &names, &n, &g.err), g.err);
    CHECK_INT(n, 1);
    /* A converted model is compared with it, and what is wrong is found. */
    g.c.precision = "bf16";
    CHECK_OK(check(&g), g.err);
    CHECK(g.k.checked);
    CHECK_NEAR(g.k.tolerance, assay_tolerance("bf16"), 0);
    CHECK_CONTAINS(g.k.note, "all tokens equal");
    g.c.tolerance = 1e-9;
    g.answer.tokens[5] = (g.answer.tokens[5] + 1) % 13;
    CHECK_INT(check(&g), ASSAY_MISMATCH);
    CHECK_CONTAINS(g.err.message, "token 1 of sample 1");
    close_model(&g);
}

ASSAY_TEST(onnxruntime_generates_what_the_reference_generates)
{
    struct assay_arena arena;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    assay_arena_init(&arena);
    bool is_here = assay_platform_find(&arena, "cpu/onnxruntime", &platform, &runtime, NULL) == ASSAY_OK;
    assay_arena_release(&arena);
    if (!is_here)
        SKIP("ONNX Runtime is not here");
    struct generating g;
    open_model(&g, "cpu/onnxruntime");
    CHECK_OK(check(&g), g.err);
    CHECK(g.k.checked);
    CHECK(g.k.max_rel < 1e-5); /* sums of at most 12 terms, two layers, in f32 */
    close_model(&g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_largest_logits_are_kept_from_the_top),
                ASSAY_TEST_ENTRY(of_a_large_vocabulary_only_the_top_is_kept), ASSAY_TEST_ENTRY(equal_tokens_are_right),
                ASSAY_TEST_ENTRY(a_tie_counts_as_agreement_and_is_told),
                ASSAY_TEST_ENTRY(another_token_is_a_mismatch_with_its_place),
                ASSAY_TEST_ENTRY(logits_beyond_the_tolerance_are_a_mismatch),
                ASSAY_TEST_ENTRY(the_references_own_answer_is_kept_for_others),
                ASSAY_TEST_ENTRY(onnxruntime_generates_what_the_reference_generates))
