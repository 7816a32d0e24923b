/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runtimes: software that runs a graph on a device. A runtime is a struct of functions; the table of all is made by CMake from
 * the folders here (registry.h). To add one: a folder runtime/NAME with a const struct assay_runtime assay_runtime_NAME.
 *
 * Life of a program: compile → bind → run … run → output → release. A program belongs to one thread at a time. A runtime may
 * start threads of its own, pinned to the CPUs that this process is allowed to use.
 */
#ifndef ASSAY_RUNTIME_RUNTIME_H
#define ASSAY_RUNTIME_RUNTIME_H

#include "graph/graph.h"

/* Opaque: each runtime defines its own. */
struct assay_program;

/* Device + runtime + variant. Strings from the arena given to list, or static. */
struct assay_platform {
    const char *name;    /* "cpu/onnxruntime", "cuda:0/cuda": what --platform takes */
    const char *device;  /* "cpu", "cuda:0" */
    const char *runtime; /* "onnxruntime" */
    const char *variant; /* execution provider, adapter, ISA tier; "" if there is only one */
    const char *version; /* of the runtime; "" if absent */
    bool available;
    bool is_test;       /* null, fault: listed only on demand */
    const char *reason; /* why it is absent; "" if available */
};

struct assay_platform_list {
    struct assay_platform *items;
    int n;
    struct assay_arena *arena;
    const char *only; /* NULL, or the one name whose availability matters: others need not be probed (which can take seconds) */
};
void assay_platform_add(struct assay_platform_list *list, const struct assay_platform *platform);

struct assay_option {
    const char *name, *value;
};

struct assay_compile_options {
    const struct assay_platform *platform;
    int n_threads;                      /* ≥ 1 */
    const char *isa;                    /* "" = the best there is; else a tier of the runtime's ("avx2") */
    bool profile;                       /* per-op times will be asked for */
    bool gives_weights;                 /* the caller empties the graph's constants after compile (takes_weights) */
    int optimization;                   /* 0 none, 1 basic, 2 extended, 3 all (default 3): for runtimes that offer levels */
    const char *ep_library;             /* a plug-in library for the runtime; NULL = none */
    const struct assay_option *options; /* further ones, runtime-specific; an unknown name is ASSAY_INVALID */
    size_t n_options;
};

/* One line of a profile: one execution of a node of the compiled program. Times of a node with a body contain its body's. */
struct assay_op_time {
    int run;          /* number of the run since compile, from 0 */
    const char *name; /* node name */
    const char *type; /* op type, as the runtime calls it ("Conv", "FusedConv"); "" = what recording took, no part of the run */
    int node;         /* index in the graph's nodes, -1 if the runtime made the node up */
    int64_t start_ns; /* since the start of its run */
    int64_t wall_ns;
    /* Of this execution, at its shapes; 0 and 0 where the runtime does not tell: then those of `node` count. */
    double flops, bytes;
    enum assay_dtype dtype; /* what it computes in, ASSAY_NO_DTYPE if not told */
};

struct assay_runtime_memory {
    int64_t weights_bytes, workspace_bytes, peak_bytes; /* -1 = not reported */
};

struct assay_runtime {
    const char *name;
    int max_threads;       /* 0 = as many as one likes */
    bool is_reference;     /* its outputs are what others are compared with */
    bool computes_nothing; /* its outputs mean nothing and are not compared */
    bool takes_weights;    /* a program owns its share of the constants that it needs: after compile the caller may give his up,
                              and what has been packed is freed then */
    /* Required. Adds the platforms that this runtime could run on, those absent too, with the reason. Never fails. */
    void (*list)(struct assay_platform_list *list);
    /* Optional: what is wrong with isa and options whatever the graph, as compile says it too: ASSAY_INVALID, a name that there
     * is not; ASSAY_UNSUPPORTED, one that cannot be had here. NULL = compile tells. */
    enum assay_status (*check_options)(const struct assay_compile_options *options, struct assay_error *err);
    /* Optional: whether a node can run, with the reason in *err if not (ASSAY_UNSUPPORTED). NULL = compile tells. */
    enum assay_status (*supports)(const struct assay_graph *graph, const struct assay_node *node, struct assay_error *err);
    /* Optional: makes of an f32 graph one in f16 or bf16, for its own compile. NULL = assay_graph_set_precision serves. */
    enum assay_status (*set_precision)(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err);
    /* Required. The graph's input types must be known (assay_graph_bind), but for dimensions that are to differ from run to run,
     * as those of keys and values that grow: these stay open. It is borrowed until release. ASSAY_UNSUPPORTED names
     * op or dtype. */
    enum assay_status (*compile)(const struct assay_graph *graph, const struct assay_compile_options *options,
                                 struct assay_program **program, struct assay_error *err);
    /* Required. inputs[n_inputs of the graph], in its order; their bytes are borrowed until the next bind or release, and not
     * written. An input that a state ends in may have no type and no data (zeroed): it keeps what it holds, which is what the
     * last run left, or else the bytes of the bind before, still borrowed; ASSAY_INVALID where there are none. A dimension that
     * was open (-1) at compile may differ from bind to bind. */
    enum assay_status (*bind)(struct assay_program *program, const struct assay_tensor *inputs, struct assay_error *err);
    /* Required. One run, finished when it returns. Declared states move from output to input. */
    enum assay_status (*run)(struct assay_program *program, struct assay_error *err);
    /* Required. Output `index` of the last run: a tensor that borrows until the next run, bind or release. */
    enum assay_status (*output)(struct assay_program *program, int index, struct assay_tensor *tensor, struct assay_error *err);
    /* Optional: times of all runs since compile (options.profile was set), in order, borrowed until release; recording may end
     * with this call, so it is asked once. NULL = this runtime has no profile. */
    enum assay_status (*profile)(struct assay_program *program, const struct assay_op_time **times, int *n_times,
                                 struct assay_error *err);
    /* Optional: what it says of its memory. NULL = it says nothing. */
    void (*memory)(struct assay_program *program, struct assay_runtime_memory *memory);
    /* Optional: energy of the device since the program was compiled, in joules. NULL = not metered here. */
    enum assay_status (*energy)(struct assay_program *program, double *energy_j, struct assay_error *err);
    /* Required. Accepts NULL. */
    void (*release)(struct assay_program *program);
};

#endif
