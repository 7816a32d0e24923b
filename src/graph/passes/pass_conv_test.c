/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and what stands around them. Oracle: the nodes that they were. */
#include "graph/passes/testing.h"

static int conv(struct assay_graph *g, const char *type, int x, int64_t in, int64_t out, int64_t groups, bool biased)
{
    bool transposed = strcmp(type, "ConvTranspose") == 0;
    int w = testing_weight(g, "w", DIMS(transposed ? in : out, transposed ? out / groups : in / groups, 3, 3), 1, 0);
    int y = testing_node(g, type, biased ? 3 : 2, (int[]){x, w, testing_weight(g, "b", DIMS(out), 1, 0)}, "conv");
    assay_node_set_int(g, testing_last(g), "group", groups);
    assay_node_set_ints(g, testing_last(g), "pads", (const int64_t[]){1, 1, 1, 1}, 4);
    return y;
}

static int batch_norm(struct assay_graph *g, int x, int64_t n)
{
    return testing_node(g, "BatchNormalization",
                        NUMBERS(x, testing_weight(g, "scale", DIMS(n), 1, 0), testing_weight(g, "shift", DIMS(n), 1, 0),
                                testing_weight(g, "mean", DIMS(n), 1, 0), testing_weight(g, "variance", DIMS(n), 0.4, 1)),
                        "norm");
}

ASSAY_TEST(batch_norm_and_factors_of_a_channel_go_into_the_weights)
{
    for (int groups = 1; groups <= 2; groups++)
        for (int which = 0; which < 4; which++) {
            struct assay_graph *g = assay_graph_open("g");
            int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 4, 5, 6));
            int y = batch_norm(g, conv(g, which & 1 ? "ConvTranspose" : "Conv", x, 4, 6, groups, which & 2), 6);
            y = testing_node(g, "Mul", NUMBERS(testing_weight(g, "m", DIMS(6, 1, 1), 1, 0), y), "m");
            y = testing_node(g, "Sub", NUMBERS(y, testing_weight(g, "s", DIMS(1, 6, 1, 1), 1, 0)), "s");
            assay_graph_add_output(g, testing_node(g, "Div", NUMBERS(y, testing_number(g, 1.5)), "y"));
            testing_pass(g, "conv", which & 1);
            CHECK_INT(g->n_nodes, 1);
            assay_graph_close(g);
        }
}

ASSAY_TEST(residual_and_activation_make_an_assay_conv)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 4, 5, 6)), r = testing_input(g, "r", ASSAY_F32, DIMS(2, 6, 5, 6));
    int y = testing_node(g, "Add", NUMBERS(r, batch_norm(g, conv(g, "Conv", x, 4, 6, 1, false), 6)), "sum");
    y = testing_node(g, "Relu", NUMBERS(y), "relu");
    assay_graph_add_output(g, testing_node(g, "HardSwish", NUMBERS(conv(g, "Conv", y, 6, 8, 2, true)), "y"));
    testing_pass(g, "conv", false);
    CHECK_INT(g->n_nodes, 2);
    CHECK_INT(testing_count(g, "assay", "Conv"), 2);
    assay_graph_close(g);
}

static int pad(struct assay_graph *g, int x, int64_t channels, double value)
{
    int pads = testing_ints(g, 8, (const int64_t[]){0, channels, 1, 0, 0, 0, 2, 1});
    return testing_node(g, "Pad", NUMBERS(x, pads, testing_number(g, value)), "pad");
}

ASSAY_TEST(zeros_around_the_image_become_padding)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 4, 5, 6));
    assay_graph_add_output(g, conv(g, "Conv", pad(g, x, 0, 0), 4, 6, 1, true));
    assay_graph_add_output(g, conv(g, "Conv", pad(g, x, 0, 1), 4, 6, 1, true)); /* ones are no zeros */
    assay_graph_add_output(g, conv(g, "Conv", pad(g, x, 1, 0), 5, 6, 1, true)); /* a channel is no padding */
    testing_pass(g, "conv", false);
    CHECK_INT(testing_count(g, "", "Pad"), 2);
    assay_graph_close(g);
}

ASSAY_TEST(look_alikes_stay)
{
    struct assay_graph *g = assay_graph_open("g");
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 4, 5, 6)), gate = testing_input(g, "g", ASSAY_F32, DIMS(2, 6, 1, 1));
    int y = conv(g, "Conv", x, 4, 6, 1, true);
    assay_graph_add_output(g, y);
    assay_graph_add_output(g, batch_norm(g, y, 6)); /* y is wanted itself */
    assay_graph_add_output(g, testing_node(g, "Add", NUMBERS(conv(g, "Conv", x, 4, 6, 1, true), gate), "broadcast"));
    int columns = testing_weight(g, "columns", DIMS(6), 1, 0); /* along the width, not the channels */
    assay_graph_add_output(g, testing_node(g, "Mul", NUMBERS(conv(g, "Conv", x, 4, 6, 1, true), columns), "columns"));
    int part = conv(g, "Conv", x, 4, 6, 1, true);
    assay_graph_add_output(g, testing_node(g, "Div", NUMBERS(testing_number(g, 1), part), "inverse"));
    testing_pass(g, "conv", false);
    CHECK_INT(testing_count(g, "", "Conv"), 4);
    CHECK_INT(testing_count(g, "", "BatchNormalization"), 1);
    assay_graph_close(g);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(batch_norm_and_factors_of_a_channel_go_into_the_weights),
                ASSAY_TEST_ENTRY(residual_and_activation_make_an_assay_conv),
                ASSAY_TEST_ENTRY(zeros_around_the_image_become_padding), ASSAY_TEST_ENTRY(look_alikes_stay))
