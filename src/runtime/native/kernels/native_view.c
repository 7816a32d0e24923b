/* SPDX-License-Identifier: Apache-2.0 */
/* Ops that only give their input another shape: nothing runs. */
#include "runtime/native/native.h"

static enum assay_status view(struct native_build *b, struct assay_error *err)
{
    if (b->inputs[0].dtype != b->outputs[0].dtype || assay_type_bytes(&b->inputs[0]) != assay_type_bytes(&b->outputs[0]))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its output is not its input under another shape");
    b->in_layouts[0] = NATIVE_PLAIN;
    for (int k = 1; k < b->n_inputs; k++)
        b->unneeded[k] = true;
    b->kernel.name = "view";
    b->kernel.is_view = true;
    return ASSAY_OK;
}

const struct native_maker native_makers_view[] = {
    {"Reshape", "", view}, {"Squeeze", "", view},  {"Unsqueeze", "", view},
    {"Flatten", "", view}, {"Identity", "", view}, {NULL, NULL, NULL},
};
