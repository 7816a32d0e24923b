/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native runtime's inside: what the parts of runtime/native share.
 *
 * A graph is compiled once (passes of graph/pass.h, weights packed), and specialised for each set of input dimensions that it
 * meets: types inferred, a kernel chosen for each node, memory planned. A specialisation is a list of steps; a run walks it.
 *
 * To add a kernel: a maker in the table of a file of kernels/ (CMake finds the file). A node is offered to the makers of its op
 * in table order; the first that does not answer ASSAY_UNSUPPORTED has it; with none left, it runs on the reference kernel.
 */
#ifndef ASSAY_RUNTIME_NATIVE_NATIVE_H
#define ASSAY_RUNTIME_NATIVE_NATIVE_H

#include "graph/op.h"
#include "runtime/native/isa.h"
#include "runtime/native/thread_pool.h"
#include "runtime/runtime.h"

/* How a value lies in memory. Its type always says ONNX's dimensions. */
enum native_layout {
    NATIVE_PLAIN, /* row-major in the order of the dimensions */
    NATIVE_NHWC,  /* of [n, channel, spatial…] (rank 3 to 5): channels last */
};

struct native_kernel;
struct native_special;

/* What a kernel sees when it runs. A tensor's data may change between runs; its type only where the kernel is `dynamic`. An input
 * or output that is not given, or that the kernel said it does not need, is NULL. */
struct native_args {
    const struct native_kernel *kernel;
    const struct assay_tensor *const *in;
    struct assay_tensor *const *out;
    unsigned char *scratch; /* scratch_bytes for each thread */
};

struct native_kernel {
    const char *name; /* "oneDNN brgemm:avx512_core": for profiles and --passes */
    /* Part `part` of n_parts, on any thread; `scratch` is this thread's. */
    void (*run)(const struct native_args *args, int part, unsigned char *scratch);
    /* Or, instead of run: the whole, on the calling thread; may fail. A dynamic kernel sets its outputs' types and data. */
    enum assay_status (*run_whole)(const struct native_args *args, struct native_pool *pool, struct assay_error *err);
    int n_parts;           /* ≥ 1 */
    int64_t scratch_bytes; /* of a thread; 64-byte aligned */
    int in_place;          /* output 0 may take the bytes of this input if nobody reads it later; -1 = none */
    /* [n_outputs]: output k may be written where that input lies, if both are a state of the program and nobody reads the input
     * later; NULL = none */
    const int *state_inputs;
    bool is_view;                /* does nothing: output 0 is input 0's bytes under another type */
    void *data;                  /* the maker's */
    void (*release)(void *data); /* may be NULL */
};

/* What a maker sees of a node, and its answer. Borrowed for the call, except as said. */
struct native_build {
    struct native_program *program;
    const struct assay_graph *graph;
    const struct assay_node *node;
    int n_inputs, n_outputs;
    const struct assay_type *inputs, *outputs;    /* all known; of one not given: dtype ASSAY_NO_DTYPE */
    const struct assay_tensor *const *constants;  /* [n_inputs]: contents that never change, as in the graph; else NULL */
    enum native_layout *in_layouts, *out_layouts; /* how inputs lie; the maker writes how it wants them and what it makes. A
                                                     constant lies as the graph has it */
    bool *unneeded;                               /* [n_inputs]: the maker has packed it, the kernel will not look */
    bool *packed;        /* [n_inputs]: set by native_pack_find and native_pack_add: its bytes as the graph
                            has them may go */
    const int *captures; /* values that the node's bodies read: plain, after the inputs in args.in */
    int n_captures;
    bool *unmade; /* [n_outputs]: the kernel keeps it in a cache, nobody else reads it */
    int n_threads;
    enum native_isa isa;
    struct assay_arena *arena; /* lives as long as the kernel */
    struct native_special *special;
    struct native_kernel kernel; /* the answer; zeroed but n_parts 1, in_place -1 */
};

/* Whether the node has that input; false of -1. */
static inline bool native_is_given(const struct native_build *build, int input)
{
    return input >= 0 && input < build->n_inputs && build->node->inputs[input] >= 0;
}

struct native_maker {
    const char *type, *domain;
    enum assay_status (*make)(struct native_build *build, struct assay_error *err);
    bool dynamic; /* is also asked where types are not all known: dimensions may be -1, ranks too */
};

/* Packed weights: made once for a program, whatever shapes it meets. An input that is packed and unneeded is not looked at again,
 * not by the pointer that the maker saw either. `key` tells everything that their form depends on but the
 * input itself. Returns what is there, or NULL; add gives uninitialised bytes (64-byte aligned), or NULL without memory. */
const void *native_pack_find(struct native_build *build, int input, const char *key);
void *native_pack_add(struct native_build *build, int input, const char *key, int64_t size_bytes);

/* The cache (cache.h) that a kernel may keep input and output in, to which each run appends `rows`: if they are a state of the
 * program, [batch, heads, length, dim], that only this node reads. Else NULL. The maker says that it needs neither (`unneeded`,
 * `unmade`); before a run the cache holds what the input held, with room for the rows, and `length` without them. */
struct native_cache *native_cache_of(struct native_build *build, int input, int output, int64_t rows);

/* Dimensions as they lie in memory: dims[rank] of `type` under `layout`. */
void native_memory_dims(const struct assay_type *type, enum native_layout layout, int64_t *dims);
/* Copies between layouts, in parts of the pool. */
struct native_kernel native_reorder_kernel(const struct assay_type *type, enum native_layout from, enum native_layout to,
                                           int n_threads, enum native_isa isa, struct assay_arena *arena);
/* The reference kernel of any op; dynamic if not all types are known. */
struct native_kernel native_fallback_kernel(struct native_build *build);

/* How many parts an elementwise job of that many bytes is worth. */
int native_parts(int64_t size_bytes, int n_threads);
/* Up to whole cache lines: what follows in a scratch begins on one. */
static inline int64_t native_aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }
/* Share of 0 … n that part `part` of n_parts does, in multiples of `grain`. */
static inline void native_share(int64_t n, int64_t grain, int part, int n_parts, int64_t *begin, int64_t *end)
{
    int64_t blocks = (n + grain - 1) / grain;
    *begin = blocks * part / n_parts * grain;
    *end = blocks * (part + 1) / n_parts * grain;
    if (*end > n)
        *end = n;
}

#endif
