/* SPDX-License-Identifier: Apache-2.0 */
/* Precision, family and modality of a graph, from its structure and what the file says of itself. For analysis.c. */
#ifndef ASSAY_MODEL_GUESS_H
#define ASSAY_MODEL_GUESS_H

#include "model/analysis.h"

/* Sets precision, family, modality and their reasons; texts from the analysis' arena, or static. */
void assay_guess(struct assay_analysis *analysis, const struct assay_graph *graph);

#endif
