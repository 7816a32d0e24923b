/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory a model needs to run and to train, estimated by plan: sums over the graph's weights and values, nothing is
 * measured. What a runtime keeps beside (packed weights, workspaces, its own code) is not in it.
 *
 * Inference needs the weights, the inputs, the arena of the activations (graph/plan_memory.h, ops in place where they may), and
 * the cached keys and values where the model generates. f16 and bf16 halve all floats. int8 is of the weights alone: matrices
 * and kernels take a byte an element, all else stays f32; scales, less than a hundredth, are left out.
 *
 * Training needs the parameters and as many gradients, what the optimizer keeps (nothing for SGD, a number a parameter for
 * momentum, two for Adam), the inputs, and the activations that the backward pass reads. An estimate of those: of each op on a
 * way from a parameter, the inputs where its gradient is made of them (products, convolutions, normalisations, …), the output
 * where it is made of that (Relu, Softmax, Sigmoid, …), nothing for sums and changes of shape; each buffer once; and twice the
 * largest of them for gradients on their way. Mixed precision is as in Rajbhandari et al., ZeRO, 2020: weights, gradients and
 * activations of 16 bits, and a master copy of the parameters and the optimizer's numbers of 32.
 */
#ifndef ASSAY_MODEL_MEMORY_H
#define ASSAY_MODEL_MEMORY_H

#include "graph/plan_memory.h"

/* Of a graph's values at its shapes. Sizes that are not known are counted, not guessed. */
struct assay_memory_use {
    int n_unknown;
    int64_t input_bytes;
    int64_t peak_bytes, arena_bytes; /* each op writes into room of its own */
    int peak_node;                   /* -1 = none */
    int64_t in_place_peak_bytes, in_place_arena_bytes;
    int64_t kept_bytes; /* for the backward pass, with the gradients on their way */
};
/* The graph is sorted and its types are inferred. float_bytes: what an f32 element is to take. */
void assay_memory_use_find(struct assay_memory_use *use, const struct assay_graph *graph, int64_t float_bytes);

/* Cached keys and values, at f32: bytes a token of one sequence, from the states of a decode graph; 0 if it has none. */
int64_t assay_memory_cache_token(const struct assay_graph *decode);

struct assay_memory_need {
    const char *mode;      /* "inference", "training" */
    const char *precision; /* "f32", "f16", "bf16", "int8" (weights), of training "f32" and "mixed" */
    const char *optimizer; /* of training: "sgd", "momentum", "adam"; else NULL */
    int64_t weight_bytes, input_bytes, activation_bytes, cache_bytes, gradient_bytes, optimizer_bytes, total_bytes;
};

enum { ASSAY_MEMORY_MAX_NEEDS = 10 };

/* What the needs are asked for. */
struct assay_memory_request {
    const struct assay_graph *graph; /* at the shapes of interest */
    const char *precision;           /* the model's own; another than "f32" is taken as it is, and not trained */
    int64_t parameters;              /* trainable */
    int64_t batch, cache_tokens;     /* sequences and tokens of each that are cached */
    int64_t cache_token_bytes;       /* assay_memory_cache_token */
};
/* Returns how many there are. 0 if a size is not known. */
int assay_memory_needs(const struct assay_memory_request *request, struct assay_memory_need needs[ASSAY_MEMORY_MAX_NEEDS]);

#endif
