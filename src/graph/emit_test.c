/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/emit.h"

#include "base/test.h"

ASSAY_TEST(a_constant_is_of_the_dtype_asked_for_whatever_has_its_name)
{
    struct assay_error err = {0};
    struct assay_graph *graph = assay_graph_open("constants");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int half = e_float(&e, 0.5);
    CHECK_INT(e_float(&e, 0.5), half);
    /* As a change of the graph's precision leaves it. */
    struct assay_type type = assay_type_make(ASSAY_BF16, 0, NULL);
    struct assay_tensor low;
    CHECK_OK(assay_tensor_alloc(&low, &type, &err), err);
    assay_tensor_set_real(&low, 0, 0.5);
    assay_tensor_release(&graph->values[half].constant);
    graph->values[half].constant = low;
    graph->values[half].type = type;
    int wide = e_float(&e, 0.5);
    CHECK(wide != half);
    CHECK_INT(graph->values[wide].type.dtype, ASSAY_F32);
    CHECK_INT(e_float(&e, 0.5), wide);
    CHECK_OK(assay_emit_finish(&e), err);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_constant_is_of_the_dtype_asked_for_whatever_has_its_name))
