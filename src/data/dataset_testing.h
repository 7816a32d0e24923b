/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of datasets: opening one whose package may be missing, in a cache folder of the test's own. */
#ifndef ASSAY_DATA_DATASET_TESTING_H
#define ASSAY_DATA_DATASET_TESTING_H

#include "base/fs.h"
#include "base/test.h"
#include "data/dataset.h"

#include <stdlib.h>

static inline struct assay_dataset *open_or_skip(const char *spec)
{
    struct assay_dataset *dataset;
    struct assay_error err;
    enum assay_status st = assay_dataset_open(spec, NULL, &dataset, &err);
    if (st == ASSAY_ABSENT)
        SKIP("%s", err.message);
    CHECK_OK(st, err);
    return dataset;
}

static inline char *own_cache(struct assay_arena *arena)
{
    char *folder;
    struct assay_error err;
    CHECK_OK(assay_fs_temporary_folder(arena, &folder, &err), err);
    setenv("ASSAY_CACHE", folder, 1);
    return folder;
}

#endif
