/* SPDX-License-Identifier: Apache-2.0 */
/* usage: write_events FOLDER
 * Writes a made-up run that was killed after step 9 and resumed from step 6, for read_events.py to read. */
#include "train/tensorboard.h"

#include <math.h>
#include <stdio.h>

enum { N_VALUES = 1000, N_KILLED = 10, RESUMED = 6, N_STEPS = 15 };

static enum assay_status write_steps(struct assay_tensorboard *writer, int first, int end, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int step = first; step < end && !st; step++) {
        float values[N_VALUES];
        for (int i = 0; i < N_VALUES; i++)
            values[i] = (float)(i - 300) * (float)(step + 1) / 64;
        st = assay_tensorboard_scalar(writer, "loss/train", step, first + 1.0 / (step + 1), err);
        if (!st)
            st = assay_tensorboard_histogram(writer, "weights/dense", step, values, N_VALUES, err);
    }
    return st;
}

static enum assay_status write_edges(struct assay_tensorboard *writer, struct assay_error *err)
{
    const double scalars[] = {0, -0.0, INFINITY, -INFINITY, NAN, 1e300, 3.5};
    const float odd[] = {NAN, 1e30f, -1e30f, 0, INFINITY, 1e-30f};
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < ASSAY_COUNT(scalars) && !st; i++)
        st = assay_tensorboard_scalar(writer, "edge/sc\xc3\xa4lar", (int64_t)i << 40, scalars[i], err);
    if (!st)
        st = assay_tensorboard_histogram(writer, "edge/odd", 0, odd, ASSAY_COUNT(odd), err);
    return st ? st : assay_tensorboard_histogram(writer, "edge/none", 0, NULL, 0, err);
}

int main(int argc, char **argv)
{
    struct assay_tensorboard *writer = NULL;
    struct assay_error err;
    enum assay_status st = argc == 2 ? ASSAY_OK : assay_error_set(&err, ASSAY_INVALID, "usage: write_events FOLDER");
    for (int part = 0; part < 2 && !st; part++) {
        st = assay_tensorboard_open(argv[1], part ? RESUMED : 0, &writer, &err);
        if (!st && part)
            st = write_edges(writer, &err);
        if (!st)
            st = write_steps(writer, part ? RESUMED : 0, part ? N_STEPS : N_KILLED, &err);
        enum assay_status closed = assay_tensorboard_close(writer, st ? NULL : &err);
        writer = NULL;
        st = st ? st : closed;
    }
    if (st)
        fprintf(stderr, "%s\n", err.message);
    return st ? 1 : 0;
}
