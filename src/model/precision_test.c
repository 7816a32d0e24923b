/* SPDX-License-Identifier: Apache-2.0 */
/* Well-known architectures in f16 and bf16, against themselves in f32. Tolerances: a few rounding units, as docs/precision.md has
 * them measured. */
#include "graph/precision.h"

#include "graph/testing.h"
#include "model/model.h"

static struct assay_graph *open_bound(const char *name, const struct assay_binding *bindings, size_t n)
{
    struct assay_graph *graph;
    struct assay_error err = {0};
    CHECK_OK(assay_model_open(name, NULL, &graph, NULL, &err), err);
    CHECK_OK(assay_graph_bind(graph, bindings, n, &err), err);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    return graph;
}

/* Uniform in [-1, 1), small tokens, and ones in a mask. */
static void fill(const struct assay_graph *graph, struct assay_tensor *inputs)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 7, 0);
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_value *value = &graph->values[graph->inputs[i]];
        CHECK_INT(assay_tensor_alloc(&inputs[i], &value->type, NULL), ASSAY_OK);
        for (int64_t k = 0; k < assay_tensor_count(&inputs[i]); k++)
            assay_tensor_set_real(&inputs[i], k,
                                  value->type.dtype == ASSAY_F32        ? 2 * assay_rng_uniform(&rng) - 1
                                  : strstr(value->name, "mask") != NULL ? 1
                                  : strstr(value->name, "type") != NULL ? 0
                                                                        : (double)assay_rng_below(&rng, 1000));
    }
}

static void compare(const char *name, const struct assay_binding *bindings, size_t n, enum assay_dtype dtype, double tolerance)
{
    struct assay_tensor inputs[4], wanted[4], got[4];
    struct assay_error err = {0};
    struct assay_graph *wide = open_bound(name, bindings, n), *low = assay_graph_clone(wide);
    CHECK(wide->n_inputs <= 4 && wide->n_outputs <= 4);
    CHECK_OK(assay_graph_set_precision(low, dtype, &err), err);
    fill(wide, inputs);
    CHECK_OK(testing_run(wide, inputs, wanted, &err), err);
    CHECK_OK(testing_run(low, inputs, got, &err), err);
    for (int i = 0; i < wide->n_outputs; i++) {
        struct assay_difference d = assay_tensor_compare(&got[i], &wanted[i], 0, 0);
        CHECK(d.same_type);
        CHECK_NEAR(d.max_rel, 0, tolerance);
        CHECK(d.max_rel > 0); /* something was rounded */
        assay_tensor_release(&wanted[i]);
        assay_tensor_release(&got[i]);
    }
    for (int i = 0; i < wide->n_inputs; i++)
        assay_tensor_release(&inputs[i]);
    assay_graph_close(low);
    assay_graph_close(wide);
}

ASSAY_TEST(a_transformer_keeps_its_meaning)
{
    const struct assay_binding bindings[] = {{"batch", 1}, {"sequence", 6}};
    compare("bert-tiny", bindings, 2, ASSAY_BF16, 0.04);
    compare("bert-tiny", bindings, 2, ASSAY_F16, 0.005);
}

ASSAY_TEST(a_convolutional_net_keeps_its_meaning)
{
    const struct assay_binding bindings[] = {{"batch", 1}, {"height", 32}, {"width", 32}};
    compare("resnet-18", bindings, 3, ASSAY_BF16, 0.04);
    compare("resnet-18", bindings, 3, ASSAY_F16, 0.005);
}

static int64_t weight_bytes(const struct assay_graph *graph)
{
    int64_t sum = 0;
    for (int v = 0; v < graph->n_values; v++)
        if (graph->values[v].constant.data && !graph->values[v].is_inferred)
            sum += assay_tensor_bytes(&graph->values[v].constant);
    return sum;
}

ASSAY_TEST(weights_are_half_as_large)
{
    const struct assay_binding bindings[] = {{"batch", 1}, {"sequence", 6}};
    struct assay_graph *graph = open_bound("bert-tiny", bindings, 2);
    struct assay_error err = {0};
    double before = (double)weight_bytes(graph);
    CHECK_OK(assay_graph_set_precision(graph, ASSAY_BF16, &err), err);
    CHECK_NEAR((double)weight_bytes(graph) / before, 0.5, 0.01); /* norms stay f32 */
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_transformer_keeps_its_meaning), ASSAY_TEST_ENTRY(a_convolutional_net_keeps_its_meaning),
                ASSAY_TEST_ENTRY(weights_are_half_as_large))
