/* SPDX-License-Identifier: Apache-2.0 */
/* Needs against sums done by hand, and against published formulas. */
#include "model/memory.h"

#include "graph/testing.h"
#include "model/presets.h"

static struct assay_error err;

#define DIMS(...)                                                                                                                \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { __VA_ARGS__ }

static const struct assay_memory_need *find(const struct assay_memory_need *needs, int n, const char *mode, const char *precision,
                                            const char *optimizer)
{
    for (int i = 0; i < n; i++)
        if (strcmp(needs[i].mode, mode) == 0 && strcmp(needs[i].precision, precision) == 0 &&
            strcmp(needs[i].optimizer ? needs[i].optimizer : "", optimizer) == 0)
            return &needs[i];
    CHECK(false);
    return needs;
}

/* y = relu(x·W + b) of 8×16 by 16×32. Inference: the product, over which sum and ReLU are written. Training keeps the ReLU's
 * output; x is an input, the sum keeps nothing. */
ASSAY_TEST(a_dense_layer_needs_what_its_parts_sum_to)
{
    struct assay_graph *graph = assay_graph_open("dense");
    double values[512] = {0};
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(8, 16));
    struct assay_type type = assay_type_make(ASSAY_F32, DIMS(16, 32));
    struct assay_tensor flat = testing_tensor(ASSAY_F32, values, 512), weight;
    assay_tensor_view(&weight, &flat, &type);
    int w = assay_graph_add_constant(graph, "w", &weight);
    assay_tensor_release(&flat);
    assay_tensor_release(&weight);
    int b = testing_constant(graph, "b", ASSAY_F32, values, 32);
    int product = testing_node(graph, "MatMul", NUMBERS(x, w), "product"),
        sum = testing_node(graph, "Add", NUMBERS(product, b), "sum");
    assay_graph_add_output(graph, testing_node(graph, "Relu", NUMBERS(sum), "y"));
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);

    struct assay_memory_need needs[ASSAY_MEMORY_MAX_NEEDS];
    struct assay_memory_request request = {.graph = graph, .precision = "f32", .parameters = 544, .batch = 8};
    int n = assay_memory_needs(&request, needs);
    CHECK_INT(n, ASSAY_MEMORY_MAX_NEEDS);
    const struct assay_memory_need *need = find(needs, n, "inference", "f32", "");
    CHECK_INT(need->weight_bytes, 4 * 544);
    CHECK_INT(need->input_bytes, 4 * 128);
    CHECK_INT(need->activation_bytes, 4 * 256);
    CHECK_INT(need->total_bytes, 4 * (544 + 128 + 256));
    CHECK_INT(find(needs, n, "inference", "bf16", "")->total_bytes, 2 * (544 + 128 + 256));
    CHECK_INT(find(needs, n, "inference", "int8", "")->weight_bytes, 512 + 4 * 32);
    need = find(needs, n, "training", "f32", "adam");
    CHECK_INT(need->activation_bytes, 3 * 4 * 256); /* kept, and two gradients of that size */
    CHECK_INT(need->weight_bytes + need->gradient_bytes + need->optimizer_bytes, 16 * 544);
    /* ZeRO: 16 bytes a parameter in mixed precision with Adam, too. */
    need = find(needs, n, "training", "mixed", "adam");
    CHECK_INT(need->weight_bytes + need->gradient_bytes + need->optimizer_bytes, 16 * 544);
    CHECK_INT(find(needs, n, "training", "f32", "sgd")->optimizer_bytes, 0);
    CHECK_INT(find(needs, n, "training", "f32", "momentum")->optimizer_bytes, 4 * 544);
    assay_graph_close(graph);
}

ASSAY_TEST(needs_at_free_dimensions_are_absent)
{
    struct assay_graph *graph = assay_graph_open("free");
    int x = testing_input(graph, "x", ASSAY_F32, DIMS(-1, 4));
    assay_graph_add_output(graph, testing_node(graph, "Relu", NUMBERS(x), "y"));
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    struct assay_memory_need needs[ASSAY_MEMORY_MAX_NEEDS];
    CHECK_INT(assay_memory_needs(&(struct assay_memory_request){.graph = graph, .precision = "f32", .batch = 1}, needs), 0);
    assay_graph_close(graph);
}

ASSAY_TEST(an_input_of_4_bits_takes_half_a_byte_an_element)
{
    struct assay_graph *graph = assay_graph_open("packed");
    struct assay_memory_use use;
    testing_input(graph, "x", ASSAY_U4, DIMS(3, 5));
    assay_memory_use_find(&use, graph, 4);
    CHECK_INT(use.input_bytes, 8);
    CHECK_INT(use.n_unknown, 0);
    assay_graph_close(graph);
}

/* Two tensors a layer of kv heads × head dimension, four bytes a number: by the models' own dimensions. */
ASSAY_TEST(a_cached_token_takes_keys_and_values_of_each_layer)
{
    static const struct {
        const char *name;
        int64_t layers, kv_heads, head_dim;
    } models[] = {{"gpt2", 12, 12, 64}, {"Qwen2-0.5B", 24, 2, 64}, {"TinyLlama-1.1B", 22, 4, 64}, {"t5-small", 6, 8, 64}};
    for (size_t i = 0; i < ASSAY_COUNT(models); i++) {
        struct assay_model_options options = {.weights = ASSAY_WEIGHTS_DECLARED, .phase = ASSAY_PHASE_DECODE};
        struct assay_graph *graph;
        CHECK_OK(assay_preset_open(assay_preset_find(models[i].name), &options, &graph, NULL, &err), err);
        CHECK_INT(assay_memory_cache_token(graph), 2 * models[i].layers * models[i].kv_heads * models[i].head_dim * 4);
        assay_graph_close(graph);
    }
}

static int64_t peak_and_arena(const char *name, int64_t batch, int64_t *arena)
{
    struct assay_model_options options = {.weights = ASSAY_WEIGHTS_DECLARED};
    struct assay_graph *graph;
    struct assay_memory_use use;
    CHECK_OK(assay_preset_open(assay_preset_find(name), &options, &graph, NULL, &err), err);
    for (int i = 0; i < graph->n_inputs; i++) {
        struct assay_type *type = &graph->values[graph->inputs[i]].type;
        for (int d = 0; d < type->rank; d++)
            if (type->dims[d] < 0)
                type->dims[d] = d == 0 ? batch : type->rank == 4 ? 224 : 64;
    }
    CHECK_OK(assay_graph_infer(graph, &err), err);
    assay_memory_use_find(&use, graph, 4);
    CHECK_INT(use.n_unknown, 0);
    CHECK(use.in_place_peak_bytes <= use.peak_bytes && use.in_place_arena_bytes >= use.in_place_peak_bytes);
    CHECK(use.kept_bytes > use.peak_bytes);
    assay_graph_close(graph);
    *arena = use.arena_bytes;
    return use.peak_bytes;
}

/* Greedy by size comes within a few percent of the lower bound on such networks (Pisarchyk and Lee report the same), and what
 * a sample needs it needs once a sample. */
ASSAY_TEST(arenas_of_known_models_are_near_the_lower_bound)
{
    static const char *const names[] = {"bert-base-uncased", "gpt2", "resnet-50", "mobilenet_v2_1.0_224", "vit-base-patch16-224"};
    for (size_t i = 0; i < ASSAY_COUNT(names); i++) {
        int64_t arena, arena_4, peak = peak_and_arena(names[i], 1, &arena), peak_4 = peak_and_arena(names[i], 4, &arena_4);
        printf("%-22s peak %.2f MiB, arena %.3f times it\n", names[i], (double)peak / 1048576, (double)arena / (double)peak);
        CHECK((double)arena <= 1.1 * (double)peak);
        CHECK_NEAR((double)peak_4 / (double)peak, 4, 0.05);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_dense_layer_needs_what_its_parts_sum_to),
                ASSAY_TEST_ENTRY(needs_at_free_dimensions_are_absent),
                ASSAY_TEST_ENTRY(an_input_of_4_bits_takes_half_a_byte_an_element),
                ASSAY_TEST_ENTRY(a_cached_token_takes_keys_and_values_of_each_layer),
                ASSAY_TEST_ENTRY(arenas_of_known_models_are_near_the_lower_bound))
