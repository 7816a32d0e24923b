/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/plan.h"

#include "bench/testing.h"

/* A folder with small.onnx (x: batch × 8) and fixed.onnx (x: 3 × 5); a spec for small.onnx on cpu/null. */
struct fixture {
    struct assay_arena arena;
    const char *folder;
    const char *small[1], *fixed[1], *null[1];
    struct assay_spec spec;
    struct assay_plan plan;
    struct assay_error err;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){.null = {"cpu/null"}};
    assay_arena_init(&f->arena);
    f->folder = testing_folder(&f->arena);
    f->small[0] = testing_save(&f->arena, f->folder, "small.onnx", testing_small_graph());
    struct assay_graph *fixed = assay_graph_open("fixed");
    int x = testing_input(fixed, "x", ASSAY_F32, 2, (const int64_t[]){3, 5});
    assay_graph_add_output(fixed, testing_node(fixed, "Relu", NUMBERS(x), "y"));
    f->fixed[0] = testing_save(&f->arena, f->folder, "fixed.onnx", fixed);
    assay_spec_init(&f->spec);
    f->spec.models = (struct assay_text_list){f->small, 1};
    f->spec.platforms = (struct assay_text_list){f->null, 1};
    assay_plan_init(&f->plan);
}

static void teardown(struct fixture *f)
{
    assay_plan_release(&f->plan);
    testing_folder_release(&f->arena, f->folder);
}

static void refused(const struct assay_spec *spec, enum assay_status wanted, const char *part)
{
    struct assay_plan plan;
    struct assay_error err = {0};
    assay_plan_init(&plan);
    enum assay_status st = assay_plan_add(&plan, spec, &err);
    assay_plan_release(&plan);
    CHECK_INT(st, wanted);
    CHECK_CONTAINS(err.message, part);
}

#define TEXTS(...)                                                                                                               \
    (struct assay_text_list) { (const char *[]){__VA_ARGS__}, ASSAY_COUNT(((const char *[]){__VA_ARGS__})) }
#define INTS(...)                                                                                                                \
    (struct assay_int_list) { (int64_t[]){__VA_ARGS__}, ASSAY_COUNT(((int64_t[]){__VA_ARGS__})) }

ASSAY_TEST(the_defaults_make_one_case)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 1);
    CHECK_INT(f.plan.n_left_out, 0);
    const struct assay_case *c = &f.plan.cases[0];
    CHECK_TEXT(c->model, "small");
    CHECK_INT(strlen(c->model_id), 64);
    CHECK_TEXT(c->scenario, "single-stream");
    CHECK_TEXT(c->mode, "inference");
    CHECK_TEXT(c->precision, "f32");
    CHECK_INT(c->batch, 1);
    CHECK_INT(c->threads, 1);
    CHECK_INT(c->parameters, 32);
    CHECK_INT(c->n_inputs, 1);
    CHECK_TEXT(assay_case_shape(c, &f.arena), "x=1x8");
    CHECK_TEXT(c->inputs[0].kind, "normal");
    CHECK(c->check);
    CHECK_NEAR(c->max_time, 10, 0);
    CHECK_NEAR(c->warmup_time, 2.5, 0);
    CHECK_NEAR(c->time_limit, 100, 1e-3); /* and 5 s for 1e9 FLOPs, of which there are hardly any */
    CHECK(c->model_path[0] == '/');
    teardown(&f);
}

ASSAY_TEST(cases_are_the_product_of_the_lists)
{
    struct fixture f;
    setup(&f);
    f.spec.batches = INTS(1, 4, 8);
    f.spec.threads = INTS(1, 2);
    f.spec.scenarios = TEXTS("single-stream", "offline");
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 12);
    int seen[9][3][2] = {{{0}}};
    for (size_t i = 0; i < 12; i++) {
        const struct assay_case *c = &f.plan.cases[i];
        CHECK_INT(++seen[c->batch][c->threads][strcmp(c->scenario, "offline") == 0], 1);
        CHECK_INT(c->inputs[0].type.dims[0], c->batch);
    }
    /* FLOPs follow the batch: 2 · 8 · 4 a row for the product, and what a softmax counts. */
    CHECK(f.plan.cases[0].flops >= 64);
    CHECK_NEAR(f.plan.cases[11].flops / f.plan.cases[0].flops, 8, 1e-9);
    teardown(&f);
}

ASSAY_TEST(what_cannot_be_is_left_out_with_its_reason)
{
    struct fixture f;
    setup(&f);
    f.spec.models = (struct assay_text_list){f.fixed, 1};
    f.spec.platforms = TEXTS("cpu/reference", "cpu/null");
    f.spec.batches = INTS(1, 8);
    f.spec.threads = INTS(1, 2);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 3); /* reference with one thread, null with one and two; all at the model's own batch */
    CHECK_INT(f.plan.n_left_out, 2);
    CHECK_CONTAINS(f.plan.left_out[0], "cpu/reference with 2 threads");
    CHECK_CONTAINS(f.plan.left_out[1], "fixed at batch 8");
    teardown(&f);
}

ASSAY_TEST(a_lower_precision_has_the_same_flops_and_fewer_bytes)
{
    struct fixture f;
    setup(&f);
    f.spec.precisions = TEXTS("bf16", "f32");
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 2);
    CHECK_INT(f.plan.n_left_out, 0);
    const struct assay_case *low = &f.plan.cases[0], *own = &f.plan.cases[1];
    CHECK_TEXT(low->precision, "bf16");
    CHECK(assay_case_converts(low) && !assay_case_converts(own));
    CHECK_CONTAINS(assay_case_command(low, &f.arena), "--precision bf16");
    CHECK(!strstr(assay_case_command(own, &f.arena), "--precision"));
    CHECK_NEAR(low->flops, own->flops, 0);
    CHECK_INT(low->parameters, own->parameters);
    CHECK(low->bytes > 0 && isfinite(own->bytes));
    teardown(&f);
}

ASSAY_TEST(what_cannot_be_converted_is_left_out)
{
    struct fixture f;
    struct assay_tensor w;
    struct assay_type type = assay_type_make(ASSAY_F16, 2, (const int64_t[]){4, 4});
    struct assay_graph *graph = assay_graph_open("half");
    setup(&f);
    f.spec.precisions = TEXTS("int8", "f64");
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 0);
    CHECK_INT(f.plan.n_left_out, 2);
    CHECK_CONTAINS(f.plan.left_out[0], "small in int8: the model is f32");
    CHECK_OK(assay_tensor_alloc(&w, &type, &f.err), f.err);
    memset(w.data, 0, 32);
    int x = testing_input(graph, "x", ASSAY_F16, 2, (const int64_t[]){1, 4}), weights = assay_graph_add_constant(graph, "w", &w);
    assay_tensor_release(&w);
    assay_graph_add_output(graph, testing_node(graph, "MatMul", NUMBERS(x, weights), "y"));
    f.small[0] = testing_save(&f.arena, f.folder, "half.onnx", graph);
    f.spec.precisions = TEXTS("bf16", "f16");
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 1);
    CHECK_TEXT(f.plan.cases[0].precision, "f16");
    CHECK(!assay_case_converts(&f.plan.cases[0]));
    CHECK_CONTAINS(f.plan.left_out[2], "half in bf16: the model is f16");
    teardown(&f);
}

ASSAY_TEST(a_model_that_generates_is_asked_for_requests)
{
    struct fixture f;
    setup(&f);
    f.spec.models = TEXTS(testing_llama(&f.arena, f.folder), f.small[0]);
    f.spec.new_tokens = INTS(0, 4);
    f.spec.batches = INTS(3);
    f.spec.dims = TEXTS("sequence=5");
    refused(&f.spec, ASSAY_INVALID, "small"); /* which has no such dimension */
    f.spec.models = TEXTS(testing_llama(&f.arena, f.folder));
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 2);
    const struct assay_case *pass = &f.plan.cases[0], *request = &f.plan.cases[1];
    CHECK_INT(pass->new_tokens, 0);
    CHECK_INT(request->new_tokens, 4);
    CHECK_TEXT(assay_case_shape(request, &f.arena), "input_ids=3x5 attention_mask=3x5 new_tokens=4");
    CHECK_TEXT(request->inputs[0].kind, "tokens:13");
    CHECK_TEXT(request->inputs[1].kind, "mask");
    CHECK_TEXT(request->model_id, pass->model_id);
    CHECK_CONTAINS(assay_case_command(request, &f.arena), "--new-tokens 4");
    CHECK_CONTAINS(assay_case_label(request, &f.arena), "4 new tokens");
    CHECK(strcmp(assay_case_id(request, "h", &f.arena), assay_case_id(pass, "h", &f.arena)) != 0);
    teardown(&f);
}

ASSAY_TEST(a_prompt_is_128_tokens_long_where_nobody_says_how_long)
{
    struct fixture f;
    setup(&f);
    f.spec.models = TEXTS(testing_llama(&f.arena, f.folder));
    f.spec.new_tokens = INTS(1);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_TEXT(assay_case_shape(&f.plan.cases[0], &f.arena), "input_ids=1x128 attention_mask=1x128 new_tokens=1");
    f.spec.shapes = TEXTS("input_ids=Nx7"); /* the mask is as long as what it masks */
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_TEXT(assay_case_shape(&f.plan.cases[1], &f.arena), "input_ids=1x7 attention_mask=1x7 new_tokens=1");
    f.spec.new_tokens = INTS(0);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_TEXT(assay_case_shape(&f.plan.cases[2], &f.arena), "input_ids=1x7 attention_mask=1x7");
    teardown(&f);
}

ASSAY_TEST(a_model_that_generates_nothing_is_left_out_of_requests)
{
    struct fixture f;
    setup(&f);
    f.spec.new_tokens = INTS(8);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 0);
    CHECK_INT(f.plan.n_left_out, 1);
    CHECK_CONTAINS(f.plan.left_out[0], "small with new tokens: the model generates no text");
    teardown(&f);
}

ASSAY_TEST(shapes_bind_what_is_free)
{
    struct fixture f;
    setup(&f);
    f.spec.shapes = TEXTS("x=Nx8");
    f.spec.batches = INTS(6);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_TEXT(assay_case_shape(&f.plan.cases[0], &f.arena), "x=6x8");
    f.spec.batches = INTS(1);
    f.spec.shapes = (struct assay_text_list){NULL, 0};
    f.spec.dims = TEXTS("batch=7");
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_TEXT(assay_case_shape(&f.plan.cases[1], &f.arena), "x=7x8");
    /* As a row's repro_command says it: the number where N was. */
    f.spec.dims = (struct assay_text_list){NULL, 0};
    f.spec.shapes = TEXTS("x=6x8");
    f.spec.batches = INTS(6, 5);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 3);
    CHECK_TEXT(assay_case_shape(&f.plan.cases[2], &f.arena), "x=6x8");
    CHECK_INT(f.plan.cases[2].batch, 6);
    CHECK_INT(f.plan.n_left_out, 1);
    CHECK_CONTAINS(f.plan.left_out[0], "batch 5: the model fixes its batch");
    teardown(&f);
}

ASSAY_TEST(a_shape_that_does_not_fit_is_refused_with_the_option)
{
    static const struct {
        const char *shape, *part;
    } bad[] = {
        {"x=1x9", "fixes dimension 1 at 8"},
        {"x=1", "has 1 dimensions, the model's input has 2"},
        {"x=1x8x1", "has 3 dimensions"},
        {"x=1x", "ends in x"},
        {"x=", "has 0 dimensions"},
        {"x=ax8", "no dimension"},
        {"x=-1x8", "no dimension"},
        {"x=1,8", "separated by x"},
        {"x=99999999999999999999x8", "no dimension"},
        {"x=1x1x1x1x1x1x1x1x1x1x1", "dimension"},
        {"z=1x8", "no input 'z'"},
        {"1x8", "NAME=VALUE"},
        {"=1", "NAME=VALUE"},
    };
    struct fixture f;
    setup(&f);
    for (size_t i = 0; i < ASSAY_COUNT(bad); i++) {
        f.spec.shapes = TEXTS(bad[i].shape);
        refused(&f.spec, ASSAY_INVALID, bad[i].part);
        refused(&f.spec, ASSAY_INVALID, "--shape");
    }
    teardown(&f);
}

ASSAY_TEST(a_dimension_that_stays_free_says_which_option_to_give)
{
    struct fixture f;
    struct assay_graph *graph = assay_graph_open("free");
    setup(&f);
    int x = testing_input(graph, "x", ASSAY_F32, 3, (const int64_t[]){-1, -1, 5});
    assay_graph_add_output(graph, testing_node(graph, "Relu", NUMBERS(x), "y"));
    f.small[0] = testing_save(&f.arena, f.folder, "free.onnx", graph);
    refused(&f.spec, ASSAY_INVALID, "--shape x=1x?x5");
    teardown(&f);
}

ASSAY_TEST(what_a_person_asks_wrongly_is_refused)
{
    struct fixture f;
    struct assay_spec good;
    setup(&f);
    good = f.spec;
#define REFUSED(change, part)                                                                                                    \
    do {                                                                                                                         \
        f.spec = good;                                                                                                           \
        f.spec.change;                                                                                                           \
        refused(&f.spec, ASSAY_INVALID, part);                                                                                   \
    } while (0)
    REFUSED(models.n = 0, "no model");
    REFUSED(platforms = TEXTS("cpu/nothing"), "cpu/reference");
    REFUSED(platforms = TEXTS("cpu"), "no platform 'cpu'");
    REFUSED(modes = TEXTS("sleeping"), "mode 'sleeping'");
    REFUSED(scenarios = TEXTS("Server"), "scenario 'Server'");
    REFUSED(batches = INTS(0), "batch 0");
    REFUSED(batches = INTS(INT64_MAX), "batch 9223372036854775807");
    REFUSED(threads = INTS(-1), "-1");
    REFUSED(seed = -1, "--seed -1 is out of range");
    REFUSED(optimization = -5, "--optimization -5 is out of range");
    REFUSED(shapes = TEXTS("x=0x8"), "at least one sample");
    REFUSED(threads = INTS(5000), "5000");
    REFUSED(new_tokens = INTS(-1), "--new-tokens -1");
    REFUSED(new_tokens = INTS(INT64_MAX), "--new-tokens 9223372036854775807");
    REFUSED(precisions = TEXTS("half"), "no precision 'half'");
    REFUSED(dims = TEXTS("sequence=3"), "no dimension of that name");
    REFUSED(dims = TEXTS("batch=many"), "'many'");
    REFUSED(dims = TEXTS("batch=-1"), "'-1'");
    REFUSED(dims = TEXTS("batch="), "--dim batch=");
    REFUSED(inputs = TEXTS("y=zeros"), "no input 'y'");
    REFUSED(options = TEXTS("loose"), "NAME=VALUE");
    REFUSED(platforms = TEXTS("cpu/native"); f.spec.isas = TEXTS("sse9"), "no instruction set tier 'sse9'");
    REFUSED(platforms = TEXTS("cpu/reference"); f.spec.options = TEXTS("foo=1"), "no option 'foo'");
    REFUSED(options = TEXTS("a=\xff"), "UTF-8");
    REFUSED(inputs = TEXTS("x=\xff"), "UTF-8");
    REFUSED(max_time = 0, "--max-time");
    REFUSED(max_time = INFINITY, "--max-time");
    REFUSED(min_time = -1, "--min-time");
    REFUSED(warmup_time = 1e30, "--warmup-time");
    REFUSED(interval = -0.1, "--interval");
    REFUSED(time_limit = 0, "--time-limit");
    REFUSED(latency_bound = 1e12, "--latency-bound");
    REFUSED(tolerance = -1, "--tolerance");
    REFUSED(memory_limit = -5, "--memory-limit");
    REFUSED(optimization = 4, "--optimization");
    teardown(&f);
}

ASSAY_TEST(a_model_that_cannot_be_loaded_is_named_and_the_others_go_on)
{
    struct fixture f;
    setup(&f);
    f.spec.models = TEXTS(assay_path_join(&f.arena, f.folder, "none.onnx"),
                          testing_write(&f.arena, f.folder, "broken.onnx", "no model at all"), f.folder, f.small[0]);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    CHECK_INT(f.plan.n_cases, 1);
    CHECK_INT(f.plan.n_unreadable, 3);
    CHECK_CONTAINS(f.plan.unreadable[0], "none.onnx");
    CHECK_CONTAINS(f.plan.unreadable[1], "broken.onnx");
    CHECK_CONTAINS(f.plan.unreadable[2], f.folder);
    f.spec.models = TEXTS(assay_path_join(&f.arena, f.folder, "\xff.onnx"));
    refused(&f.spec, ASSAY_INVALID, "UTF-8");
    teardown(&f);
}

ASSAY_TEST(an_override_replaces_what_it_says_and_nothing_else)
{
    struct assay_spec spec, over;
    assay_spec_init(&spec);
    assay_spec_init(&over);
    spec.name = "a";
    spec.batches = INTS(1, 2);
    spec.threads = INTS(3);
    spec.max_time = 5;
    spec.min_time = 1;
    spec.seed = 4;
    over.batches = INTS(9);
    over.max_time = 0.5;
    over.seed = 0;
    over.profile = true;
    assay_spec_override(&spec, &over);
    CHECK_TEXT(spec.name, "a");
    CHECK_INT(spec.batches.n, 1);
    CHECK_INT(spec.batches.items[0], 9);
    CHECK_INT(spec.threads.items[0], 3);
    CHECK_NEAR(spec.max_time, 0.5, 0);
    CHECK_NEAR(spec.min_time, 1, 0);
    CHECK_INT(spec.seed, 0);
    CHECK(spec.profile && !spec.no_check);
}

ASSAY_TEST(the_plans_id_depends_on_its_cases_and_their_order)
{
    struct fixture f;
    struct assay_plan same, other;
    setup(&f);
    assay_plan_init(&same);
    assay_plan_init(&other);
    f.spec.batches = INTS(1, 2);
    CHECK_OK(assay_plan_add(&f.plan, &f.spec, &f.err), f.err);
    f.spec.max_time = 1; /* how long is no part of it */
    CHECK_OK(assay_plan_add(&same, &f.spec, &f.err), f.err);
    f.spec.batches = INTS(2, 1);
    CHECK_OK(assay_plan_add(&other, &f.spec, &f.err), f.err);
    CHECK_INT(strlen(assay_plan_id(&f.plan, "h")), 8);
    CHECK_TEXT(assay_plan_id(&f.plan, "h"), assay_plan_id(&same, "h"));
    CHECK(strcmp(assay_plan_id(&f.plan, "h"), assay_plan_id(&other, "h")) != 0);
    CHECK(strcmp(assay_plan_id(&f.plan, "h"), assay_plan_id(&f.plan, "i")) != 0);
    assay_plan_release(&same);
    assay_plan_release(&other);
    teardown(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(the_defaults_make_one_case), ASSAY_TEST_ENTRY(cases_are_the_product_of_the_lists),
                ASSAY_TEST_ENTRY(what_cannot_be_is_left_out_with_its_reason),
                ASSAY_TEST_ENTRY(a_lower_precision_has_the_same_flops_and_fewer_bytes),
                ASSAY_TEST_ENTRY(what_cannot_be_converted_is_left_out),
                ASSAY_TEST_ENTRY(a_model_that_generates_is_asked_for_requests),
                ASSAY_TEST_ENTRY(a_prompt_is_128_tokens_long_where_nobody_says_how_long),
                ASSAY_TEST_ENTRY(a_model_that_generates_nothing_is_left_out_of_requests),
                ASSAY_TEST_ENTRY(shapes_bind_what_is_free),
                ASSAY_TEST_ENTRY(a_shape_that_does_not_fit_is_refused_with_the_option),
                ASSAY_TEST_ENTRY(a_dimension_that_stays_free_says_which_option_to_give),
                ASSAY_TEST_ENTRY(what_a_person_asks_wrongly_is_refused),
                ASSAY_TEST_ENTRY(a_model_that_cannot_be_loaded_is_named_and_the_others_go_on),
                ASSAY_TEST_ENTRY(an_override_replaces_what_it_says_and_nothing_else),
                ASSAY_TEST_ENTRY(the_plans_id_depends_on_its_cases_and_their_order))
