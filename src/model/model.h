/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models as the ecosystem stores them: a folder with config.json and *.safetensors, an ONNX file, or the name of a well-known
 * architecture (presets.h), opened as a graph.
 */
#ifndef ASSAY_MODEL_MODEL_H
#define ASSAY_MODEL_MODEL_H

#include "base/json.h"
#include "graph/graph.h"

enum assay_model_weights {
    ASSAY_WEIGHTS_AUTO,   /* the folder's, or random ones where it has none */
    ASSAY_WEIGHTS_RANDOM, /* seeded, of sensible scale */
    ASSAY_WEIGHTS_FILE_OR_DECLARED,
    ASSAY_WEIGHTS_DECLARED, /* zeros that take no memory: for counting, not for running */
};

/* Zeroed memory is the usual: the main inputs and outputs, weights AUTO. Borrowed for the call. */
struct assay_model_options {
    const char *architecture; /* instead of the config's "architectures"; NULL = that */
    enum assay_model_weights weights;
    uint64_t seed;
    /* The names of the inputs to have, among those that the family offers; NULL = its usual ones. */
    const char *const *inputs;
    size_t n_inputs;
    /* Outputs to have beside the main ones: names, or patterns with one '*' at the end ("hidden_states.*", "*"). */
    const char *const *outputs;
    size_t n_outputs;
    bool only_those_outputs;  /* and not the main ones, unless named */
    const char *const *flags; /* what the family offers beside: "interpolate_pos_encoding" */
    size_t n_flags;
    bool allow_surplus; /* tensors in the checkpoint that the model doesn't use are no error */
};

/* What was opened. Texts are static or the graph's. */
struct assay_model_info {
    const char *family, *architecture; /* "" for an ONNX file */
    const char *weights;               /* "file", "random", "declared" */
    int64_t parameters;                /* -1 = not counted: an ONNX file */
};

/* path: a folder with config.json, an ONNX file, or, where there is no such file, the name of a preset. options and info may be
 * NULL. The graph is the caller's to close. ASSAY_UNSUPPORTED names what is not understood: a model type, an architecture, a
 * field. */
enum assay_status assay_model_open(const char *path, const struct assay_model_options *options, struct assay_graph **graph,
                                   struct assay_model_info *info, struct assay_error *err);
/* From a config alone, with random or declared weights. `where` begins the sentences of errors. */
enum assay_status assay_model_build(const json_t *config, const char *where, const struct assay_model_options *options,
                                    struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err);
/* Whether the folder holds a config.json that tells a model. */
bool assay_model_is_folder(const char *path);

#endif
