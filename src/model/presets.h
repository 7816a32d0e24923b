/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Presets: well-known public architectures by their public names, with their real dimensions. A preset is the config that the
 * model was published with, as far as it differs from the defaults of Transformers' config class; weights are random or declared.
 */
#ifndef ASSAY_MODEL_PRESETS_H
#define ASSAY_MODEL_PRESETS_H

#include "model/model.h"

struct assay_preset {
    const char *name;   /* "bert-base-uncased" */
    const char *config; /* JSON; "architectures" names what the parameters are counted of */
    int64_t parameters; /* as published, by the authors' recollection where the source could not be opened; 0 = not known to us */
    const char *source; /* where the dimensions and the count are published */
};

/* i from 0 until NULL, by family and size. */
const struct assay_preset *assay_preset_at(int i);
/* NULL if there is none of that name. */
const struct assay_preset *assay_preset_find(const char *name);
/* options may be NULL; weights AUTO are random. The graph is the caller's to close, info may be NULL. */
enum assay_status assay_preset_open(const struct assay_preset *preset, const struct assay_model_options *options,
                                    struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err);

#endif
