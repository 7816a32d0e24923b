/* SPDX-License-Identifier: Apache-2.0 */
/* See bind.h. */
#include "runtime/bind.h"

static bool takes(const struct assay_type *type, const struct assay_type *given)
{
    bool fits = (type->dtype == ASSAY_NO_DTYPE || type->dtype == given->dtype) && (type->rank < 0 || type->rank == given->rank);
    for (int d = 0; fits && d < type->rank; d++)
        fits = type->dims[d] < 0 || type->dims[d] == given->dims[d];
    return fits;
}

static enum assay_status refuse_left_out(const struct assay_graph *graph, const struct assay_tensor *inputs, bool was_bound,
                                         struct assay_error *err)
{
    for (int i = 0; i < graph->n_inputs; i++) {
        bool held = assay_graph_is_state(graph, i);
        if (!inputs[i].data && !(held && was_bound))
            return assay_error_set(err, ASSAY_INVALID, "%s '%s' was given no data%s", held ? "state" : "input",
                                   graph->values[graph->inputs[i]].name, held ? ", and holds none yet" : "");
    }
    return ASSAY_OK;
}

enum assay_status assay_bind_check(const struct assay_graph *graph, const struct assay_tensor *inputs, bool was_bound,
                                   struct assay_error *err)
{
    int n_left_out = 0, n_kept = 0;
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct assay_value *v = &graph->values[graph->inputs[i]];
        char given[256], wanted[256];
        n_left_out += !inputs[i].data;
        if (inputs[i].data && !takes(&v->type, &inputs[i].type))
            return assay_error_set(err, ASSAY_INVALID, "input '%s' is %s where the model takes %s", v->name,
                                   assay_type_text(&inputs[i].type, given, sizeof given),
                                   assay_type_text(&v->type, wanted, sizeof wanted));
    }
    for (int s = 0; s < graph->n_states; s++)
        n_kept += was_bound && !inputs[graph->states[s].input].data;
    return n_left_out == n_kept ? ASSAY_OK : refuse_left_out(graph, inputs, was_bound, err);
}
