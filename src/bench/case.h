/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A case: one model × platform × mode × scenario × precision × batch × shape × threads, and how it is to be measured: one forward
 * pass a run, or, with new_tokens, one whole request that generates as many, or, in mode training, one training step. The plan
 * makes it, the parent sends it as JSON to a child process, the child measures it.
 *
 * ASSAY_CASE_FIELDS is the one list of its plain members: it makes the struct and both directions of the JSON.
 * Ownership: all of a case lives in the arena it was made with.
 */
#ifndef ASSAY_BENCH_CASE_H
#define ASSAY_BENCH_CASE_H

#include "base/json.h"
#include "graph/tensor.h"
#include "row/row.h"
#include "runtime/runtime.h"

/* X(kind, name): TEXT const char * (NULL = none), INT int64_t, REAL double (NaN = not known), BOOL bool. */
#define ASSAY_CASE_FIELDS(X)                                                                                                     \
    /* what */                                                                                                                   \
    X(TEXT, model_path)                                                                                                          \
    X(TEXT, model)                                                                                                               \
    X(TEXT, model_id)                                                                                                            \
    X(TEXT, family)                                                                                                              \
    X(TEXT, modality)                                                                                                            \
    X(TEXT, weights)                                                                                                             \
    X(TEXT, model_precision) /* the file's own; converted where `precision` is another */                                        \
    X(TEXT, precision)                                                                                                           \
    X(INT, parameters)                                                                                                           \
    X(REAL, flops)                                                                                                               \
    X(REAL, bytes)                                                                                                               \
    /* generation: tokens of each answer (0 = one forward pass) and of the prompt (-1 = it has none of its own); bytes of        \
     * weights and cache that a step reads, in the middle of the answer */                                                       \
    X(INT, new_tokens)                                                                                                           \
    X(INT, prompt_tokens)                                                                                                        \
    X(REAL, step_bytes)                                                                                                          \
    /* training (training.h): the optimizer in full, NULL in mode inference; what is minimised, NULL = the model's own loss */   \
    X(TEXT, optimizer)                                                                                                           \
    X(TEXT, loss)                                                                                                                \
    /* where and how */                                                                                                          \
    X(TEXT, platform)                                                                                                            \
    X(TEXT, mode)                                                                                                                \
    X(TEXT, scenario)                                                                                                            \
    X(TEXT, isa)                                                                                                                 \
    X(TEXT, ep_library)                                                                                                          \
    X(TEXT, suite)                                                                                                               \
    X(INT, batch)                                                                                                                \
    X(INT, threads)                                                                                                              \
    X(INT, optimization)                                                                                                         \
    X(INT, seed)                                                                                                                 \
    /* measuring: seconds, relative widths, bytes */                                                                             \
    X(REAL, min_time)                                                                                                            \
    X(REAL, max_time)                                                                                                            \
    X(REAL, warmup_time)                                                                                                         \
    X(REAL, interval)                                                                                                            \
    X(REAL, latency_bound)                                                                                                       \
    X(REAL, time_limit)                                                                                                          \
    X(INT, memory_limit)                                                                                                         \
    X(BOOL, check)                                                                                                               \
    X(REAL, tolerance)                                                                                                           \
    X(BOOL, profile)                                                                                                             \
    X(TEXT, trace_path)                                                                                                          \
    X(REAL, peak_flops)                                                                                                          \
    X(REAL, peak_f32)                                                                                                            \
    X(REAL, peak_bf16)                                                                                                           \
    X(REAL, peak_int8)                                                                                                           \
    X(REAL, peak_bytes)

struct assay_case_input {
    const char *name;
    struct assay_type type; /* all known */
    const char *kind;       /* see inputs.h */
};

#define ASSAY_CASE_C_TEXT const char *
#define ASSAY_CASE_C_INT int64_t
#define ASSAY_CASE_C_REAL double
#define ASSAY_CASE_C_BOOL bool

struct assay_case {
#define X(kind, name) ASSAY_CASE_C_##kind name;
    ASSAY_CASE_FIELDS(X)
#undef X
    struct assay_case_input *inputs;
    size_t n_inputs;
    struct assay_option *options; /* for the runtime */
    size_t n_options;
    const struct assay_platform *found; /* what the plan found under `platform`; NULL in the child, which looks itself */
};

/* Whether the model is converted to another precision than its own. */
bool assay_case_converts(const struct assay_case *c);
/* Whether its weights are quantized. The reference is then that of the quantized model: how far quantization is from f32 is a
 * property of the model, and not of the runtime that is measured. */
bool assay_case_quantizes(const struct assay_case *c);

/* New reference. */
json_t *assay_case_to_json(const struct assay_case *c);
/* Texts are copied into the arena. */
enum assay_status assay_case_from_json(struct assay_case *c, const json_t *object, struct assay_arena *arena,
                                       struct assay_error *err);

/* "x=1x3x640x640 sr=" in the order of the inputs, " new_tokens=32" after those of a request, and "x=image sr=constant:16000
 * seed=1 philox4x32-10". */
const char *assay_case_shape(const struct assay_case *c, struct assay_arena *arena);
const char *assay_case_inputs(const struct assay_case *c, struct assay_arena *arena);
/* Hash of what makes two measurements repetitions of one another: all that is asked for, and `host`; not how long it is measured.
 * 32 digits. */
const char *assay_case_id(const struct assay_case *c, const char *host, struct assay_arena *arena);
/* A word as a shell reads it back: in quotes where it needs some. */
const char *assay_shell_word(struct assay_arena *arena, const char *word);
/* The shell command that repeats it: "assay bench FILE --platform … ". */
const char *assay_case_command(const struct assay_case *c, struct assay_arena *arena);
/* "ppocr-det cpu/onnxruntime, batch 8, 2 threads", then ", bf16" if that is not the file's and ", 32 new tokens": for a person.
 */
const char *assay_case_label(const struct assay_case *c, struct assay_arena *arena);
/* The cells that follow from the case alone. */
void assay_case_fill_row(const struct assay_case *c, const char *host, struct assay_row *row);

#endif
