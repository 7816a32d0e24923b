/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance: a model with inputs and the outputs that it must give, run on a platform and compared.
 *
 * A test is a folder in one of two layouts:
 *   ONNX's own     model.onnx, test_data_set_N/input_K.pb and output_K.pb, in the order of the graph's inputs and outputs
 *   safetensors    model.onnx, inputs.safetensors, outputs.safetensors: tensors by name; outputs without one are not compared
 *   Transformers'  config.json, model.safetensors, inputs.safetensors, outputs.safetensors: further data sets of other lengths
 *                  stand beside under a prefix ("leftpad.input_ids"); outputs that the model doesn't give are noted
 *
 * A data set of Transformers' layout whose outputs have "SET.sequences" is one of generation (generation.h): from its inputs, or
 * where it has none those of the longest set that its name begins with ("generate_beam": "generate"), as many tokens are made as
 * the sequences have behind their prompt. Compared are sequences (exactly; prompt, or start token, and new tokens), logits
 * [batch, new tokens, vocabulary], and sequences_scores. A set with "beam" in its name is a beam search: of as many beams as
 * meta.json says under info.SET.beams, the number behind that word ("generate_beam4"), info.INPUTS.beams, or 3; of
 * info.INPUTS.new_tokens at most, if meta.json says it. One with sequences_scores is a beam search as well, any other is greedy.
 * Where the inputs have no attention_mask, padding tokens that are no end are masked.
 * Of training, in Transformers' layout: train.safetensors holds the labels, "loss", "grad.PARAMETER" of the first step, with SGD
 * (learning rate 0.01) "sgd1.PARAMETER" after it, "sgd_losses" of five steps and "sgd_final_loss" after them, "adamw_losses" and
 * "adamw_final_loss" of AdamW (1e-3), dropout being off. Models written by hand (bench/plain_data.h) have for each optimizer O of
 * config.json "O.losses" of ten steps on a batch each, "O.step1.PARAMETER", "O.step10.PARAMETER" and moments, "O.grad_norms".
 * With a model.onnx, whose output "loss" is what is minimised, labels are among its inputs, and its parameters are what
 * train/step.h says; layout and names are those of Transformers' or, for data of ten batches, of models written by hand.
 * Gradients and parameters are compared by the tensor's largest magnitude, losses each by its own; what misses the tolerance may
 * be off by PyTorch's own noise, which meta.json names, or by as much as it is undetermined (conformance_spread.h), and says so.
 * Folders of preprocessing are a layout of their own (conformance_data.h), for which no runtime is needed.
 *
 * In the first two an element is right if |got - wanted| <= atol + rtol * |wanted|, as in ONNX's own backend test; what is no
 * float must be equal, and a bf16 may always be one unit in the last place off (rtol is at least 1/128 there). Outputs that
 * depend on random numbers are compared in dtype and shape only, and say so.
 */
#ifndef ASSAY_BENCH_CONFORMANCE_H
#define ASSAY_BENCH_CONFORMANCE_H

#include "base/arena.h"
#include "runtime/runtime.h"

#include <signal.h>

struct assay_conformance_options {
    const struct assay_platform *platform;
    const struct assay_runtime *runtime;
    int threads;
    const char *isa;   /* a tier of the runtime's; NULL = the best */
    double rtol, atol; /* ONNX's own: 1e-3 and 1e-7 */
    double tolerance;  /* of Transformers' layout: 2e-5, a few times what f32 itself loses; of training 1e-5 */
    bool training;     /* train.safetensors instead of outputs.safetensors, see below */
};

/* One output of one data set, as far as the run got. */
struct assay_conformance_output {
    const char *set;  /* "test_data_set_0"; "" in the safetensors layout */
    const char *name; /* of the output */
    double max_abs, max_rel;
    int64_t n_wrong, n_elements;
    const char *note; /* "" or why it was compared otherwise, or what does not fit */
};

struct assay_conformance_result {
    /* OK; MISMATCH; UNSUPPORTED: by the platform, with the op; INVALID: the folder or the model is wrong; else how it failed */
    enum assay_status status;
    const char *reason; /* one sentence, "" if OK */
    const char **ops;   /* distinct op types of the model, sorted; n_ops 0 if it could not be loaded */
    size_t n_ops;
    struct assay_conformance_output *outputs;
    size_t n_outputs;
};

/* Runs one test in this process. All that the result holds is from the arena. */
void assay_conformance_run(const char *folder, const struct assay_conformance_options *options, struct assay_arena *arena,
                           struct assay_conformance_result *result);

/* Every folder at or below `root` that holds a test, of training where that is wanted, sorted. */
enum assay_status assay_conformance_find(const char *root, bool training, struct assay_arena *arena, const char ***folders,
                                         size_t *n, struct assay_error *err);

struct assay_conformance_limits {
    int64_t time_ns, memory_bytes;     /* of each test; 0 = none */
    const volatile sig_atomic_t *stop; /* set by a signal handler; may be NULL */
};
/* Borrowed for the call. */
typedef void assay_on_conformance(void *context, size_t index, const struct assay_conformance_result *result);

/* Runs tests in a worker process, one after another; one that crashes, hangs or takes too much memory costs only itself: the
 * worker is started anew behind it. The calling process should have no other threads. ASSAY_INTERRUPTED after *stop. */
enum assay_status assay_conformance_run_all(const char *const *folders, size_t n, const struct assay_conformance_options *options,
                                            const struct assay_conformance_limits *limits, assay_on_conformance *on_result,
                                            void *context, struct assay_error *err);

#endif
