/* SPDX-License-Identifier: Apache-2.0 */
/* What a graph is built of, as far as it tells families and modalities apart: structure alone, for the rules of guess.c. */
#ifndef ASSAY_MODEL_TRAITS_H
#define ASSAY_MODEL_TRAITS_H

#include "graph/graph.h"

/* X(name, "as a reader says it") */
#define ASSAY_TRAITS(X)                                                                                                          \
    X(TOKENS, "token ids looked up in a table")                                                                                  \
    X(IMAGE, "an image of one to four channels into 2-D convolutions")                                                           \
    X(FRAMES, "several images a sample (five dimensions)")                                                                       \
    X(WAVE, "a waveform into 1-D convolutions")                                                                                  \
    X(MEL, "a mel spectrogram into 1-D convolutions")                                                                            \
    X(SPECTROGRAM, "a long, narrow picture of mel bins")                                                                         \
    X(PATCHES, "a convolution that cuts patches")                                                                                \
    X(DEEP_CONV, "eight or more 2-D convolutions")                                                                               \
    X(CONV_1D, "two or more 1-D convolutions")                                                                                   \
    X(MANY_CONV_1D, "six or more 1-D convolutions")                                                                              \
    X(DEPTHWISE, "depthwise convolutions")                                                                                       \
    X(GATED_CONV, "channels gated by squeeze and excitation")                                                                    \
    X(RELU6, "ReLU with an upper limit")                                                                                         \
    X(RELU, "ReLU")                                                                                                              \
    X(MAX_POOL, "max pooling")                                                                                                   \
    X(GLOBAL_POOL, "global average pooling")                                                                                     \
    X(SKIPS, "residual sums")                                                                                                    \
    X(ATTENTION, "attention")                                                                                                    \
    X(CROSS_ATTENTION, "cross-attention")                                                                                        \
    X(CAUSAL, "a causal mask or a cache")                                                                                        \
    X(LAYER_NORM, "LayerNorm")                                                                                                   \
    X(RMS_NORM, "RMSNorm")                                                                                                       \
    X(ROTARY, "rotary positions")                                                                                                \
    X(WAVES_ADDED, "sine and cosine positions")                                                                                  \
    X(GELU_ERF, "GELU by erf")                                                                                                   \
    X(GELU_TANH, "GELU by tanh")                                                                                                 \
    X(SWISH, "x times its sigmoid")                                                                                              \
    X(ALL_BIASED, "biases on nearly all projections")                                                                            \
    X(SOME_BIASED, "biases on some projections")                                                                                 \
    X(UNBIASED, "projections without bias")                                                                                      \
    X(CONTRAST, "two embeddings normalised and multiplied")                                                                      \
    X(LSTM, "LSTM layers")                                                                                                       \
    X(SPECTRAL, "spectral transforms")

enum assay_trait_number {
#define X(name, words) ASSAY_TRAIT_NUMBER_##name,
    ASSAY_TRAITS(X)
#undef X
        ASSAY_N_TRAITS
};
/* The bit of one. */
#define ASSAY_TRAIT(name) ((uint64_t)1 << ASSAY_TRAIT_NUMBER_##name)

struct assay_traits {
    uint64_t bits;
    int n_nodes, n_conv, n_depthwise, n_recurrent, n_attention, n_product, n_spectral, n_quantized;
    /* The graph input that shows it; NULL where the trait is missing. */
    const char *token_input, *image_input, *sound_input;
};

const char *assay_trait_words(int number);
void assay_traits_find(struct assay_traits *traits, const struct assay_graph *graph);

#endif
