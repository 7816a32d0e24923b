/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding patterns in a graph, for passes: who makes a value, who reads it, which constants it is. Of a graph that is sorted; an
 * index of uses is made once, and is out of date as soon as the graph changes, except through the functions here.
 */
#ifndef ASSAY_GRAPH_MATCH_H
#define ASSAY_GRAPH_MATCH_H

#include "graph/graph.h"

struct assay_match {
    struct assay_graph *graph;
    int *n_uses;   /* [n_values at open]: reads by nodes, captures by bodies, and being a graph output */
    int *a_reader; /* a node that reads it; -1 = none */
    int n_values;
    int *same; /* [n_values]: the value that stands for it from now on; itself for most. NULL until one does */
};

void assay_match_open(struct assay_match *match, struct assay_graph *graph);
void assay_match_close(struct assay_match *match);
/* The end of a pass: closes, and if anything changed, leaves the graph sorted, swept and inferred. */
enum assay_status assay_match_finish(struct assay_match *match, int n_changes, struct assay_error *err);
/* A whole pass: calls change(match, index) for each node there was at the beginning and still is, which tells whether it changed
 * anything. */
enum assay_status assay_match_each(struct assay_graph *graph, bool (*change)(struct assay_match *match, int index),
                                   int *n_changes, struct assay_error *err);

/* Index of the node of that type (ONNX's domain unless `domain` is given) whose output 0 the value is; -1 if it is none. */
int assay_match_maker(const struct assay_match *match, int value, const char *type);
/* The same, if nobody but the asking node reads the value, so that it may vanish. */
int assay_match_sole_maker(const struct assay_match *match, int value, const char *type);
/* The one reader, if there is just one and the value is no graph output; -1 otherwise. */
int assay_match_sole_reader(const struct assay_match *match, int value);
/* Contents that never change, or NULL. */
const struct assay_tensor *assay_match_constant(const struct assay_match *match, int value);
/* Whether the value is a float constant of one element (of any rank), and which. */
bool assay_match_scalar(const struct assay_match *match, int value, double *number);
bool assay_match_is_scalar(const struct assay_match *match, int value, double number, double tolerance);
/* Of a binary op with a commutative meaning: one input is a scalar constant; the other is set. */
bool assay_match_with_scalar(const struct assay_match *match, int node, double *number, int *other);
/* Whether the node (-1 or dropped: no) is of that type, and its output 0 is wanted; "assay.Linear" with its domain. */
bool assay_match_is(const struct assay_match *match, int node, const char *type);
/* Contents of a constant list of integers, at most `room`; -1 if it is none, or longer. */
int assay_match_ints(const struct assay_match *match, int value, int64_t *numbers, int room);
/* Whether both may have one shape: the same rank, and no dimension in which they are known to differ. A dimension that is 1 in
 * one and open in the other may not. */
bool assay_match_same_shape(const struct assay_match *match, int a, int b);
bool assay_match_same_dims(const struct assay_match *match, int a, int b); /* of whatever dtypes */

/*
 * Patterns. One tells what a value is made of, from its maker up:
 *
 *     Mul(Sigmoid(Mul(x, $a)), x)       x: any value, the same one in both places; $a: a scalar constant of any number
 *     Div(d:Sub(x, ReduceMean(x, ...)), Sqrt(Add(ReduceMean([Pow(d, 2)|Mul(d, d)], ...), $e)))
 *
 * Letters are bound where they stand first; d:… also says what d is made of. A number is a scalar constant of that number, as
 * exactly as its dtype has it. [a|b]: the first that fits. "...": whatever further inputs. Inputs of Add and Mul may stand in
 * either order: write the more particular one first. All nodes but the first must be read within the pattern only.
 */
enum { ASSAY_FOUND_INSIDE = 48 };
struct assay_found {
    int values['z' - 'a' + 1];     /* -1 = not bound */
    double numbers['z' - 'a' + 1]; /* of $letters */
    int n_inside;
    struct {
        int value, n_reads;
    } inside[ASSAY_FOUND_INSIDE]; /* what nodes other than the first make */
};
bool assay_match_pattern(const struct assay_match *match, int value, const char *pattern, struct assay_found *found);
/* The same, of what a letter is made of: bindings stay, and the node is one within. */
bool assay_match_further(const struct assay_match *match, char letter, const char *pattern, struct assay_found *found);
static inline int assay_found_value(const struct assay_found *found, char letter) { return found->values[letter - 'a']; }
static inline double assay_found_number(const struct assay_found *found, char letter) { return found->numbers[letter - 'a']; }
/* The node that makes the letter's value. */
const struct assay_node *assay_found_node(const struct assay_match *match, const struct assay_found *found, char letter);

/* Changes, which keep the index true. What nobody reads any more goes at once. */

/* The value is made by a new node from now on, which takes its maker's name. */
struct assay_node *assay_match_remake(struct assay_match *match, int value, const char *type, const char *domain, int n_inputs,
                                      const int *inputs);
/* A new node of one output, whose number is returned. type may be NULL. */
int assay_match_add(struct assay_match *match, const char *type, const char *domain, int n_inputs, const int *inputs,
                    const char *name, const struct assay_type *output);
/* The node makes these values too, as outputs 1 …; their makers, of one output each, go. */
void assay_match_also_make(struct assay_match *match, int node, int n, const int *values);
struct assay_node *assay_match_added(const struct assay_match *match); /* the node that was added last, for attributes */
int assay_match_add_constant(struct assay_match *match, const char *name, const struct assay_tensor *tensor);
int assay_match_add_ints(struct assay_match *match, const char *name, const int64_t *numbers, int64_t n); /* int64[n] */
/* Whoever reads `value`, output 0 of that node, reads `other` from now on (as far as the loop over the nodes in order has not
 * come by yet: through assay_match_renew) and the node goes. False where that cannot be: an output of the graph must stay. */
bool assay_match_alias(struct assay_match *match, int node, int value, int other);
/* A node's inputs as aliases have them, for a loop over the nodes in order, before it looks at the node. */
void assay_match_renew(struct assay_match *match, int node);

#endif
