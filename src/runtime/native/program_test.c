/* SPDX-License-Identifier: Apache-2.0 */
/* What a native program holds and tells: weights that it gives back, memory, the profile's costs. */
#include "runtime/native/testing.h"

enum { ROWS = 4, SIZE = 128 };

static void count_release(void *context) { ++*(int *)context; }

/* A [SIZE, SIZE] constant that counts when its bytes go. */
static int counted_constant(struct assay_graph *graph, const char *name, float *bytes, int *n_released)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 2, (const int64_t[]){SIZE, SIZE});
    struct assay_tensor tensor;
    for (int i = 0; i < SIZE * SIZE; i++)
        bytes[i] = (float)((i * 37) % 101 - 50) / 500;
    assay_tensor_adopt(&tensor, &type, bytes, count_release, n_released);
    int number = assay_graph_add_constant(graph, name, &tensor);
    assay_tensor_release(&tensor);
    return number;
}

static int rows_input(struct assay_graph *graph)
{
    return testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){ROWS, SIZE});
}

static const struct assay_runtime *native_runtime(struct assay_platform *found)
{
    struct assay_arena arena;
    struct assay_error err;
    const struct assay_runtime *runtime;
    assay_arena_init(&arena);
    CHECK_OK(assay_platform_find(&arena, "cpu/native", found, &runtime, &err), err);
    assay_arena_release(&arena);
    return runtime;
}

/* Compiles, gives the graph's constants up, binds and runs; returns the program. The graph is closed. */
static struct assay_program *give_and_run(struct assay_graph *graph, const struct assay_tensor *input, bool profile)
{
    struct assay_error err;
    struct assay_platform found;
    struct assay_program *program;
    const struct assay_runtime *runtime = native_runtime(&found);
    struct assay_compile_options options = {
        .platform = &found, .n_threads = 1, .isa = testing_isa("cpu/native"), .profile = profile, .gives_weights = true};
    CHECK(runtime->takes_weights);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(runtime->compile(graph, &options, &program, &err), err);
    assay_graph_close(graph);
    CHECK_OK(runtime->bind(program, input, &err), err);
    CHECK_OK(runtime->run(program, &err), err);
    return program;
}

static struct assay_tensor random_rows(void)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 2, (const int64_t[]){ROWS, SIZE});
    return testing_random(&type, 7);
}

/* Two products with one weight: the second finds what the first has packed. */
static struct assay_graph *tied_products(float *bytes, int *n_released)
{
    struct assay_graph *graph = assay_graph_open("tied");
    int x = rows_input(graph), w = counted_constant(graph, "w", bytes, n_released);
    int y = testing_node(graph, "MatMul", 2, (int[]){x, w}, "y");
    int z = testing_node(graph, "Relu", 1, &y, "z");
    assay_graph_add_output(graph, testing_node(graph, "MatMul", 2, (int[]){z, w}, "result"));
    return graph;
}

ASSAY_TEST(a_weight_is_freed_once_all_its_readers_have_packed_it)
{
    static float bytes[SIZE * SIZE], other_bytes[SIZE * SIZE];
    int n_released = 0, n_others = 0;
    struct assay_error err;
    struct assay_platform found;
    struct assay_tensor input = random_rows(), got, wanted;
    const struct assay_runtime *native = native_runtime(&found), *reference;
    struct assay_program *program = give_and_run(tied_products(bytes, &n_released), &input, false);
    CHECK_INT(n_released, 1);
    memset(bytes, 0xff, sizeof bytes); /* NaN, if anybody looked */
    CHECK_OK(native->run(program, &err), err);
    struct assay_graph *graph = tied_products(other_bytes, &n_others);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    struct assay_program *other = testing_start("cpu/reference", graph, 1, &input, &reference);
    CHECK_OK(native->output(program, 0, &got, &err), err);
    CHECK_OK(reference->output(other, 0, &wanted, &err), err);
    CHECK(assay_tensor_compare(&got, &wanted, 0, 0).max_rel <= 2e-5); /* sums of 128 terms in f32, twice */
    native->release(program);
    reference->release(other);
    assay_graph_close(graph);
    CHECK_INT(n_others, 1);
    assay_tensor_release(&input);
}

ASSAY_TEST(a_weight_that_somebody_reads_as_it_is_stays)
{
    static float bytes[SIZE * SIZE];
    int n_released = 0;
    struct assay_platform found;
    struct assay_tensor input = random_rows();
    struct assay_runtime_memory memory;
    const struct assay_runtime *native = native_runtime(&found);
    struct assay_graph *graph = assay_graph_open("read");
    int x = rows_input(graph), w = counted_constant(graph, "w", bytes, &n_released);
    int y = testing_node(graph, "MatMul", 2, (int[]){x, w}, "y");
    int sum = testing_node(graph, "ReduceSum", 1, &y, "sum"), first = testing_node(graph, "Cast", 1, &sum, "first");
    assay_node_set_int(graph, testing_last(graph), "to", ASSAY_I64);
    int none = testing_node(graph, "Sub", 2, (int[]){first, first}, "none"); /* an index that is not known before the run */
    assay_graph_add_output(graph, testing_node(graph, "Gather", 2, (int[]){w, none}, "row"));
    struct assay_program *program = give_and_run(graph, &input, false);
    CHECK_INT(n_released, 0);
    native->memory(program, &memory);
    CHECK(memory.weights_bytes >= 2 * (int64_t)sizeof bytes); /* packed, and as it is */
    CHECK(memory.peak_bytes >= memory.weights_bytes + memory.workspace_bytes);
    native->release(program);
    CHECK_INT(n_released, 1);
    assay_tensor_release(&input);
}

/* 2 · 4 · 128 · 128 each, whatever op the passes made of them; x, weight and y are read and written once each. */
ASSAY_TEST(the_profile_tells_what_each_product_costs)
{
    static float bytes[SIZE * SIZE];
    int n_released = 0, n = 0, n_products = 0;
    struct assay_error err;
    struct assay_platform found;
    struct assay_tensor input = random_rows();
    const struct assay_op_time *times;
    const struct assay_runtime *native = native_runtime(&found);
    struct assay_program *program = give_and_run(tied_products(bytes, &n_released), &input, true);
    CHECK_OK(native->profile(program, &times, &n, &err), err);
    for (int i = 0; i < n; i++) {
        CHECK(times[i].run == 0 && times[i].wall_ns >= 0);
        CHECK(i == 0 || times[i].start_ns >= times[i - 1].start_ns + times[i - 1].wall_ns);
        if (times[i].flops < 2 * ROWS * SIZE * SIZE)
            continue;
        CHECK_NEAR(times[i].flops, 2 * ROWS * SIZE * SIZE, 0);
        CHECK_NEAR(times[i].bytes, 4 * (2 * ROWS * SIZE + SIZE * SIZE), 0);
        CHECK_INT(times[i].dtype, ASSAY_F32);
        n_products++;
    }
    CHECK_INT(n_products, 2);
    native->release(program);
    assay_tensor_release(&input);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_weight_is_freed_once_all_its_readers_have_packed_it),
                ASSAY_TEST_ENTRY(a_weight_that_somebody_reads_as_it_is_stays),
                ASSAY_TEST_ENTRY(the_profile_tells_what_each_product_costs))
