/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compiled graph and its specialisations: see native.h. specialize.c makes one, with kernels that choose_kernel.c finds;
 * specializations.c keeps and finds them, runtime_native.c runs them.
 *
 * Segments (segments.c): where the shape of a value is known only once its node has run (NonZero, Range, a Reshape to computed
 * dimensions), a specialisation ends with such nodes. What lies behind them, its rest, is a program whose inputs are the values
 * at the cut; it is specialised for their dimensions when they are there, and may be cut again.
 */
#ifndef ASSAY_RUNTIME_NATIVE_PROGRAM_H
#define ASSAY_RUNTIME_NATIVE_PROGRAM_H

#include "base/arena.h"
#include "runtime/native/cache.h"
#include "runtime/native/native.h"

enum {
    NATIVE_MAX_SPECIALS = 16,
    NATIVE_MAX_TREE = 128,    /* specialisations of a program and its rests, together */
    NATIVE_MAX_SEGMENTS = 64, /* one behind the other; in the last, shapes stay open */
};

enum native_place {
    NATIVE_CONSTANT,
    NATIVE_INPUT,     /* of the graph: where the caller or a state has it */
    NATIVE_WORKSPACE, /* at an offset */
    NATIVE_OWN,       /* allocated in each run: its size is not known before */
    NATIVE_VIEW,      /* the bytes of another slot */
    NATIVE_CACHE,     /* nowhere: a state that a kernel keeps in its cache */
    NATIVE_REST,      /* where the rest has it, once that has run */
};

/* A value in one layout. */
struct native_slot {
    struct assay_tensor tensor; /* type: ONNX's dimensions; data: set when the specialisation is activated */
    enum native_layout layout;
    enum native_place place;
    int value;       /* number in the graph; -1 = none */
    int view_of;     /* slot */
    int last_node;   /* of a slot that is no view: the last node that reads its bytes, through whatever view */
    int first, last; /* steps that write and read its bytes */
    int64_t offset;
};

struct native_step {
    const struct assay_node *node; /* NULL: a reorder */
    struct native_kernel kernel;
    struct native_args args;
    int *in_slots, *out_slots; /* -1 = none */
    int n_in, n_out;
    struct native_note *note; /* of the profile (profile.c); NULL before it is first recorded */
};

/* A state that a kernel of the specialisation keeps in the program's cache, and by how much a run lengthens it. */
struct native_cache_use {
    int state;
    int64_t rows;
};

/* The program at given input dimensions. */
struct native_special {
    struct assay_arena arena;
    struct assay_graph *graph; /* with these dimensions bound and inferred */
    int64_t *dims;             /* of all inputs, one after another; -1 = any: it changes from run to run. Then all ranks */
    int64_t *limits;           /* [n_dims]: how long one that is open may be; NULL = any length */
    int n_dims;                /* with the ranks */
    struct native_slot *slots;
    int n_slots, slot_room;
    int (*slot_of)[2]; /* [n_values][layout]: slot, -1 = none */
    struct native_step *steps;
    int n_steps, step_room;
    struct native_cache_use *cache_uses; /* [n_states] */
    int n_cache_uses;
    bool *moves;                     /* [n_states]: a kernel writes the state's output where its input lies */
    int *input_slots, *output_slots; /* of the graph; an input's is -1 if nobody reads it */
    struct native_program *rest;     /* NULL = none */
    int *rest_inputs, *rest_outputs; /* slots of the rest's inputs and outputs */
    double work;                     /* FLOPs and bytes of the nodes whose shapes are known: only of a rest */
    int64_t workspace_bytes, scratch_bytes;
    uint64_t last_used;
};

struct native_pack {
    int value;
    const char *key;
    void *bytes;
    int64_t size_bytes;
    void *memory; /* that is freed with it; NULL: it lies in that of one before it */
};

struct native_memory {
    unsigned char *workspace, *scratch;
    int64_t workspace_bytes, scratch_bytes;
};

struct native_program { /* what runtime.h calls a program */
    struct assay_arena arena;
    struct assay_graph *graph; /* after the passes; dimensions as declared */
    struct native_pool *pool;
    struct native_program *root;  /* of a body: the program of the whole model, which has the pool and the profile; else NULL */
    int depth;                    /* 0, or of a body how deep */
    struct native_program *whole; /* of a rest: the program that it is a part of, which has weights and memory; else NULL */
    int segment;                  /* 0, or of a rest how many are before it */
    int n_threads;
    enum native_isa isa;
    bool profile;
    struct native_pack *packs;
    int n_packs, pack_room;
    unsigned char *pack_place; /* for the next, with what is left from there on */
    int64_t pack_left;
    struct native_special *specials[NATIVE_MAX_SPECIALS];
    int n_specials;
    struct native_special *current;
    struct native_cache *caches;  /* [n_states] */
    struct assay_tensor *inputs;  /* [n_inputs], borrowing or, for states after a run, owning */
    struct assay_tensor *outputs; /* [n_outputs], borrowing from the current specialisation or owning (states) */
    struct native_memory memory[NATIVE_MAX_SEGMENTS]; /* of the program and, since one of each runs at a time, of all its rests */
    int64_t packed_bytes;
    int64_t bodies_packed_bytes, bodies_workspace_bytes; /* of the programs that have this one as their root, now */
    bool gives_back; /* it has one specialisation, and nobody else needs the graph's constants: they go once packed */
    bool bound, has_run;
    bool stale; /* stale: states have other values, and perhaps shapes, than the specialisation was activated with */
    uint64_t clock;
    int n_runs;
    int64_t run_start_ns, run_size; /* of the profile: size of the inputs, so that costs are found again when they have grown */
    struct assay_op_time *times;
    int n_times, time_room;
};

static inline struct native_program *native_whole(struct native_program *program)
{
    return program->whole ? program->whole : program;
}

/* Frees packed weights but for the first n_packs: those of a maker that then failed. */
void native_pack_forget(struct native_program *program, int n_packs);
/* Makes or finds the specialisation for the inputs' dimensions, and activates it. */
enum assay_status native_specialize(struct native_program *program, struct assay_error *err);
/* The steps of a specialisation whose graph is bound. */
enum assay_status native_make_steps(struct native_program *program, struct native_special *special, struct assay_error *err);
/* The build of a node, with the kernel that takes it. */
void native_choose_kernel(struct native_program *program, struct native_special *special, const struct assay_node *node,
                          struct native_build *build);
/* The state whose input and output are these of the node; -1: none is. */
int native_state_of(const struct native_build *build, int input, int output);
void native_special_close(struct native_special *special);

/* [n_nodes of the specialisation]: the nodes that wait for shapes; in the arena. NULL: there are none, or dimensions are open
 * because they change from run to run. */
const bool *native_cut(const struct native_program *program, struct native_special *special);
/* Makes special->rest of these nodes. Its values have the numbers that they have in the specialisation's graph. */
enum assay_status native_rest_open(struct native_program *program, struct native_special *special, const bool *behind,
                                   struct assay_error *err);
void native_rest_close(struct native_program *rest); /* accepts NULL */
/* After the steps of the current specialisation: binds, specialises and runs its rest. */
enum assay_status native_rest_run(struct native_program *program, struct assay_error *err);
/* How many times as long dimensions of a rest may become until its specialisation is worth making: with all behind it, it then
 * takes as long on reference kernels as being made. < 1: it is worth it already. */
double native_rest_growth(const struct native_special *special);
void native_find_work(struct native_special *special);
/* One walk through the steps of the current specialisation. */
enum assay_status native_run_steps(struct native_program *program, struct assay_error *err);
/* The profile (profile.c), if the program keeps one. start: a run begins; walk: so does one through the steps; step: one has run
 * since start_ns; other: what is no op has, in a program with states. They return the time at which what follows starts. */
int64_t native_profile_start(struct native_program *program);
int64_t native_profile_now(void);
int64_t native_profile_walk(struct native_program *program);
int64_t native_profile_step(struct native_program *program, struct native_step *step, int64_t start_ns);
int64_t native_profile_other(struct native_program *program, const char *name, int64_t start_ns);
/* Frees all that it owns; the pool only of a program that is no body's. */
void native_program_clear(struct native_program *program);

#endif
