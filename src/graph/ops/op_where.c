/* SPDX-License-Identifier: Apache-2.0 */
/* Where: picks elements of two tensors by a third. Only bytes move, so the element's size is all that matters of the dtype. */
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

static enum assay_status infer_where(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_BOOL, err);
    if (!st)
        st = assay_rule_same_dtype(call, 1, 2, err);
    if (!st)
        st = assay_rule_broadcast(&call->inputs[1], &call->inputs[2], out, err);
    if (!st)
        st = assay_rule_broadcast(out, &call->inputs[0], out, err);
    out->dtype = call->inputs[1].dtype ? call->inputs[1].dtype : call->inputs[2].dtype;
    return st;
}

#define PICK(type)                                                                                                               \
    for (; walk.more; assay_walk_next(&walk)) {                                                                                  \
        const uint8_t *condition = (const uint8_t *)call->data[0]->data + walk.offset[0];                                        \
        const type *yes = (const type *)call->data[1]->data + walk.offset[1];                                                    \
        const type *no = (const type *)call->data[2]->data + walk.offset[2];                                                     \
        type *to = (type *)call->results[0].data + done;                                                                         \
        for (int64_t i = 0; i < walk.n; i++)                                                                                     \
            to[i] = condition[i * walk.step[0]] ? yes[i * walk.step[1]] : no[i * walk.step[2]];                                  \
        done += walk.n;                                                                                                          \
    }

static enum assay_status run_where(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    const struct assay_type *types[3] = {&call->data[0]->type, &call->data[1]->type, &call->data[2]->type};
    struct assay_walk walk;
    int64_t done = 0;
    assay_walk_broadcast(&walk, &call->outputs[0], 3, types);
    switch (assay_dtype_size(call->outputs[0].dtype)) {
    case 1:
        PICK(uint8_t)
        break;
    case 2:
        PICK(uint16_t)
        break;
    case 4:
        PICK(uint32_t)
        break;
    default:
        PICK(uint64_t)
    }
    return ASSAY_OK;
}

static void gradient_where(struct assay_gradient *g)
{
    if (g_wants(g, 1))
        g_set(g, 1, e_keep(g->e, g_input(g, 0), g->out[0]));
    if (g_wants(g, 2))
        g_set(g, 2, e_drop(g->e, g_input(g, 0), g->out[0]));
}

const struct assay_op assay_ops_where[] = {
    {"Where", "", 3, 3, 0, infer_where, run_where, NULL, gradient_where},
    {0},
};
