/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that only give their input another shape: nothing runs, if the input's layout allows it. */
#include "runtime/native/native.h"

static bool has_layouts(const struct assay_type *type) { return type->rank >= 3 && type->rank <= 5; }

/* Whether channels last is channels first, too. */
static bool lies_both_ways(const struct assay_type *type)
{
    return type->dims[1] == 1 || assay_type_count(type) == type->dims[0] * type->dims[1];
}

static enum assay_status view(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0], *y = &b->outputs[0];
    if (x->dtype != y->dtype || assay_type_bytes(x) != assay_type_bytes(y))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its output is not its input under another shape");
    for (int k = 1; k < b->n_inputs; k++)
        b->unneeded[k] = true;
    b->kernel.name = "view";
    b->kernel.is_view = true;
    if (b->in_layouts[0] == NATIVE_PLAIN || lies_both_ways(x))
        return ASSAY_OK;
    /* Channels stay last where only the spatial dimensions change. */
    if (has_layouts(y) && x->dims[0] == y->dims[0] && x->dims[1] == y->dims[1])
        b->out_layouts[0] = NATIVE_NHWC;
    else
        b->in_layouts[0] = NATIVE_PLAIN;
    return ASSAY_OK;
}

const struct native_maker native_makers_view[] = {
    {.type = "Reshape", .domain = "", .make = view},   {.type = "Squeeze", .domain = "", .make = view},
    {.type = "Unsqueeze", .domain = "", .make = view}, {.type = "Flatten", .domain = "", .make = view},
    {.type = "Identity", .domain = "", .make = view},  {.type = "Barrier", .domain = "assay", .make = view},
    {0},
};
