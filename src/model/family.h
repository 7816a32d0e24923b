/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model families: how a config becomes a graph. The table of all is made by CMake from the files of families/: to add one,
 * write families/NAME.c with a const struct assay_family assay_family_NAME. What several families share is in a file there that
 * begins with "common_".
 */
#ifndef ASSAY_MODEL_FAMILY_H
#define ASSAY_MODEL_FAMILY_H

#include "model/builder.h"

struct assay_architecture {
    const char *name;       /* "BertForMaskedLM" */
    const char *model_type; /* "bert": what the config must say */
    const char *told_by; /* a tensor that only checkpoints of this architecture have, '*' at an end standing for any text; where
                            the config names no architecture, the first one of its model type that fits is taken. NULL = fits */
};

struct assay_family {
    const char *name;                               /* as models are grouped: "bert" for distilbert too */
    const char *modality;                           /* text, vision, audio, multimodal */
    const struct assay_architecture *architectures; /* ended by a NULL name */
    const char *const *generators; /* names of those that have the phase DECODE (model.h), ended by NULL; NULL = none */
    bool encodes;                  /* these have the phase ENCODE too */
    /* Reads the config, adds inputs, nodes and outputs of b->options->phase. Failures are recorded in config and builder. */
    void (*build)(struct assay_builder *b, struct assay_config *config, const struct assay_architecture *architecture);
};

/* i from 0 until NULL. */
const struct assay_family *assay_family_at(int i);
/* The family and architecture of that name; NULL if there is none. */
const struct assay_family *assay_family_find(const char *architecture, const struct assay_architecture **found);

#endif
