/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions, pools and what else runs channels last, against the reference kernels, which sum in double. */
#include "base/rng.h"
#include "graph/infer.h"
#include "runtime/native/isa.h"
#include "runtime/native/testing.h"

enum { MAX_ATTRS = 8, MAX_INPUTS = 4 };

/* One node with random input x and random constants; dims as "2,3,9,11". */
struct form {
    const char *type, *domain, *x, *inputs[MAX_INPUTS]; /* of inputs 1, 2, …; "" = not given, NULL = the end */
    struct {
        const char *name, *values; /* "1,2" = INTS, "=3" = INT, "~0.5" = FLOAT, else a string after ':' */
    } attrs[MAX_ATTRS];
    const char *residual; /* the type's dims of a further graph input, the node's last */
};

static struct assay_type type_of(enum assay_dtype dtype, const char *dims)
{
    struct assay_type type = {.dtype = dtype};
    for (char *at = (char *)dims; *at; at += *at == ',')
        type.dims[type.rank++] = strtoll(at, &at, 10);
    return type;
}

static void set_attr(struct assay_graph *graph, struct assay_node *node, const char *name, const char *text)
{
    if (*text == '=') {
        assay_node_set_int(graph, node, name, atoi(text + 1));
    } else if (*text == '~') {
        assay_node_set_float(graph, node, name, (float)atof(text + 1));
    } else if (*text == ':') {
        assay_node_set_string(graph, node, name, text + 1);
    } else {
        struct assay_type list = type_of(ASSAY_I64, text);
        assay_node_set_ints(graph, node, name, list.dims, (size_t)list.rank);
    }
}

static void fill(struct assay_tensor *tensor, struct assay_rng *rng, const struct assay_type *type)
{
    struct assay_error err;
    CHECK_OK(assay_tensor_alloc(tensor, type, &err), err);
    for (int64_t i = 0; i < assay_type_count(type); i++)
        assay_tensor_set_real(tensor, i, assay_rng_uniform(rng) - 0.5);
}

/* Sizes: the numbers themselves. */
static void list(struct assay_tensor *tensor, const struct assay_type *numbers)
{
    struct assay_error err;
    int64_t n = numbers->rank;
    struct assay_type type = assay_type_make(ASSAY_I64, 1, &n);
    CHECK_OK(assay_tensor_alloc(tensor, &type, &err), err);
    memcpy(tensor->data, numbers->dims, (size_t)n * sizeof *numbers->dims);
}

/* The graph, and its inputs (x, residual). */
static struct assay_graph *make_graph(const struct form *f, enum assay_dtype dtype, struct assay_tensor inputs[2])
{
    struct assay_rng rng;
    struct assay_graph *graph = assay_graph_open("form");
    struct assay_type type = type_of(dtype, f->x);
    int numbers[MAX_INPUTS + 2], n = 0, y = assay_graph_add_value(graph, "y", NULL);
    graph->opset = 20;
    assay_rng_init(&rng, 7, 0);
    fill(&inputs[0], &rng, &type);
    numbers[n++] = assay_graph_add_value(graph, "x", &type);
    assay_graph_add_input(graph, numbers[0]);
    for (int k = 0; k < MAX_INPUTS && f->inputs[k]; k++) {
        struct assay_tensor constant = {0};
        type = type_of(dtype, f->inputs[k]);
        numbers[n] = -1;
        if (*f->inputs[k]) {
            if (strcmp(f->type, "Resize") == 0)
                list(&constant, &type);
            else
                fill(&constant, &rng, &type);
            numbers[n] = assay_graph_add_constant(graph, "c", &constant);
        }
        n++;
        assay_tensor_release(&constant);
    }
    if (f->residual) {
        type = type_of(dtype, f->residual);
        fill(&inputs[1], &rng, &type);
        numbers[n] = assay_graph_add_value(graph, "residual", &type);
        assay_graph_add_input(graph, numbers[n++]);
    }
    struct assay_node *node = assay_graph_add_node(graph, f->type, f->domain, n, numbers, 1, &y);
    for (int i = 0; i < MAX_ATTRS && f->attrs[i].name; i++)
        set_attr(graph, node, f->attrs[i].name, f->attrs[i].values);
    assay_graph_add_output(graph, y);
    return graph;
}

/* The output, the caller's to release, and whether values were reordered: only kernels for channels last want that. */
static bool run(const char *name, const struct assay_graph *graph, const struct assay_tensor *inputs, int n_threads,
                struct assay_tensor *y)
{
    struct assay_arena arena;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    struct assay_program *program;
    struct assay_error err;
    struct assay_tensor borrowed = {0};
    const struct assay_op_time *times;
    int n_times = 0;
    bool reordered = false;
    assay_arena_init(&arena);
    CHECK_OK(assay_platform_find(&arena, name, &platform, &runtime, &err), err);
    struct assay_compile_options options = {
        .platform = &platform, .n_threads = n_threads, .isa = testing_isa(name), .profile = true, .optimization = 3};
    CHECK_OK(runtime->compile(graph, &options, &program, &err), err);
    CHECK_OK(runtime->bind(program, inputs, &err), err);
    for (int i = 0; i < 2; i++)
        CHECK_OK(runtime->run(program, &err), err);
    CHECK_OK(runtime->output(program, 0, &borrowed, &err), err);
    CHECK_OK(assay_tensor_copy(y, &borrowed, &err), err);
    CHECK_OK(runtime->profile(program, &times, &n_times, &err), err);
    for (int i = 0; i < n_times; i++)
        reordered |= strcmp(times[i].type, "Reorder") == 0;
    runtime->release(program);
    assay_arena_release(&arena);
    return reordered;
}

/* oneDNN has no products of bf16 before AVX-512: there they are the reference kernels'. */
static bool is_library_s(enum assay_dtype dtype)
{
    struct assay_error err;
    enum native_isa isa;
    CHECK_OK(native_isa_find(testing_isa("cpu/native"), &isa, &err), err);
    return dtype != ASSAY_BF16 || isa >= NATIVE_ISA_AVX512;
}

/* Equal to the reference within `tolerance` of the largest magnitude, whatever the threads; `taken` by a kernel of ours. */
static void check(const struct form *f, enum assay_dtype dtype, bool taken, double tolerance)
{
    struct assay_tensor inputs[2] = {{{0}}, {{0}}}, wanted = {{0}};
    struct assay_error err;
    struct assay_graph *graph = make_graph(f, dtype, inputs);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    run("cpu/reference", graph, inputs, 1, &wanted);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        struct assay_tensor got = {{0}};
        bool reordered = run("cpu/native", graph, inputs, n_threads, &got);
        struct assay_difference difference = assay_tensor_compare(&got, &wanted, 0, 0);
        bool is_right_kernel = reordered == taken || !is_library_s(dtype);
        if (!difference.same_type || !(difference.max_rel <= tolerance) || !is_right_kernel)
            fprintf(stderr, "%s of %s with %s, %d threads: %g, %s\n", f->type, f->x, f->inputs[0] ? f->inputs[0] : "", n_threads,
                    difference.max_rel, reordered ? "reordered" : "not reordered");
        CHECK(difference.same_type);
        CHECK(difference.max_rel <= tolerance);
        CHECK(is_right_kernel);
        assay_tensor_release(&got);
    }
    assay_graph_close(graph);
    assay_tensor_release(&wanted);
    for (int i = 0; i < 2; i++)
        assay_tensor_release(&inputs[i]);
}

/* f32: sums of up to some thousand products in another order. bf16: one rounding of the result, 2^-8. */
static void check_all(const struct form *forms, size_t n, bool taken)
{
    for (size_t i = 0; i < n; i++) {
        check(&forms[i], ASSAY_F32, taken, 1e-5);
        check(&forms[i], ASSAY_BF16, taken, 8e-3);
    }
}

ASSAY_TEST(convolutions_are_the_reference_s)
{
    static const struct form forms[] = {
        {"Conv", "", "1,3,17,19", {"8,3,3,3", "8"}, {{"pads", "1,1,1,1"}}, NULL},
        {"Conv", "", "2,20,33,31", {"40,20,3,3", "40"}, {{"pads", "0,1,2,1"}, {"strides", "2,1"}}, NULL},
        {"Conv", "", "3,16,40,40", {"24,16,5,3", ""}, {{"dilations", "2,3"}, {"auto_pad", ":SAME_UPPER"}}, NULL},
        {"Conv", "", "5,64,14,14", {"64,64,3,3", "64"}, {{"pads", "1,1,1,1"}}, NULL},
        {"Conv", "", "1,256,7,7", {"272,256,3,3", "272"}, {{"pads", "1,1,1,1"}}, NULL},
        {"Conv", "", "1,64,56,56", {"256,64,1,1", "256"}, {{0}}, NULL},
        {"Conv", "", "1,64,56,56", {"32,64,1,1", "32"}, {{"strides", "3,3"}}, NULL},
        {"Conv", "", "2,96,28,28", {"96,1,3,3", "96"}, {{"group", "=96"}, {"pads", "1,1,1,1"}, {"strides", "2,2"}}, NULL},
        {"Conv", "", "1,32,64,64", {"32,1,5,5", "32"}, {{"group", "=32"}, {"pads", "2,2,2,2"}}, NULL},
        {"Conv", "", "1,32,30,30", {"64,8,3,3", "64"}, {{"group", "=4"}, {"pads", "1,1,1,1"}}, NULL},
        {"Conv", "", "1,80,301", {"64,80,3", "64"}, {{"pads", "1,1"}, {"strides", "2"}}, NULL},
        {"Conv", "", "2,8,9,10,11", {"16,8,3,2,3", "16"}, {{"pads", "1,0,1,1,1,1"}}, NULL},
        {"Conv", "", "1,96,1,320", {"96,96,1,3", "96"}, {{"pads", "0,1,0,1"}}, NULL},
        {"Conv", "", "2,24,23,21", {"40,24,1,1", "40"}, {{0}}, NULL},
        {"Conv", "", "3,5,9,9", {"117,5,1,1", ""}, {{0}}, NULL},
        {"Conv", "", "3,16,101", {"72,16,5", "72"}, {{"pads", "3,4"}, {"strides", "3"}}, NULL},
        {"Conv", "", "2,300,150", {"150,300,3", ""}, {{"pads", "2,1"}, {"strides", "2"}}, NULL},
        {"Conv", "", "40,8,2", {"16,8,5", "16"}, {{"pads", "4,4"}}, NULL},
        {"Conv", "", "1,16,1,200", {"19,16,1,2", "19"}, {{"strides", "1,5"}}, NULL},
    };
    check_all(forms, ASSAY_COUNT(forms), true);
}

ASSAY_TEST(residuals_and_activations_follow_a_convolution)
{
    static const struct form forms[] = {
        {"Conv", "assay", "1,64,28,28", {"64,64,3,3", "64"}, {{"pads", "1,1,1,1"}, {"activation", ":Relu"}}, "1,64,28,28"},
        {"Conv", "assay", "1,256,7,7", {"256,256,3,3", "256"}, {{"pads", "1,1,1,1"}, {"activation", ":Swish"}}, "1,256,7,7"},
        {"Conv", "assay", "3,32,20,20", {"48,32,1,1", ""}, {{"activation", ":LeakyRelu"}, {"alpha", "~0.1"}}, "3,48,20,20"},
        {"Conv", "assay", "2,40,20,20", {"24,40,1,1", "24"}, {{"activation", ":HardSwish"}}, "2,24,20,20"},
        {"Conv", "assay", "1,40,19,19", {"70,40,1,1", "70"}, {{"activation", ":Relu"}}, "1,70,19,19"},
        {"Conv",
         "assay",
         "2,300,70",
         {"40,300,3", "40"},
         {{"pads", "1,1"}, {"activation", ":Clip"}, {"alpha", "~-0.5"}, {"beta", "~0.5"}},
         "2,40,70"},
        {"Conv", "assay", "2,32,20,20", {"32,1,3,3", "32"}, {{"group", "=32"}, {"activation", ":HardSwish"}}, NULL},
        {"Conv", "assay", "2,39,50", {"39,1,5", "39"}, {{"group", "=39"}, {"pads", "2,2"}, {"activation", ":Relu"}}, "2,39,50"},
        {"Conv", "assay", "1,7,50", {"7,1,5", ""}, {{"group", "=7"}, {"pads", "0,4"}, {"activation", ":Gelu"}}, "1,7,50"},
        {"Conv", "assay", "1,3,32,32", {"16,3,3,3", "16"}, {{"activation", ":Clip"}, {"alpha", "~0"}, {"beta", "~0.5"}}, NULL},
    };
    check_all(forms, ASSAY_COUNT(forms), true);
}

ASSAY_TEST(transposed_convolutions_are_the_reference_s)
{
    static const struct form forms[] = {
        {"ConvTranspose", "", "2,24,40,37", {"24,10,2,2", "10"}, {{"strides", "2,2"}}, NULL},
        {"ConvTranspose", "", "1,6,5,8,7", {"6,5,2,3,2", "5"}, {{"strides", "2,3,2"}}, NULL},
        {"ConvTranspose", "", "1,16,50", {"16,8,4", ""}, {{"strides", "4"}}, NULL},
        {"ConvTranspose", "", "2,32,14,14", {"32,16,3,3", "16"}, {{"strides", "2,2"}, {"pads", "1,1,1,1"}}, NULL},
        {"ConvTranspose", "", "1,32,14,14", {"32,16,4,4", "16"}, {{"strides", "2,2"}, {"pads", "1,1,1,1"}}, NULL},
        {"ConvTranspose", "", "1,16,9,9", {"16,16,3,3", ""}, {{"strides", "2,2"}, {"output_padding", "1,1"}}, NULL},
    };
    check_all(forms, ASSAY_COUNT(forms), true);
}

ASSAY_TEST(depthwise_convolutions_are_the_reference_s)
{
    static const struct form forms[] = {
        {"Conv", "", "2,37,11", {"37,1,31", "37"}, {{"group", "=37"}, {"pads", "15,15"}}, NULL},
        {"Conv", "", "1,130,53", {"130,1,5", ""}, {{"group", "=130"}, {"pads", "7,3"}, {"dilations", "2"}}, NULL},
        {"Conv", "", "1,3,29,31", {"3,1,5,5", "3"}, {{"group", "=3"}, {"pads", "2,2,2,2"}}, NULL},
        {"Conv", "", "2,20,9,40", {"20,1,3,7", "20"}, {{"group", "=20"}, {"pads", "1,2,1,3"}, {"dilations", "1,3"}}, NULL},
        {"Conv", "", "1,20,13,13", {"20,1,3,3", "20"}, {{"group", "=20"}, {"pads", "1,1,1,1"}, {"strides", "2,3"}}, NULL},
        {"Conv", "", "1,65,16,17", {"65,1,3,3", ""}, {{"group", "=65"}, {"pads", "8,8,8,8"}, {"dilations", "8,8"}}, NULL},
        {"Conv", "", "1,33,5,6,7", {"33,1,3,3,3", "33"}, {{"group", "=33"}, {"pads", "1,1,1,1,1,1"}}, NULL},
        {"Conv", "", "1,6,4,5,9", {"6,1,1,2,5", "6"}, {{"group", "=6"}, {"pads", "0,1,2,0,0,3"}, {"strides", "2,1,1"}}, NULL},
        {"Conv", "", "3,48,7,7", {"48,1,7,7", "48"}, {{"group", "=48"}, {"pads", "3,3,3,3"}}, NULL},
        {"ConvTranspose", "", "2,19,7,9", {"19,1,4,4", "19"}, {{"group", "=19"}, {"strides", "2,2"}, {"pads", "1,1,1,1"}}, NULL},
        {"ConvTranspose", "", "1,32,10", {"32,1,3", ""}, {{"group", "=32"}, {"strides", "5"}, {"output_padding", "2"}}, NULL},
        {"ConvTranspose", "", "1,5,8,6", {"5,1,3,5", "5"}, {{"group", "=5"}, {"strides", "4,6"}, {"dilations", "2,9"}}, NULL},
        {"ConvTranspose", "", "1,70,4,5,6", {"70,1,2,3,3", "70"}, {{"group", "=70"}, {"strides", "1,2,3"}}, NULL},
    };
    for (size_t i = 0; i < ASSAY_COUNT(forms); i++)
        check(&forms[i], ASSAY_F32, true, 1e-5);
}

/* Whatever the window; of those that ONNX allows, some of whose outputs see nothing but padding are not taken. */
ASSAY_TEST(depthwise_convolutions_of_random_windows_are_the_reference_s)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 11, 0);
    for (int i = 0; i < 60; i++) {
        char x[64], w[64], bias[16], group[16], pads[32], strides[32], dilations[32];
        int channels = 2 + (int)assay_rng_below(&rng, 50), k[2], d[2], s[2], n[2], p[4];
        for (int j = 0; j < 2; j++) {
            k[j] = 1 + (int)assay_rng_below(&rng, 6);
            d[j] = 1 + (int)assay_rng_below(&rng, 3);
            s[j] = 1 + (int)assay_rng_below(&rng, 3);
            int reach = (k[j] - 1) * d[j];
            n[j] = reach + 1 + (int)assay_rng_below(&rng, 24);
            p[j] = (int)assay_rng_below(&rng, (uint64_t)reach / 2 + 1);
            p[2 + j] = (int)assay_rng_below(&rng, (uint64_t)reach / 2 + 1);
        }
        snprintf(x, sizeof x, "%d,%d,%d,%d", 1 + i % 2, channels, n[0], n[1]);
        snprintf(w, sizeof w, "%d,1,%d,%d", channels, k[0], k[1]);
        snprintf(bias, sizeof bias, "%d", channels);
        snprintf(group, sizeof group, "=%d", channels);
        snprintf(pads, sizeof pads, "%d,%d,%d,%d", p[0], p[1], p[2], p[3]);
        snprintf(strides, sizeof strides, "%d,%d", s[0], s[1]);
        snprintf(dilations, sizeof dilations, "%d,%d", d[0], d[1]);
        struct form form = {i % 3 ? "Conv" : "ConvTranspose",
                            "",
                            x,
                            {w, bias},
                            {{"group", group}, {"pads", pads}, {"strides", strides}, {"dilations", dilations}},
                            NULL};
        check(&form, ASSAY_F32, true, 1e-5);
    }
}

ASSAY_TEST(pools_are_the_reference_s)
{
    static const struct form forms[] = {
        {"MaxPool", "", "1,64,41,39", {0}, {{"kernel_shape", "3,3"}, {"strides", "2,2"}, {"pads", "1,1,1,1"}}, NULL},
        {"MaxPool", "", "2,5,20,20", {0}, {{"kernel_shape", "2,3"}, {"dilations", "2,1"}, {"ceil_mode", "=1"}}, NULL},
        {"MaxPool", "", "1,7,6,7,8", {0}, {{"kernel_shape", "2,2,2"}, {"strides", "2,2,2"}}, NULL},
        {"AveragePool", "", "1,17,30,30", {0}, {{"kernel_shape", "3,3"}, {"pads", "1,1,1,1"}}, NULL},
        {"AveragePool",
         "",
         "2,16,23,23",
         {0},
         {{"kernel_shape", "3,3"}, {"pads", "1,0,1,1"}, {"count_include_pad", "=1"}, {"strides", "2,2"}, {"ceil_mode", "=1"}},
         NULL},
        {"AveragePool", "", "1,16,400", {0}, {{"kernel_shape", "5"}, {"strides", "3"}}, NULL},
        {"GlobalAveragePool", "", "3,100,31,33", {0}, {{0}}, NULL},
        {"GlobalAveragePool", "", "1,3,100,100", {0}, {{0}}, NULL},
        {"GlobalMaxPool", "", "1,100,31,33", {0}, {{0}}, NULL},
    };
    check_all(forms, ASSAY_COUNT(forms), true);
}

ASSAY_TEST(images_are_resized_as_the_reference_does)
{
    static const struct form forms[] = {
        {"Resize", "", "2,17,13,15", {"", "", "2,17,26,30"}, {{"mode", ":nearest"}}, NULL},
        {"Resize", "", "1,24,20,20", {"", "", "1,24,40,33"}, {{"mode", ":linear"}}, NULL},
        {"Resize",
         "",
         "1,5,12,9",
         {"", "", "1,5,30,40"},
         {{"mode", ":linear"}, {"coordinate_transformation_mode", ":align_corners"}},
         NULL},
        {"Resize", "", "1,8,12,12", {"", "", "1,8,7,31"}, {{"mode", ":cubic"}}, NULL},
        {"Resize", "", "1,6,5,6,7", {"", "", "1,6,9,8,14"}, {{"mode", ":linear"}}, NULL},
    };
    check_all(forms, ASSAY_COUNT(forms), true);
}

ASSAY_TEST(what_a_kernel_does_not_take_runs_on_the_reference)
{
    static const struct form forms[] = {
        {"Conv", "", "0,3,8,8", {"4,3,3,3", "4"}, {{0}}, NULL},
        {"Conv", "", "1,3,8,8", {"4,3,1,1", "4"}, {{"pads", "1,1,1,1"}}, NULL},
    };
    check_all(forms, ASSAY_COUNT(forms), false);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(convolutions_are_the_reference_s),
                ASSAY_TEST_ENTRY(residuals_and_activations_follow_a_convolution),
                ASSAY_TEST_ENTRY(transposed_convolutions_are_the_reference_s),
                ASSAY_TEST_ENTRY(depthwise_convolutions_are_the_reference_s),
                ASSAY_TEST_ENTRY(depthwise_convolutions_of_random_windows_are_the_reference_s),
                ASSAY_TEST_ENTRY(pools_are_the_reference_s), ASSAY_TEST_ENTRY(images_are_resized_as_the_reference_does),
                ASSAY_TEST_ENTRY(what_a_kernel_does_not_take_runs_on_the_reference))
