/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/correctness.h"

#include "bench/inputs.h"
#include "bench/testing.h"

/* A graph, its input, and a program of a runtime that ran once. */
struct fixture {
    struct assay_arena arena;
    const char *folder;
    struct assay_case c;
    struct assay_graph *graph;
    struct assay_tensor inputs[1];
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    struct assay_program *program;
    struct assay_correctness k;
    struct assay_error err;
};

static void setup(struct fixture *f, struct assay_graph *graph, const char *platform, const char *kind, const char *inner)
{
    struct assay_option options[] = {{"kind", kind}, {"inner", inner}};
    struct assay_case_input x = {"x", assay_type_make(ASSAY_F32, 2, (const int64_t[]){2, 8}), "normal"};
    *f = (struct fixture){.graph = graph, .c = {.model_id = "id", .precision = "f32", .check = true}};
    assay_arena_init(&f->arena);
    f->folder = testing_folder(&f->arena);
    CHECK_OK(assay_graph_bind(graph, &(struct assay_binding){"x:0", 2}, 1, &f->err), f->err);
    CHECK_OK(assay_graph_sort(graph, &f->err), f->err);
    CHECK_OK(assay_input_make(&x, 1, &f->inputs[0], &f->err), f->err);
    CHECK_OK(assay_platform_find(&f->arena, platform, &f->platform, &f->runtime, &f->err), f->err);
    struct assay_compile_options compile = {
        .platform = &f->platform, .n_threads = 1, .optimization = 3, .options = options, .n_options = kind ? 2 : 0};
    CHECK_OK(f->runtime->compile(graph, &compile, &f->program, &f->err), f->err);
    CHECK_OK(f->runtime->bind(f->program, f->inputs, &f->err), f->err);
    CHECK_OK(f->runtime->run(f->program, &f->err), f->err);
}

static enum assay_status check(struct fixture *f)
{
    return assay_correctness_check(&f->c, f->graph, NULL, f->inputs, f->runtime, f->program, &f->arena, &f->k, &f->err);
}

static void teardown(struct fixture *f)
{
    f->runtime->release(f->program);
    assay_tensor_release(&f->inputs[0]);
    assay_graph_close(f->graph);
    testing_folder_release(&f->arena, f->folder);
}

static bool has_platform(const char *name)
{
    struct assay_arena arena;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    assay_arena_init(&arena);
    bool found = assay_platform_find(&arena, name, &platform, &runtime, NULL) == ASSAY_OK;
    assay_arena_release(&arena);
    return found;
}

static const char *cached_file(struct fixture *f)
{
    char **names = NULL;
    size_t n = 0;
    const char *folder = assay_path_join(&f->arena, f->folder, "cache/reference");
    CHECK_OK(assay_fs_list(folder, &f->arena, &names, &n, &f->err), f->err);
    CHECK_INT(n, 1);
    return assay_path_join(&f->arena, folder, names[0]);
}

ASSAY_TEST(onnxruntime_agrees_with_the_reference_on_a_small_model)
{
    struct fixture f;
    if (!has_platform("cpu/onnxruntime"))
        SKIP("ONNX Runtime is not here");
    setup(&f, testing_small_graph(), "cpu/onnxruntime", NULL, NULL);
    CHECK_OK(check(&f), f.err);
    CHECK(f.k.checked);
    CHECK(f.k.max_rel < 1e-5); /* a product of 8 terms and a softmax in f32 */
    CHECK_TEXT(f.k.worst, "y");
    CHECK_CONTAINS(f.k.note, "last timed run");
    CHECK_NEAR(f.k.tolerance, 1e-4, 0);
    teardown(&f);
}

ASSAY_TEST(a_wrong_output_is_a_mismatch_with_its_place)
{
    struct fixture f;
    setup(&f, testing_small_graph(), "cpu/fault", "mismatch", "reference");
    CHECK_INT(check(&f), ASSAY_MISMATCH);
    CHECK(f.k.checked);
    CHECK(f.k.max_rel > 0.01);
    CHECK_CONTAINS(f.err.message, "output 'y'");
    CHECK_CONTAINS(f.err.message, "element 0");
    f.c.tolerance = 10; /* a person's own tolerance wins */
    CHECK_OK(check(&f), f.err);
    teardown(&f);
}

ASSAY_TEST(where_nothing_is_compared_the_note_says_why)
{
    struct fixture f;
    setup(&f, testing_small_graph(), "cpu/null", NULL, NULL);
    CHECK_OK(check(&f), f.err);
    CHECK(!f.k.checked);
    CHECK_CONTAINS(f.k.note, "computes nothing");
    teardown(&f);
    setup(&f, testing_small_graph(), "cpu/reference", NULL, NULL);
    CHECK_OK(check(&f), f.err);
    CHECK(!f.k.checked);
    CHECK_CONTAINS(f.k.note, "is the reference");
    teardown(&f);
    setup(&f, testing_small_graph(), "cpu/fault", "mismatch", "reference");
    f.c.check = false;
    CHECK_OK(check(&f), f.err);
    CHECK(!f.k.checked);
    CHECK_CONTAINS(f.k.note, "no check");
    teardown(&f);
}

ASSAY_TEST(a_model_with_random_ops_is_not_compared)
{
    struct fixture f;
    struct assay_graph *graph = assay_graph_open("random");
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){-1, 8});
    assay_graph_add_output(graph, testing_node(graph, "RandomNormalLike", NUMBERS(x), "y"));
    setup(&f, graph, "cpu/fault", "mismatch", "reference");
    CHECK_OK(check(&f), f.err);
    CHECK(!f.k.checked);
    CHECK_CONTAINS(f.k.note, "random");
    teardown(&f);
}

ASSAY_TEST(the_references_outputs_are_kept_and_used_again)
{
    struct fixture f;
    struct assay_tensor other;
    setup(&f, testing_small_graph(), "cpu/fault", "mismatch", "reference");
    CHECK_INT(check(&f), ASSAY_MISMATCH);
    double first = f.k.max_abs;
    struct assay_map map;
    const char *path = cached_file(&f);
    CHECK_OK(assay_map_open(&map, path, &f.err), f.err);
    /* Shown by changing what is kept: the last float of the file is the last element of y. */
    char *bytes = assay_arena_memdup(&f.arena, map.data, map.size_bytes);
    size_t size = map.size_bytes;
    assay_map_release(&map);
    memcpy(bytes + size - 4, &(float){1e9f}, 4);
    CHECK_OK(assay_fs_write(path, bytes, size, &f.err), f.err);
    CHECK_INT(check(&f), ASSAY_MISMATCH);
    CHECK(f.k.max_abs > 1e8);
    /* Damaged, it is made anew. */
    CHECK_OK(assay_fs_write(path, bytes, size / 2, &f.err), f.err);
    CHECK_INT(check(&f), ASSAY_MISMATCH);
    CHECK_NEAR(f.k.max_abs, first, 0);
    /* Other inputs have outputs of their own. */
    CHECK_OK(assay_tensor_copy(&other, &f.inputs[0], &f.err), f.err);
    assay_tensor_release(&f.inputs[0]);
    f.inputs[0] = other;
    assay_tensor_set_real(&f.inputs[0], 0, 7);
    CHECK_INT(check(&f), ASSAY_MISMATCH);
    teardown(&f);
}

struct counted {
    const struct assay_graph *graph;
    int n_times;
};

static enum assay_status open_counted(void *context, const struct assay_graph **graph, struct assay_error *error)
{
    struct counted *counted = context;
    (void)error;
    counted->n_times++;
    *graph = counted->graph;
    return ASSAY_OK;
}

ASSAY_TEST(a_model_is_opened_only_where_the_references_outputs_are_not_kept)
{
    struct fixture f;
    setup(&f, testing_small_graph(), "cpu/fault", "mismatch", "reference");
    struct counted counted = {.graph = f.graph};
    const struct assay_correctness_model model = {false, open_counted, &counted};
    for (int i = 0; i < 2; i++) {
        CHECK_INT(assay_correctness_check(&f.c, f.graph, &model, f.inputs, f.runtime, f.program, &f.arena, &f.k, &f.err),
                  ASSAY_MISMATCH);
        CHECK(f.k.checked);
        CHECK_INT(counted.n_times, 1);
    }
    f.c.check = false;
    CHECK_OK(assay_correctness_check(&f.c, f.graph, &model, f.inputs, f.runtime, f.program, &f.arena, &f.k, &f.err), f.err);
    CHECK_INT(counted.n_times, 1);
    teardown(&f);
}

ASSAY_TEST(a_cache_that_cannot_be_written_only_costs_time)
{
    struct fixture f;
    setup(&f, testing_small_graph(), "cpu/fault", "mismatch", "reference");
    setenv("ASSAY_CACHE", "/dev/null/none", 1);
    f.c.tolerance = 10;
    CHECK_OK(check(&f), f.err);
    CHECK(f.k.checked);
    teardown(&f);
}

/* y = x + x with y the next x: after any number of runs, what is compared is a first run. */
ASSAY_TEST(with_states_a_first_run_is_compared)
{
    static const char *const platforms[] = {"cpu/onnxruntime", "cpu/reference"};
    for (size_t i = 0; i < ASSAY_COUNT(platforms); i++) {
        struct fixture f;
        struct assay_graph *graph = assay_graph_open("state");
        if (!has_platform(platforms[i]))
            SKIP("%s is not here", platforms[i]);
        int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){-1, 8});
        int y = testing_node(graph, "Add", NUMBERS(x, x), "y");
        assay_graph_add_output(graph, y);
        assay_graph_add_state(graph, 0, 0);
        setup(&f, graph, platforms[i], NULL, NULL);
        for (int run = 0; run < 3; run++)
            CHECK_OK(f.runtime->run(f.program, &f.err), f.err);
        CHECK_OK(check(&f), f.err);
        if (f.k.checked)
            CHECK_CONTAINS(f.k.note, "a first run");
        struct assay_tensor got;
        CHECK_OK(f.runtime->output(f.program, 0, &got, &f.err), f.err);
        CHECK_NEAR(assay_tensor_real(&got, 3), 2 * assay_tensor_real(&f.inputs[0], 3), 0);
        teardown(&f);
    }
}

ASSAY_TEST(tolerances_grow_as_precision_falls)
{
    CHECK(assay_tolerance("f64") < assay_tolerance("f32"));
    CHECK(assay_tolerance("f32") < assay_tolerance("f16"));
    CHECK(assay_tolerance("f16") < assay_tolerance("bf16"));
    CHECK_NEAR(assay_tolerance(NULL), assay_tolerance("f32"), 0);
    CHECK_NEAR(assay_tolerance("unheard"), assay_tolerance("f32"), 0);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(onnxruntime_agrees_with_the_reference_on_a_small_model),
                ASSAY_TEST_ENTRY(a_wrong_output_is_a_mismatch_with_its_place),
                ASSAY_TEST_ENTRY(where_nothing_is_compared_the_note_says_why),
                ASSAY_TEST_ENTRY(a_model_with_random_ops_is_not_compared),
                ASSAY_TEST_ENTRY(the_references_outputs_are_kept_and_used_again),
                ASSAY_TEST_ENTRY(a_model_is_opened_only_where_the_references_outputs_are_not_kept),
                ASSAY_TEST_ENTRY(a_cache_that_cannot_be_written_only_costs_time),
                ASSAY_TEST_ENTRY(with_states_a_first_run_is_compared), ASSAY_TEST_ENTRY(tolerances_grow_as_precision_falls))
