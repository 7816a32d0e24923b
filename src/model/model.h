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

/* A model that generates text is run as in the field: with keys and values of what was seen kept as state. */
enum assay_model_phase {
    ASSAY_PHASE_WHOLE, /* one graph, no cache: what the model class of Transformers computes */
    /* Once a request, where there is more than a decoder: from the request's inputs to what the decoder needs of them. Each
     * output is the input of the same name of the decode graph; decoder_attention_mask is its attention_mask of the prompt,
     * which has the name that the request's own mask has here. Where the decode graph reads inputs_embeds [batch, prefix,
     * hidden], they are the whole prompt: it is run with no input_ids (0 of them), and each token after it with an empty
     * prefix. */
    ASSAY_PHASE_ENCODE,
    /* The prompt first, then token by token. Inputs: input_ids [batch, sequence] (not embedded yet), attention_mask [batch,
     * total_sequence], over what was seen and what comes, position_ids [batch, sequence] where the model has positions, the
     * encode graph's outputs, and past_key_values.I.key and .value [batch, heads, past_sequence, head_dim]. Outputs: logits
     * [batch, 1, vocabulary] of the last place, and present.I.key and .value, each the declared state of its past_key_values. */
    ASSAY_PHASE_DECODE,
};

/* Zeroed memory is the usual: the main inputs and outputs, weights AUTO. Borrowed for the call. */
struct assay_model_options {
    const char *architecture; /* instead of the config's "architectures"; NULL = that */
    enum assay_model_phase phase;
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
    /* To be trained (train/step.h): dropout, batch statistics with their running means as outputs; labels as inputs, and the output
     * "loss", as the model class of Transformers computes it. ASSAY_UNSUPPORTED where the architecture has no loss. */
    bool training, no_dropout;
    bool allow_surplus; /* tensors in the checkpoint that the model doesn't use are no error */
};

enum { ASSAY_MAX_EOS_TOKENS = 8 };

/* How text is generated, from config.json, and generation_config.json where the folder has one. */
struct assay_model_generation {
    bool generates;      /* has the phase DECODE */
    bool encodes;        /* and ENCODE before it */
    int64_t start_token; /* of the decoder; -1 = the prompt is input_ids */
    int64_t pad_token;   /* -1 = none */
    int64_t eos_tokens[ASSAY_MAX_EOS_TOKENS];
    int n_eos_tokens;
};

/* What was opened. Texts are static or the graph's. */
struct assay_model_info {
    const char *family, *architecture; /* "" for an ONNX file */
    const char *weights;               /* "file", "random", "declared" */
    int64_t parameters;                /* -1 = not counted: an ONNX file */
    struct assay_model_generation generation;
};

/* path: a folder with config.json, an ONNX file, or, where there is no such file, the name of a preset. options and info may be
 * NULL. The graph is the caller's to close. ASSAY_UNSUPPORTED names what is not understood: a model type, an architecture, a
 * field, a phase that the model does not have. */
enum assay_status assay_model_open(const char *path, const struct assay_model_options *options, struct assay_graph **graph,
                                   struct assay_model_info *info, struct assay_error *err);
/* From a config alone, with random or declared weights. `where` begins the sentences of errors. */
enum assay_status assay_model_build(const json_t *config, const char *where, const struct assay_model_options *options,
                                    struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err);
/* Whether the folder holds a config.json that tells a model. */
bool assay_model_is_folder(const char *path);

#endif
