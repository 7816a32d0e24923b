/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax and LogSoftmax of rows of every length around those of vectors, against the reference, which sums in double: 1e-6 of
 * the largest, a few units in the last place. */
#include "runtime/native/testing.h"

ASSAY_TEST(rows_of_any_length_add_up_to_one)
{
    static const int64_t lengths[] = {1, 2, 7, 16, 33, 49, 64, 65, 127, 300};
    for (size_t i = 0; i < ASSAY_COUNT(lengths); i++)
        for (int64_t rows = 3; rows < 400; rows += 131) {
            struct assay_graph *graph = assay_graph_open("rows");
            int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){rows, lengths[i]});
            assay_graph_add_output(graph, testing_node(graph, "Softmax", 1, &x, "y"));
            assay_graph_add_output(graph, testing_node(graph, "LogSoftmax", 1, &x, "log"));
            testing_equals_reference(graph, 1e-6);
        }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(rows_of_any_length_add_up_to_one))
