/* SPDX-License-Identifier: Apache-2.0 */
/* See precision_pass.h: the last pass over the graph, once all is decided. Each value gets the forms that its readers want, with
 * a Cast from the one to the other, and weights are rounded. */
#include "graph/precision_pass.h"

#include "graph/infer.h"

#include <math.h>

static int add_form(struct pass *p, int v, enum assay_dtype dtype)
{
    struct assay_type type = p->graph->values[v].type;
    type.dtype = dtype;
    const char *name = assay_arena_printf(&p->graph->arena, "%s_%s", p->graph->values[v].name, assay_dtype_word((int)dtype));
    return assay_graph_add_value(p->graph, name, &type);
}

static void add_cast(struct pass *p, int from, int to, enum assay_dtype dtype)
{
    struct assay_node *node = assay_graph_add_node(p->graph, "Cast", "", 1, &from, 1, &to);
    node->name = assay_arena_printf(&p->graph->arena, "%s_cast", p->graph->values[to].name);
    assay_node_set_int(p->graph, node, "to", dtype);
}

/* Rounded to nearest even; finite numbers stay finite. */
static enum assay_status narrow(const struct pass *p, const struct assay_tensor *from, struct assay_tensor *to,
                                struct assay_error *err)
{
    enum assay_status st = assay_tensor_convert(to, from, p->dtype, err);
    if (st)
        return st;
    const float *x = from->data;
    uint16_t *y = to->data, infinity = p->dtype == ASSAY_F16 ? 0x7c00 : 0x7f80;
    for (int64_t i = 0, n = assay_tensor_count(from); i < n; i++)
        if ((y[i] & 0x7fff) == infinity && isfinite(x[i]))
            y[i]--;
    return ASSAY_OK;
}

/* One weight at a time, whose f32 form goes at once where nobody reads it. */
static enum assay_status place_constant(struct pass *p, int v, struct assay_error *err)
{
    struct mark *m = &p->marks[v];
    struct assay_tensor low;
    m->wide = v;
    if (m->n_low == 0)
        return ASSAY_OK;
    enum assay_status st = narrow(p, &p->graph->values[v].constant, &low, err);
    if (st)
        return st;
    m->low = m->n_wide ? add_form(p, v, p->dtype) : v;
    struct assay_value *value = &p->graph->values[m->low];
    assay_tensor_release(&value->constant);
    value->constant = low;
    value->type = low.type;
    return ASSAY_OK;
}

/* Numbers of both forms. The one that keeps the value's own number, and so its name, is that of its home, unless the interface
 * or a body wants the other by that name. */
static void place_value(struct pass *p, int v)
{
    struct mark *m = &p->marks[v];
    bool keeps_wide = m->home == LOW ? m->is_plain_output : !m->is_state_output;
    if (m->home == LOW || m->n_low)
        m->low = keeps_wide ? add_form(p, v, p->dtype) : v;
    if (m->home == WIDE || m->n_wide)
        m->wide = keeps_wide ? v : add_form(p, v, ASSAY_F32);
    if (!keeps_wide)
        p->graph->values[v].type.dtype = p->dtype;
    if (m->home == LOW && m->wide >= 0)
        add_cast(p, m->low, m->wide, ASSAY_F32);
    else if (m->home == WIDE && m->low >= 0)
        add_cast(p, m->wide, m->low, p->dtype);
}

static void rewire(struct pass *p, int i)
{
    struct assay_node *node = p->graph->nodes[i];
    const struct step *step = &p->steps[i];
    for (int k = 0; k < node->n_inputs; k++) {
        int v = node->inputs[k];
        if (v < 0 || p->marks[v].home == NO_HOME)
            continue;
        const struct mark *m = &p->marks[v];
        bool low = step->kind == ANY_KIND ? m->home == LOW : step->home == LOW && follower(p, i, k);
        node->inputs[k] = low ? m->low : m->wide;
    }
    for (int k = 0; k < node->n_outputs; k++) {
        const struct mark *m = made(p, i, k);
        if (m)
            node->outputs[k] = m->home == LOW ? m->low : m->wide;
    }
    if (is_source(p, i) && step->home == LOW)
        assay_node_set_int(p->graph, node, "to", p->dtype);
}

enum assay_status assay_precision_rewrite(struct pass *p, struct assay_error *err)
{
    for (int v = 0; v < p->n_values; v++) {
        if (p->marks[v].home == NO_HOME)
            continue;
        if (!p->marks[v].is_constant) {
            place_value(p, v);
            continue;
        }
        enum assay_status st = place_constant(p, v, err);
        if (st)
            return st;
    }
    for (int i = 0; i < p->n_nodes; i++)
        rewire(p, i);
    enum assay_status st = assay_graph_sort(p->graph, err);
    /* Types and contents inferred before are those of f32. */
    if (!st)
        st = assay_graph_bind(p->graph, NULL, 0, err);
    return st ? st : assay_graph_infer(p->graph, err);
}
