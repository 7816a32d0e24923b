/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance of preprocessing: what src/data makes of sounds and pictures, compared with what the processors of Hugging Face
 * make of them. No runtime takes part, so that the platform does not matter.
 *
 * A test is a folder with config.json, inputs.safetensors and outputs.safetensors. config.json has an object for each case, of
 * the fields of preprocessor_config.json. Inputs are audio16k.N (f32 at 16 kHz; other rates alike) and image.N (u8 [height,
 * width, 3]); outputs CASE.input_features, CASE.pixel_values …, and CASE.mel_filters, also with _slaney and _htk behind it.
 * Which of the inputs a case was given is not told but for their number: consecutive ones that give its outputs are looked for.
 * Samples end where the mask of a wav2vec2 case ends; frames of a video are pictures, or one that every other frame shows upside
 * down.
 *
 * An element is right within 1e-4 of the tensor's largest magnitude, and within 1e-4 where that is above 1; integers are equal.
 */
#ifndef ASSAY_BENCH_CONFORMANCE_DATA_H
#define ASSAY_BENCH_CONFORMANCE_DATA_H

#include "bench/conformance.h"

/* Whether the folder's config.json is one of preprocessing. */
bool assay_conformance_is_data(const char *folder);
/* Adds the outputs to the result, all from the arena. ASSAY_MISMATCH: at least one is wrong. */
enum assay_status assay_conformance_run_data(const char *folder, struct assay_arena *arena,
                                             struct assay_conformance_result *result, struct assay_error *err);

#endif
