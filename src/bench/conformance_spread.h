/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How well numbers of training are determined at all: how far they move when each weight moves by a unit or two in its last
 * place, as f32's rounding anywhere in a step moves them. Where an activation comes near the kink of a ReLU, or a gradient is
 * zero but for rounding and Adam goes by its sign, that is a thousand times what rounding itself is, with exact arithmetic as
 * well.
 */
#ifndef ASSAY_BENCH_CONFORMANCE_SPREAD_H
#define ASSAY_BENCH_CONFORMANCE_SPREAD_H

#include "base/arena.h"
#include "train/session.h"

enum { ASSAY_SPREAD_RUNS = 16 };

struct assay_spread_entry {
    const char *name;
    struct assay_tensor base; /* of weights as they are; owned */
    double most;              /* largest difference from it */
};

struct assay_spread {
    struct assay_arena *arena;
    struct assay_spread_entry *entries;
    size_t n, capacity;
};

void assay_spread_release(struct assay_spread *spread);
/* Moves the f32 weights of a session that is just opened; nothing for run 0. */
enum assay_status assay_spread_move(const struct assay_training_step *step, struct assay_training_session *session, int run,
                                    struct assay_error *err);
/* One result of a run; run 0 comes first. */
enum assay_status assay_spread_add(struct assay_spread *spread, const char *name, const struct assay_tensor *got, int run,
                                   struct assay_error *err);
/* 0 for a name that was not added. */
double assay_spread_of(const struct assay_spread *spread, const char *name);

#endif
