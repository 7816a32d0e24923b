/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Presets: well-known public architectures by their public names, with their real dimensions. A preset is the config that the
 * model was published with, as far as it differs from the defaults of Transformers' config class; weights are random or declared.
 */
#ifndef ASSAY_MODEL_PRESETS_H
#define ASSAY_MODEL_PRESETS_H

#include "model/model.h"

struct assay_preset {
    const char *name;         /* "bert-base-uncased" */
    const char *architecture; /* what the parameters are counted of: "BertForMaskedLM" */
    const char *fields;       /* of the config: "hidden_size=128 vision_config.patch_size=16"; a value is JSON, or else a text */
    int64_t parameters;       /* exact: of PyTorch's model of that architecture and config, tied ones once, buffers not */
    /* What its makers or a catalogue say, to so many digits: "11.3M", "25557032"; trailing zeros of a whole number are no
     * digits. "" where we know of nobody who counted it. */
    const char *published;
    int64_t counted_beside; /* what `published` counts and we don't, such as buffers; negative: what it leaves out */
    const char *source;     /* where the dimensions are published, and behind a semicolon who counts */
};

/* i from 0 until NULL, by family and size. */
const struct assay_preset *assay_preset_at(int i);
/* NULL if there is none of that name. */
const struct assay_preset *assay_preset_find(const char *name);
/* Its config.json as an object: the caller's to json_decref. */
json_t *assay_preset_config(const struct assay_preset *preset);
/* Puts fields, written as in a preset, into a config. */
void assay_preset_set(json_t *config, const char *fields);
/* options may be NULL; weights AUTO are random. The graph is the caller's to close, info may be NULL. */
enum assay_status assay_preset_open(const struct assay_preset *preset, const struct assay_model_options *options,
                                    struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err);

#endif
