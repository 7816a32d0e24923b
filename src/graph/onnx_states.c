/* SPDX-License-Identifier: Apache-2.0 */
/* See onnx_states.h. */
#include "graph/onnx_states.h"

#include <stdio.h>

static char *write_name(char *at, const char *name)
{
    for (; *name; name++)
        if (strchr(":,%", *name))
            at += sprintf(at, "%%%02X", (unsigned)*name);
        else
            *at++ = *name;
    return at;
}

char *assay_onnx_write_states(const struct assay_graph *graph, struct assay_arena *arena)
{
    size_t room = 1;
    for (int i = 0; i < graph->n_states; i++)
        room += 2 + 3 * strlen(graph->values[graph->outputs[graph->states[i].output]].name) +
                3 * strlen(graph->values[graph->inputs[graph->states[i].input]].name);
    if (room == 1)
        return NULL;
    char *text = assay_arena_alloc(arena, room), *at = text;
    for (int i = 0; i < graph->n_states; i++) {
        if (i > 0)
            *at++ = ',';
        at = write_name(at, graph->values[graph->outputs[graph->states[i].output]].name);
        *at++ = ':';
        at = write_name(at, graph->values[graph->inputs[graph->states[i].input]].name);
    }
    *at = '\0';
    return text;
}

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* Reads a name up to `end` or the text's end, into `name`. Returns where it ended. */
static const char *read_name(const char *at, char end, char *name)
{
    while (*at && *at != end) {
        if (*at == '%' && digit(at[1]) >= 0 && digit(at[2]) >= 0) {
            *name++ = (char)(16 * digit(at[1]) + digit(at[2]));
            at += 3;
        } else {
            *name++ = *at++;
        }
    }
    *name = '\0';
    return at;
}

/* Positions of values among the graph's outputs and inputs, -1 = none; and which inputs have a state. */
struct ends {
    int *output_of, *input_of;
    bool *taken;
};

static int *positions(const struct assay_graph *graph, const int *list, int n, struct assay_arena *arena)
{
    int *of_value = assay_arena_array(arena, (size_t)graph->n_values, sizeof *of_value);
    for (int i = 0; i < graph->n_values; i++)
        of_value[i] = -1;
    for (int i = n - 1; i >= 0; i--)
        of_value[list[i]] = i;
    return of_value;
}

static bool agree(const struct assay_type *a, const struct assay_type *b)
{
    if ((a->dtype && b->dtype && a->dtype != b->dtype) || (a->rank >= 0 && b->rank >= 0 && a->rank != b->rank))
        return false;
    for (int i = 0; i < a->rank && a->rank == b->rank; i++)
        if (a->dims[i] >= 0 && b->dims[i] >= 0 && a->dims[i] != b->dims[i])
            return false;
    return true;
}

static enum assay_status add_state(struct assay_graph *graph, const char *output, const char *input, const struct ends *ends,
                                   struct assay_error *err)
{
    int from = assay_graph_find(graph, output), to = assay_graph_find(graph, input);
    from = from < 0 ? -1 : ends->output_of[from];
    to = to < 0 ? -1 : ends->input_of[to];
    if (from < 0 || to < 0)
        return assay_error_set(err, ASSAY_INVALID, "metadata %s: state '%s' to '%s': %s", ASSAY_ONNX_STATES, output, input,
                               from < 0 ? "the first is no output of the graph" : "the second is no input of the graph");
    if (ends->taken[to])
        return assay_error_set(err, ASSAY_INVALID, "metadata %s: two states lead to input '%s'", ASSAY_ONNX_STATES, input);
    if (!agree(&graph->values[graph->outputs[from]].type, &graph->values[graph->inputs[to]].type))
        return assay_error_set(err, ASSAY_INVALID, "metadata %s: output '%s' and input '%s' have different types",
                               ASSAY_ONNX_STATES, output, input);
    ends->taken[to] = true;
    assay_graph_add_state(graph, from, to);
    return ASSAY_OK;
}

enum assay_status assay_onnx_read_states(struct assay_graph *graph, const char *text, struct assay_error *err)
{
    struct assay_arena arena;
    enum assay_status st = ASSAY_OK;
    assay_arena_init(&arena);
    char *output = assay_arena_alloc(&arena, strlen(text) + 1), *input = assay_arena_alloc(&arena, strlen(text) + 1);
    struct ends ends = {
        .output_of = positions(graph, graph->outputs, graph->n_outputs, &arena),
        .input_of = positions(graph, graph->inputs, graph->n_inputs, &arena),
        .taken = assay_arena_alloc(&arena, (size_t)graph->n_inputs * sizeof(bool)),
    };
    for (int i = 0; i < graph->n_states; i++)
        ends.taken[graph->states[i].input] = true;
    for (const char *at = text; *at && !st;) {
        at = read_name(at, ':', output);
        at = read_name(*at ? at + 1 : at, ',', input);
        if (*at)
            at++;
        st = add_state(graph, output, input, &ends, err);
    }
    assay_arena_release(&arena);
    return st;
}
