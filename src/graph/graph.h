/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph: a model as ONNX means it. Op names, attributes and semantics are the standard's.
 *
 * Opset: what a file of an older opset says is rewritten at load (upgrade.h) to opset 17, so that an op has one meaning; a file
 * of a newer opset keeps its number, and ops take the forms that 18 and later added beside 17's (axes as an input, num_outputs,
 * …), since those are supersets. `opset` is the number that the graph is saved with.
 *
 * Values are numbered within their graph; -1 stands for "input not given" and "output not wanted". A value is a graph input, a
 * constant (initializer or folded), the output of one node, or, in a body of If/Loop/Scan, the capture of a value of the graph
 * around it. Nodes stand in topological order after assay_graph_sort.
 *
 * Ownership: a graph owns all that hangs on it (through its arena; constants through their buffers). A body belongs to the graph
 * around it. Strings and arrays given to the functions are copied. Threads: a graph that nobody changes may be read by many.
 */
#ifndef ASSAY_GRAPH_GRAPH_H
#define ASSAY_GRAPH_GRAPH_H

#include "base/arena.h"
#include "base/hash.h"
#include "graph/tensor.h"

enum { ASSAY_OPSET = 17 };

enum assay_attr_kind {
    ASSAY_ATTR_INT,
    ASSAY_ATTR_FLOAT,
    ASSAY_ATTR_STRING,
    ASSAY_ATTR_TENSOR,
    ASSAY_ATTR_GRAPH,
    ASSAY_ATTR_INTS,
    ASSAY_ATTR_FLOATS,
    ASSAY_ATTR_STRINGS,
};

struct assay_attr {
    const char *name;
    enum assay_attr_kind kind;
    size_t n;      /* length of a list or of a string; 1 otherwise */
    int64_t i;     /* INT */
    float f;       /* FLOAT */
    const char *s; /* STRING, NUL after n bytes */
    int64_t *ints; /* INTS */
    float *floats; /* FLOATS */
    const char **strings;
    struct assay_tensor tensor; /* owned by the graph */
    struct assay_graph *graph;  /* a body */
};

struct assay_node {
    const char *name;          /* may be "" */
    const char *type;          /* "Conv" */
    const char *domain;        /* "" for ONNX's own */
    const struct assay_op *op; /* NULL: no op of ours; the reason is found when somebody wants to run it */
    int n_inputs, n_outputs, n_attrs;
    int *inputs, *outputs; /* value numbers, -1 = none */
    struct assay_attr *attrs;
};

struct assay_value {
    const char *name; /* unique in its graph; "" never */
    struct assay_type type;
    /* [ASSAY_MAX_RANK], since inference may find another rank than the file declares, or NULL: symbolic dimensions of the
     * outermost graph's inputs and outputs ("batch"), each may be NULL. */
    const char **dim_names;
    struct assay_tensor constant; /* data != NULL: its contents are known. Owned by the graph */
    bool is_inferred;             /* `constant` was found by assay_graph_infer: the node that makes it is still there */
    bool is_input, is_output;     /* of the graph */
    int outer;                    /* in a body: number of the captured value in graph->outer; else -1 */
    int producer;                 /* index in nodes, -1 = none; valid after assay_graph_sort */
};

/* An output whose value is the next run's input (parameters, optimizer state, KV cache): positions in graph->outputs and
 * graph->inputs. */
struct assay_state {
    int output, input;
};

struct assay_graph {
    struct assay_arena arena;
    const char *name;
    const char *producer, *doc; /* of the model file; "" if none */
    int opset;                  /* of domain "" */
    int ir_version;
    struct assay_graph *outer;                  /* the graph whose body this is, or NULL */
    struct assay_graph *first_body, *next_body; /* all bodies of this graph; the next body of `outer` */
    struct assay_value *values;
    int n_values, value_room;
    int *name_slots; /* hash table of the values' names: value number + 1, 0 = free */
    int n_name_slots;
    struct assay_node **nodes;
    int n_nodes, node_room;
    int *inputs, *outputs; /* value numbers; inputs without those that are initializers */
    int n_inputs, n_outputs;
    struct assay_state *states;
    int n_states;
    struct assay_attr *metadata; /* STRING attributes: metadata_props */
    int n_metadata;
};

struct assay_graph *assay_graph_open(const char *name);
/* A body of `outer`: same opset; goes with it, also when no node has it yet. */
struct assay_graph *assay_graph_open_body(struct assay_graph *outer, const char *name);
void assay_graph_close(struct assay_graph *graph);
/* A deep copy that shares the constants' bytes. */
struct assay_graph *assay_graph_clone(const struct assay_graph *graph);

/* A new value; `name` is made unique by a suffix if it is taken. type may be NULL (unknown). Returns its number. */
int assay_graph_add_value(struct assay_graph *graph, const char *name, const struct assay_type *type);
/* A value with known contents; shares the tensor. */
int assay_graph_add_constant(struct assay_graph *graph, const char *name, const struct assay_tensor *tensor);
/* Gives a value another name, made unique like the first. Names are never written directly: they are indexed. */
void assay_graph_rename(struct assay_graph *graph, int value, const char *name);
/* Number of the value of that name, -1 if none. */
int assay_graph_find(const struct assay_graph *graph, const char *name);
/* In a body: the number of the local value that captures `outer_value` of graph->outer, made if missing. */
int assay_graph_capture(struct assay_graph *body, int outer_value);
/* Appends a node; inputs and outputs are value numbers. Looks the op up. */
struct assay_node *assay_graph_add_node(struct assay_graph *graph, const char *type, const char *domain, int n_inputs,
                                        const int *inputs, int n_outputs, const int *outputs);
/* Appends a copy of a node of another graph, in which value n is numbers[n] here; its bodies come along. */
struct assay_node *assay_graph_copy_node(struct assay_graph *graph, const struct assay_node *from, const int *numbers);
void assay_graph_add_input(struct assay_graph *graph, int value);
void assay_graph_add_output(struct assay_graph *graph, int value);
void assay_graph_add_state(struct assay_graph *graph, int output, int input);
/* Whether the graph's input of that position is a state's. */
bool assay_graph_is_state(const struct assay_graph *graph, int input);
void assay_graph_add_metadata(struct assay_graph *graph, const char *name, const char *value);
/* The text under PREFIX + NAME; NULL if there is none. */
const char *assay_graph_metadata(const struct assay_graph *graph, const char *prefix, const char *name);
/* Takes a node out of the list: its place becomes NULL until assay_graph_sweep. */
void assay_graph_drop_node(struct assay_graph *graph, int index);
/* Makes each use of value `from` a use of value `to`, in nodes, bodies' captures and graph outputs. If `from` was a graph output
 * and `to` neither output nor input, they swap names, so that the output keeps its own. */
void assay_graph_replace_uses(struct assay_graph *graph, int from, int to);
/* Drops the nodes that are NULL in `nodes`, then nodes and constants that nothing leads to a graph output from. */
void assay_graph_sweep(struct assay_graph *graph);
/* Topological order, bodies too; sets value.producer. ASSAY_INVALID names a cycle, a value made twice, or one that nobody makes.
 */
enum assay_status assay_graph_sort(struct assay_graph *graph, struct assay_error *err);

/* Of a sorted graph with inferred types: a node that gives back more memory than it takes runs as soon as it can, as a weight's
 * gradient once its activation is there, and an update once nobody needs the weight of before. All others keep their order.
 * Leaves it sorted. */
void assay_graph_schedule(struct assay_graph *graph);

/* Attributes: set replaces. The getters give the default where the attribute is missing; one of another kind counts as missing
 * (assay_graph_check reports it). */
void assay_node_set_int(struct assay_graph *graph, struct assay_node *node, const char *name, int64_t value);
void assay_node_set_float(struct assay_graph *graph, struct assay_node *node, const char *name, float value);
void assay_node_set_string(struct assay_graph *graph, struct assay_node *node, const char *name, const char *value);
/* A string that may hold NULs. */
void assay_node_set_string_n(struct assay_graph *graph, struct assay_node *node, const char *name, const char *value, size_t n);
void assay_node_set_ints(struct assay_graph *graph, struct assay_node *node, const char *name, const int64_t *values, size_t n);
void assay_node_set_floats(struct assay_graph *graph, struct assay_node *node, const char *name, const float *values, size_t n);
void assay_node_set_strings(struct assay_graph *graph, struct assay_node *node, const char *name, const char *const *values,
                            size_t n);
void assay_node_set_tensor(struct assay_graph *graph, struct assay_node *node, const char *name,
                           const struct assay_tensor *tensor);
void assay_node_set_graph(struct assay_graph *graph, struct assay_node *node, const char *name, struct assay_graph *body);
void assay_node_remove_attr(struct assay_node *node, const char *name);
const struct assay_attr *assay_node_attr(const struct assay_node *node, const char *name); /* NULL if missing */
int64_t assay_node_int(const struct assay_node *node, const char *name, int64_t otherwise);
float assay_node_float(const struct assay_node *node, const char *name, float otherwise);
const char *assay_node_string(const struct assay_node *node, const char *name, const char *otherwise);
/* Borrowed; NULL with *n = 0 if missing. */
const int64_t *assay_node_ints(const struct assay_node *node, const char *name, size_t *n);
const float *assay_node_floats(const struct assay_node *node, const char *name, size_t *n);
struct assay_graph *assay_node_graph(const struct assay_node *node, const char *name);

/* Content hash of a sorted graph: nodes, attributes, constants, and inputs with their declared types (a symbolic dimension counts
 * as open, also when it is bound); not names, order of nodes, doc strings or file layout, so that the same model saved by two
 * tools is one model. 64 hexadecimal digits. */
void assay_graph_hash(const struct assay_graph *graph, char text[ASSAY_HASH_TEXT_SIZE]);

/* The graph as text, a line a node, for people and tests. Free with free(). */
char *assay_graph_text(const struct assay_graph *graph);

#endif
