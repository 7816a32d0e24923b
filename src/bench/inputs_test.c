/* SPDX-License-Identifier: Apache-2.0 */
/* Distributions are checked by their moments and ranges; bounds are five standard errors, so that a fixed seed that passes is no
 * luck. */
#include "bench/inputs.h"

#include "base/rng.h"
#include "bench/testing.h"
#include "stats/stats.h"

static struct assay_case_input input_of(const char *name, const char *kind, enum assay_dtype dtype, int rank, const int64_t *dims)
{
    return (struct assay_case_input){name, assay_type_make(dtype, rank, dims), kind};
}

static struct assay_tensor made(const char *name, const char *kind, enum assay_dtype dtype, int rank, const int64_t *dims,
                                uint64_t seed)
{
    struct assay_error err;
    struct assay_tensor tensor = {0};
    struct assay_case_input input = input_of(name, kind, dtype, rank, dims);
    CHECK_OK(assay_input_make(&input, seed, &tensor, &err), err);
    CHECK(assay_type_equal(&tensor.type, &input.type));
    return tensor;
}

static void refused(const char *kind, enum assay_dtype dtype, const char *part)
{
    struct assay_error err = {0};
    struct assay_tensor tensor = {0};
    struct assay_case_input input = input_of("x", kind, dtype, 1, (const int64_t[]){4});
    CHECK_INT(assay_input_make(&input, 1, &tensor, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, part);
    CHECK_CONTAINS(err.message, "'x'");
    CHECK(!tensor.data);
}

static double *reals(const struct assay_tensor *t)
{
    int64_t n = assay_tensor_count(t);
    double *x = assay_alloc((size_t)n * sizeof *x + 1);
    for (int64_t i = 0; i < n; i++)
        x[i] = assay_tensor_real(t, i);
    return x;
}

ASSAY_TEST(normal_has_the_moments_of_a_standard_normal)
{
    enum { N = 100000 };
    struct assay_tensor t = made("x", "normal", ASSAY_F32, 1, (const int64_t[]){N}, 1);
    double *x = reals(&t), sixth = 0;
    CHECK_NEAR(assay_stats_mean(x, N), 0, 5 / sqrt(N));
    CHECK_NEAR(assay_stats_deviation(x, N), 1, 5 / sqrt(2.0 * N));
    CHECK_NEAR(assay_stats_quantile(x, N, 0.975), 1.959964, 5 * sqrt(0.975 * 0.025 / N) / 0.0584);
    for (int i = 0; i < N; i++)
        sixth += x[i] * x[i] * x[i] * x[i] / N;
    CHECK_NEAR(sixth, 3, 5 * sqrt(96.0 / N)); /* the fourth moment's variance is 105 - 9 */
    free(x);
    assay_tensor_release(&t);
}

ASSAY_TEST(uniform_is_philox_of_seed_and_name)
{
    struct assay_rng rng;
    struct assay_tensor t = made("pixels", "uniform", ASSAY_F64, 2, (const int64_t[]){3, 5}, 42);
    assay_rng_init(&rng, 42, assay_rng_stream("pixels"));
    for (int i = 0; i < 15; i++) {
        double wanted = assay_rng_uniform(&rng);
        CHECK_NEAR(assay_tensor_real(&t, i), wanted, 0);
        CHECK(wanted >= 0 && wanted < 1);
    }
    assay_tensor_release(&t);
}

ASSAY_TEST(tokens_are_uniform_over_the_vocabulary)
{
    enum { N = 100000, VOCABULARY = 50 };
    struct assay_tensor t = made("ids", "tokens:50", ASSAY_I64, 2, (const int64_t[]){100, N / 100}, 1);
    double chi = 0, counts[VOCABULARY] = {0}, each = (double)N / VOCABULARY;
    for (int i = 0; i < N; i++) {
        int64_t id = assay_tensor_int(&t, i);
        CHECK(id >= 0 && id < VOCABULARY);
        counts[id]++;
    }
    for (int k = 0; k < VOCABULARY; k++)
        chi += (counts[k] - each) * (counts[k] - each) / each;
    CHECK_NEAR(chi, VOCABULARY - 1, 5 * sqrt(2.0 * (VOCABULARY - 1)));
    assay_tensor_release(&t);
}

ASSAY_TEST(a_picture_is_smooth_within_its_range_and_its_planes_differ)
{
    struct assay_tensor t = made("x", "image", ASSAY_F32, 4, (const int64_t[]){2, 3, 64, 64}, 1);
    double *x = reals(&t), step = 0, spread = assay_stats_deviation(x, 2 * 3 * 64 * 64);
    for (int i = 0; i < 2 * 3 * 64 * 64; i++) {
        CHECK(x[i] >= -1 && x[i] <= 1);
        if (i % 64)
            step = fmax(step, fabs(x[i] - x[i - 1]));
    }
    CHECK(spread > 0.2);
    CHECK(step < 1.9 * 8 / 64 + 0.1 + 1e-6); /* the steepest grid, and noise twice */
    CHECK(memcmp(x, x + 64 * 64, 64 * 64 * sizeof *x) != 0);
    free(x);
    assay_tensor_release(&t);
}

ASSAY_TEST(a_picture_of_bytes_uses_their_range)
{
    struct assay_tensor t = made("x", "image", ASSAY_U8, 4, (const int64_t[]){1, 64, 64, 3}, 1);
    double *x = reals(&t);
    CHECK_NEAR(assay_stats_mean(x, 64 * 64 * 3), 127.5, 40);
    CHECK(assay_stats_deviation(x, 64 * 64 * 3) > 20);
    free(x);
    assay_tensor_release(&t);
}

ASSAY_TEST(sound_is_within_its_range_and_not_silent)
{
    struct assay_tensor t = made("x", "audio", ASSAY_F32, 2, (const int64_t[]){2, 16000}, 1);
    double *x = reals(&t);
    for (int i = 0; i < 32000; i++)
        CHECK(x[i] >= -1 && x[i] <= 1);
    /* Four sines of amplitude 0.2 and uniform noise of 0.1: variance 4 · 0.02 + 0.01 / 3. */
    CHECK_NEAR(assay_stats_deviation(x, 16000), sqrt(0.08 + 0.01 / 3), 0.03);
    CHECK_NEAR(assay_stats_mean(x, 16000), 0, 0.02);
    free(x);
    assay_tensor_release(&t);
}

ASSAY_TEST(constants_and_ranges_are_what_they_say)
{
    static const struct {
        const char *kind;
        enum assay_dtype dtype;
        double wanted[6]; /* of [2, 3] */
    } cases[] = {
        {"zeros", ASSAY_F32, {0}},
        {"ones", ASSAY_I32, {1, 1, 1, 1, 1, 1}},
        {"mask", ASSAY_BOOL, {1, 1, 1, 1, 1, 1}},
        {"constant:16000", ASSAY_I64, {16000, 16000, 16000, 16000, 16000, 16000}},
        {"constant:-0.5", ASSAY_F16, {-0.5, -0.5, -0.5, -0.5, -0.5, -0.5}},
        {"range", ASSAY_I64, {0, 1, 2, 0, 1, 2}},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_tensor t = made("x", cases[i].kind, cases[i].dtype, 2, (const int64_t[]){2, 3}, 1);
        for (int k = 0; k < 6; k++)
            CHECK_NEAR(assay_tensor_real(&t, k), cases[i].wanted[k], 0);
        assay_tensor_release(&t);
    }
}

ASSAY_TEST(numbers_depend_on_seed_and_name_alone)
{
    static const char *const kinds[] = {"normal", "uniform", "image", "audio", "tokens:1000"};
    for (size_t i = 0; i < ASSAY_COUNT(kinds); i++) {
        struct assay_tensor t[4];
        for (int k = 0; k < 4; k++)
            t[k] = made(k == 3 ? "y" : "x", kinds[i], ASSAY_F32, 2, (const int64_t[]){4, 50}, k == 2 ? 2 : 1);
        CHECK(memcmp(t[0].data, t[1].data, 800) == 0);
        CHECK(memcmp(t[0].data, t[2].data, 800) != 0);
        CHECK(memcmp(t[0].data, t[3].data, 800) != 0);
        for (int k = 0; k < 4; k++)
            assay_tensor_release(&t[k]);
    }
}

ASSAY_TEST(empty_and_scalar_inputs_can_be_made)
{
    static const char *const kinds[] = {"normal", "uniform", "image", "audio", "tokens:10", "zeros", "range"};
    for (size_t i = 0; i < ASSAY_COUNT(kinds); i++) {
        struct assay_tensor empty = made("x", kinds[i], ASSAY_F32, 4, (const int64_t[]){2, 3, 0, 0}, 1);
        struct assay_tensor scalar = made("x", kinds[i], ASSAY_F32, 0, NULL, 1);
        CHECK_INT(assay_tensor_count(&empty), 0);
        CHECK_INT(assay_tensor_count(&scalar), 1);
        assay_tensor_release(&empty);
        assay_tensor_release(&scalar);
    }
}

ASSAY_TEST(what_is_no_kind_is_refused_with_the_kinds_there_are)
{
    refused("", ASSAY_F32, "normal, uniform");
    refused("norma", ASSAY_F32, "normal, uniform");
    refused("normal:3", ASSAY_F32, "normal, uniform");
    refused("tokens", ASSAY_I64, "tokens:N");
    refused("tokens:", ASSAY_I64, "no number");
    refused("tokens:0", ASSAY_I64, "no number");
    refused("tokens:1e300", ASSAY_I64, "no number");
    refused("tokens:12x", ASSAY_I64, "no number");
    refused("constant:nan", ASSAY_F32, "no number");
    refused("constant:inf", ASSAY_F32, "no number");
    refused("normal", ASSAY_I64, "cannot be 'normal'");
    refused("audio", ASSAY_U8, "cannot be 'audio'");
}

ASSAY_TEST(a_tensor_too_large_for_memory_is_reported)
{
    struct assay_error err = {0};
    struct assay_tensor tensor = {0};
    struct assay_case_input input = input_of("x", "zeros", ASSAY_F32, 3, (const int64_t[]){1 << 30, 1 << 30, 1 << 30});
    enum assay_status st = assay_input_make(&input, 1, &tensor, &err);
    CHECK(st == ASSAY_NO_MEMORY || st == ASSAY_INVALID);
    CHECK(*err.message);
}

#define ADD_DATA "/usr/share/libonnx-testdata/data/node/test_add/test_data_set_0/input_0.pb"

ASSAY_TEST(a_file_is_taken_if_its_type_fits)
{
    struct assay_error err = {0};
    struct assay_tensor tensor = {0};
    struct assay_case_input fits = input_of("x", "file:" ADD_DATA, ASSAY_F32, 3, (const int64_t[]){3, 4, 5}),
                            wrong = input_of("x", "file:" ADD_DATA, ASSAY_F32, 3, (const int64_t[]){3, 4, 6}),
                            missing = input_of("x", "file:/nowhere.pb", ASSAY_F32, 1, (const int64_t[]){3});
    if (!assay_fs_exists(ADD_DATA))
        SKIP("ONNX's test data (libonnx-testdata) is not installed");
    CHECK_OK(assay_input_make(&fits, 1, &tensor, &err), err);
    CHECK_NEAR(assay_tensor_real(&tensor, 0), 1.76405239, 1e-7); /* numpy's first normal of seed 0, which the suite uses */
    assay_tensor_release(&tensor);
    CHECK_INT(assay_input_make(&wrong, 1, &tensor, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "f32[3,4,5]");
    CHECK_CONTAINS(err.message, "f32[3,4,6]");
    CHECK_INT(assay_input_make(&missing, 1, &tensor, &err), ASSAY_ABSENT);
}

ASSAY_TEST(kinds_are_guessed_by_dtype_name_shape_and_use)
{
    static const struct {
        const char *name;
        enum assay_dtype dtype;
        int rank;
        int64_t dims[4];
        const char *wanted;
    } cases[] = {
        {"attention_mask", ASSAY_I64, 2, {1, 8}, "mask"},
        {"flag", ASSAY_BOOL, 1, {4}, "mask"},
        {"token_type_ids", ASSAY_I64, 2, {1, 8}, "zeros"},
        {"position_ids", ASSAY_I64, 2, {1, 8}, "range"},
        {"steps", ASSAY_I64, 0, {0}, "ones"},
        {"labels", ASSAY_I32, 1, {8}, "tokens:2"},
        {"pixels", ASSAY_F32, 4, {1, 3, 8, 8}, "image"},
        {"pixels", ASSAY_F32, 4, {1, 8, 8, 3}, "image"},
        {"pixels", ASSAY_U8, 4, {1, 8, 8, 3}, "image"},
        {"features", ASSAY_F32, 4, {1, 16, 8, 8}, "normal"},
        {"waveform", ASSAY_F32, 2, {1, 16000}, "audio"},
        {"past_key", ASSAY_F32, 4, {1, 12, 5, 64}, "zeros"},
        {"embeddings", ASSAY_F32, 3, {1, 8, 64}, "normal"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_graph *graph = assay_graph_open("guess");
        int x = testing_input(graph, cases[i].name, cases[i].dtype, cases[i].rank, cases[i].dims);
        CHECK_TEXT(assay_input_guess(graph, x, &graph->arena), cases[i].wanted);
        assay_graph_close(graph);
    }
}

ASSAY_TEST(token_ids_stay_within_the_table_that_they_look_up)
{
    struct assay_graph *graph = assay_graph_open("embedding");
    struct assay_tensor table;
    struct assay_type type = assay_type_make(ASSAY_F32, 2, (const int64_t[]){321, 2});
    CHECK_INT(assay_tensor_alloc(&table, &type, NULL), ASSAY_OK);
    memset(table.data, 0, 321 * 2 * 4);
    int ids = testing_input(graph, "ids", ASSAY_I64, 2, (const int64_t[]){1, 8});
    int rows = assay_graph_add_constant(graph, "table", &table);
    assay_tensor_release(&table);
    testing_node(graph, "Gather", NUMBERS(rows, ids), "embedded");
    CHECK_TEXT(assay_input_guess(graph, ids, &graph->arena), "tokens:321");
    assay_graph_close(graph);
}

ASSAY_TEST(a_prompt_begins_with_its_image_and_has_no_other)
{
    enum { ROWS = 50, LENGTH = 20, IMAGE = 3, VOCABULARY = 7 };
    bool seen[VOCABULARY] = {0};
    struct assay_tensor t = made("x", "prompt:7:3", ASSAY_I64, 2, (const int64_t[]){ROWS, LENGTH}, 1);
    const int64_t *ids = t.data;
    for (int i = 0; i < ROWS * LENGTH; i++) {
        CHECK(ids[i] >= 0 && ids[i] < VOCABULARY);
        CHECK((ids[i] == IMAGE) == (i % LENGTH == 0));
        seen[ids[i]] = true;
    }
    for (int i = 0; i < VOCABULARY; i++)
        CHECK(seen[i]);
    assay_tensor_release(&t);
    refused("prompt:7", ASSAY_I64, "no number");
    refused("prompt:7:7", ASSAY_I64, "no number");
    refused("prompt:7:3:1", ASSAY_I64, "no number");
    refused("prompt", ASSAY_I64, "no kind");
    refused("tokens:7:3", ASSAY_I64, "no number");
}

ASSAY_TEST(a_graphs_hint_wins_over_what_an_input_looks_like)
{
    struct assay_graph *graph = assay_graph_open("g");
    struct assay_arena arena;
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){1, 2});
    assay_arena_init(&arena);
    int value = assay_graph_add_value(graph, "image_sizes", &type), other = assay_graph_add_value(graph, "mask", &type);
    assay_graph_add_metadata(graph, "assay.input.image_sizes", "constant:672");
    assay_graph_add_metadata(graph, "assay.input.mask", "file:/etc/passwd");
    CHECK_TEXT(assay_input_guess(graph, value, &arena), "constant:672");
    CHECK_TEXT(assay_input_guess(graph, other, &arena), "mask");
    assay_arena_release(&arena);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(normal_has_the_moments_of_a_standard_normal),
                ASSAY_TEST_ENTRY(uniform_is_philox_of_seed_and_name), ASSAY_TEST_ENTRY(tokens_are_uniform_over_the_vocabulary),
                ASSAY_TEST_ENTRY(a_picture_is_smooth_within_its_range_and_its_planes_differ),
                ASSAY_TEST_ENTRY(a_picture_of_bytes_uses_their_range), ASSAY_TEST_ENTRY(sound_is_within_its_range_and_not_silent),
                ASSAY_TEST_ENTRY(constants_and_ranges_are_what_they_say), ASSAY_TEST_ENTRY(numbers_depend_on_seed_and_name_alone),
                ASSAY_TEST_ENTRY(empty_and_scalar_inputs_can_be_made),
                ASSAY_TEST_ENTRY(what_is_no_kind_is_refused_with_the_kinds_there_are),
                ASSAY_TEST_ENTRY(a_tensor_too_large_for_memory_is_reported), ASSAY_TEST_ENTRY(a_file_is_taken_if_its_type_fits),
                ASSAY_TEST_ENTRY(kinds_are_guessed_by_dtype_name_shape_and_use),
                ASSAY_TEST_ENTRY(token_ids_stay_within_the_table_that_they_look_up),
                ASSAY_TEST_ENTRY(a_prompt_begins_with_its_image_and_has_no_other),
                ASSAY_TEST_ENTRY(a_graphs_hint_wins_over_what_an_input_looks_like))
