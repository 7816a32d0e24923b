/* SPDX-License-Identifier: Apache-2.0 */
/* LSTM, GRU and RNN of the native runtime against the reference kernels, which work in double. */
#include "runtime/native/testing.h"

#include <math.h>

struct form {
    const char *type, *direction;
    int64_t steps, batch, inputs, hidden;
    bool has_bias, has_states, has_lengths, linear_before_reset;
};

static int add_lengths(struct assay_graph *graph, const struct form *f)
{
    struct assay_tensor lengths;
    struct assay_type type = assay_type_make(ASSAY_I32, 1, &f->batch);
    CHECK_INT(assay_tensor_alloc(&lengths, &type, NULL), ASSAY_OK);
    for (int64_t i = 0; i < f->batch; i++)
        assay_tensor_set_real(&lengths, i, (double)(i % (f->steps + 1)));
    int number = assay_graph_add_constant(graph, "lengths", &lengths);
    assay_tensor_release(&lengths);
    return number;
}

/* Small enough that an error does not grow from step to step. */
static int add_weights(struct assay_graph *graph, int64_t directions, int64_t rows, int64_t columns)
{
    int number = testing_random_constant(graph, "weights", ASSAY_F32, 3, (const int64_t[]){directions, rows, columns});
    struct assay_tensor *t = &graph->values[number].constant;
    for (int64_t i = 0; i < assay_tensor_count(t); i++)
        ((float *)t->data)[i] *= 0.5f / sqrtf((float)columns);
    return number;
}

static void check_form(struct form f)
{
    struct assay_graph *graph = assay_graph_open(f.type);
    int64_t n = f.type[0] == 'L' ? 4 : f.type[0] == 'G' ? 3 : 1, d = strcmp(f.direction, "bidirectional") == 0 ? 2 : 1;
    int n_inputs = f.type[0] == 'L' ? 7 : 6, n_outputs = f.type[0] == 'L' ? 3 : 2;
    int in[] = {testing_input(graph, "x", ASSAY_F32, 3, (const int64_t[]){f.steps, f.batch, f.inputs}),
                add_weights(graph, d, n * f.hidden, f.inputs),
                add_weights(graph, d, n * f.hidden, f.hidden),
                -1,
                -1,
                -1,
                -1};
    if (f.has_bias)
        in[3] = testing_random_constant(graph, "b", ASSAY_F32, 2, (const int64_t[]){d, 2 * n * f.hidden});
    if (f.has_lengths)
        in[4] = add_lengths(graph, &f);
    for (int i = 5; f.has_states && i < n_inputs; i++)
        in[i] = testing_input(graph, "state", ASSAY_F32, 3, (const int64_t[]){d, f.batch, f.hidden});
    int out[3];
    for (int i = 0; i < n_outputs; i++) {
        out[i] = assay_graph_add_value(graph, "y", NULL);
        assay_graph_add_output(graph, out[i]);
    }
    struct assay_node *node = assay_graph_add_node(graph, f.type, "", n_inputs, in, n_outputs, out);
    assay_node_set_string(graph, node, "direction", f.direction);
    assay_node_set_int(graph, node, "hidden_size", f.hidden);
    if (f.linear_before_reset)
        assay_node_set_int(graph, node, "linear_before_reset", 1);
    testing_equals_reference(graph, 2e-6);
}

ASSAY_TEST(cells_of_each_kind_and_direction_equal_the_reference)
{
    static const char *const types[] = {"LSTM", "GRU", "RNN"}, *const directions[] = {"forward", "reverse", "bidirectional"};
    for (int t = 0; t < 3; t++)
        for (int d = 0; d < 3; d++) {
            check_form((struct form){types[t], directions[d], 5, 3, 7, 20, true, true, false, false});
            check_form((struct form){types[t], directions[d], 4, 1, 33, 65, false, false, false, true});
        }
}

ASSAY_TEST(sequences_end_at_their_own_lengths)
{
    check_form((struct form){"LSTM", "bidirectional", 6, 9, 5, 16, true, true, true, false});
    check_form((struct form){"GRU", "reverse", 6, 9, 5, 17, true, true, true, true});
    check_form((struct form){"RNN", "forward", 6, 9, 5, 100, true, false, true, false});
}

ASSAY_TEST(threads_share_the_blocks_of_a_large_step)
{
    check_form((struct form){"LSTM", "forward", 3, 2, 100, 200, true, false, false, false});
    check_form((struct form){"GRU", "bidirectional", 3, 2, 100, 250, true, true, false, false});
    check_form((struct form){"GRU", "forward", 3, 4, 300, 200, true, true, true, true});
    check_form((struct form){"RNN", "bidirectional", 4, 8, 40, 300, true, false, false, false});
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(cells_of_each_kind_and_direction_equal_the_reference),
                ASSAY_TEST_ENTRY(sequences_end_at_their_own_lengths), ASSAY_TEST_ENTRY(threads_share_the_blocks_of_a_large_step))
