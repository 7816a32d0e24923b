/* SPDX-License-Identifier: Apache-2.0 */
/* See conformance_spread.h. */
#include "bench/conformance_spread.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void assay_spread_release(struct assay_spread *spread)
{
    for (size_t i = 0; i < spread->n; i++)
        assay_tensor_release(&spread->entries[i].base);
    *spread = (struct assay_spread){.arena = spread->arena};
}

enum assay_status assay_spread_move(const struct assay_training_step *step, struct assay_training_session *session, int run,
                                    struct assay_error *err)
{
    struct assay_rng rng;
    assay_rng_init(&rng, (uint64_t)run, assay_rng_stream("spread"));
    for (int i = 0; i < step->n_states && run > 0; i++) {
        struct assay_tensor now, moved;
        enum assay_status st = assay_training_session_state(session, i, &now, err);
        if (st)
            return st;
        if (now.type.dtype != ASSAY_F32)
            continue;
        st = assay_tensor_convert(&moved, &now, ASSAY_F32, err);
        if (st)
            return st;
        float *x = moved.data;
        for (int64_t k = 0; k < assay_tensor_count(&moved); k++)
            x[k] = (float)((double)x[k] * (1 + 0x1p-22 * (2 * assay_rng_uniform(&rng) - 1)));
        assay_training_session_set_state(session, i, &moved);
        assay_tensor_release(&moved);
    }
    return ASSAY_OK;
}

static struct assay_spread_entry *find(const struct assay_spread *spread, const char *name)
{
    for (size_t i = 0; i < spread->n; i++)
        if (strcmp(spread->entries[i].name, name) == 0)
            return &spread->entries[i];
    return NULL;
}

static enum assay_status add_base(struct assay_spread *spread, const char *name, const struct assay_tensor *got,
                                  struct assay_error *err)
{
    if (spread->n == spread->capacity) {
        size_t capacity = 2 * spread->capacity + 64;
        struct assay_spread_entry *entries = assay_arena_array(spread->arena, capacity, sizeof *entries);
        if (spread->n)
            memcpy(entries, spread->entries, spread->n * sizeof *entries);
        spread->entries = entries;
        spread->capacity = capacity;
    }
    struct assay_spread_entry *entry = &spread->entries[spread->n];
    *entry = (struct assay_spread_entry){.name = assay_arena_strdup(spread->arena, name)};
    enum assay_status st = assay_tensor_convert(&entry->base, got, got->type.dtype, err);
    spread->n += !st;
    return st;
}

enum assay_status assay_spread_add(struct assay_spread *spread, const char *name, const struct assay_tensor *got, int run,
                                   struct assay_error *err)
{
    struct assay_spread_entry *entry = find(spread, name);
    if (!entry)
        return run == 0 ? add_base(spread, name, got, err) : ASSAY_OK;
    for (int64_t i = 0; i < assay_tensor_count(&entry->base) && assay_type_equal(&got->type, &entry->base.type); i++)
        entry->most = fmax(entry->most, fabs(assay_tensor_real(got, i) - assay_tensor_real(&entry->base, i)));
    return ASSAY_OK;
}

double assay_spread_of(const struct assay_spread *spread, const char *name)
{
    const struct assay_spread_entry *entry = find(spread, name);
    return entry ? entry->most : 0;
}
