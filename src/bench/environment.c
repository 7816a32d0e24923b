/* SPDX-License-Identifier: Apache-2.0 */
/* See environment.h. */
#include "bench/environment.h"

#include <string.h>

/* Families of variables that choose kernels, thread counts or waiting in numeric libraries. */
static const char *const cleared[] = {"OPENBLAS_", "GOTO_",   "BLIS_",  "OMP_",      "GOMP_",      "KMP_",    "MKL_",    "DNNL_",
                                      "ONEDNN_",   "NVPL_",   "ARMPL_", "ATLAS_",    "TBB_",       "VECLIB_", "ORT_",    "XNN_",
                                      "CUDA_",     "CUBLAS_", "CUDNN_", "NVIDIA_TF", "TF_ENABLE_", "TF_NUM_", "PYTORCH_"};
static const char *const kept[] = {"LD_PRELOAD",     "LD_LIBRARY_PATH",      "MALLOC_",
                                   "GLIBC_TUNABLES", "CUDA_VISIBLE_DEVICES", "ASSAY_ONNXRUNTIME"};

static bool begins_with_any(const char *variable, const char *const *prefixes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static bool is_kept(const char *variable) { return begins_with_any(variable, kept, ASSAY_COUNT(kept)); }
static bool is_cleared(const char *variable)
{
    return !is_kept(variable) && begins_with_any(variable, cleared, ASSAY_COUNT(cleared));
}

static size_t name_length(const char *variable) { return strcspn(variable, "="); }

/* The entry of that name, NULL if there is none. */
static const char *find(const char *const *environment, const char *variable)
{
    size_t n = name_length(variable);
    for (; *environment; environment++)
        if (name_length(*environment) == n && strncmp(*environment, variable, n) == 0)
            return *environment;
    return NULL;
}

const char *const *assay_environment_make(char *const *ours, int n_threads, const char *const *set, struct assay_arena *arena)
{
    static const char *const nothing[] = {NULL};
    const char *const standard[] = {
        assay_arena_printf(arena, "OMP_NUM_THREADS=%d", n_threads),
        "OMP_WAIT_POLICY=passive", /* spinning threads ruin a measurement when a neighbour is busy */
        "OMP_DYNAMIC=false",
        "LC_ALL=C.UTF-8",
        NULL,
    };
    size_t n_ours = 0, n_set = 0, n = 0;
    set = set ? set : nothing;
    while (ours[n_ours])
        n_ours++;
    while (set[n_set])
        n_set++;
    const char **childs = assay_arena_array(arena, n_ours + n_set + ASSAY_COUNT(standard), sizeof *childs);
    for (size_t i = 0; i < n_ours; i++)
        if (!is_cleared(ours[i]) && !find(set, ours[i]) && !find(standard, ours[i]))
            childs[n++] = ours[i];
    for (size_t i = 0; standard[i]; i++)
        if (!find(set, standard[i]))
            childs[n++] = standard[i];
    for (size_t i = 0; i < n_set; i++)
        childs[n++] = set[i];
    return childs;
}

static void record(struct assay_row *row, const char *what, const char *variable)
{
    size_t n = name_length(variable);
    assay_row_map_text(row, ASSAY_ROW_environment, assay_arena_printf(&row->arena, "%s.%.*s", what, (int)n, variable),
                       variable[n] ? variable + n + 1 : "");
}

void assay_environment_record(char *const *ours, const char *const *childs, struct assay_row *row)
{
    char *const *all = ours;
    for (; *ours; ours++)
        if (!find(childs, *ours))
            record(row, "cleared", *ours);
        else if (is_kept(*ours))
            record(row, "kept", *ours);
    for (; *childs; childs++) {
        const char *was = find((const char *const *)all, *childs);
        if (is_cleared(*childs) || !was || strcmp(was, *childs) != 0)
            record(row, "set", *childs);
    }
}
