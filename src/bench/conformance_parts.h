/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of conformance share: comparing one output, the data sets of Transformers' layout, and those of generation. */
#ifndef ASSAY_BENCH_CONFORMANCE_PARTS_H
#define ASSAY_BENCH_CONFORMANCE_PARTS_H

#include "bench/conformance.h"
#include "bench/generation.h"
#include "model/safetensors.h"

/* How an output is compared: the measure is |got - wanted| <= atol + rtol * |wanted|, or, where tolerance > 0, that times the
 * tensor's largest magnitude. What is as near as `noise` is right in any case. */
struct assay_conformance_measure {
    double rtol, atol, tolerance, noise;
};

/* Adds the output to the result. ASSAY_MISMATCH tells the first wrong element. name must outlive the result; note too. */
enum assay_status assay_conformance_compare(struct assay_conformance_result *result, struct assay_arena *arena,
                                            const struct assay_conformance_measure *measure, const char *set, const char *name,
                                            const char *note, const struct assay_tensor *got, const struct assay_tensor *wanted,
                                            struct assay_error *err);
/* Adds an output that is not compared, with the reason. */
void assay_conformance_skip(struct assay_conformance_result *result, struct assay_arena *arena, const char *set, const char *name,
                            const struct assay_tensor *wanted, const char *note);

/* A folder of Transformers' layout. */
struct assay_conformance_folder {
    const char *path;
    struct assay_safetensors in, out;
    const char **sets; /* sorted: the prefixes of the inputs' names, and of outputs that are "sequences" */
    size_t n_sets;
    json_t *meta_file, *meta; /* meta.json, and "info" in it; NULL = none */
};

/* The texts are from the arena. To be closed also when it fails. */
enum assay_status assay_conformance_open_folder(const char *path, struct assay_arena *arena,
                                                struct assay_conformance_folder *folder, struct assay_error *err);
void assay_conformance_close_folder(struct assay_conformance_folder *folder);

/* What follows "SET.", the whole of it for the set ""; NULL if the name is not of the set. */
const char *assay_conformance_name_in(const char *name, const char *set);
/* Whether an input's name is "SET.NAME" with no further dot. */
bool assay_conformance_is_input_of(const char *name, const char *set);
/* The set of an output: the longest that its name begins with; NULL if there is none. */
const char *assay_conformance_set_of(const struct assay_conformance_folder *folder, const char *name);
/* Whether the outputs of a set are what was generated: "sequences" is one. */
bool assay_conformance_generates(const struct assay_conformance_folder *folder, const char *set);
/* Whether a set has no outputs of its own, but inputs for one that generates. */
bool assay_conformance_only_generates(const struct assay_conformance_folder *folder, const char *set);

/* Generates as the set says, and compares. *generator is opened if it is NULL, for the next set too; the caller closes it. */
enum assay_status assay_conformance_generate(const struct assay_conformance_folder *folder, const char *set,
                                             const struct assay_conformance_options *options, struct assay_generator **generator,
                                             struct assay_arena *arena, struct assay_conformance_result *result,
                                             struct assay_error *err);

/* Training (conformance_training.c). */
enum assay_status assay_conformance_run_training(const char *path, const struct assay_conformance_options *options,
                                                 struct assay_arena *arena, struct assay_conformance_result *result,
                                                 struct assay_error *err);

#endif
