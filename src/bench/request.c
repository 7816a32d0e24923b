/* SPDX-License-Identifier: Apache-2.0 */
/* See request.h. */
#include "bench/request.h"

#include "graph/infer.h"
#include "graph/weight_only.h"
#include "model/analysis.h"

#include <math.h>
#include <string.h>

enum assay_status assay_phases_open(struct assay_phases *phases, const char *path, enum assay_model_weights weights,
                                    struct assay_error *err)
{
    struct assay_model_options options = {.phase = ASSAY_PHASE_DECODE, .weights = weights};
    struct assay_model_info info = {0};
    *phases = (struct assay_phases){NULL, NULL, {0}};
    enum assay_status st = assay_model_open(path, &options, &phases->decode, &info, err);
    if (st)
        return st;
    phases->generation = info.generation;
    options.phase = ASSAY_PHASE_ENCODE;
    if (info.generation.encodes)
        st = assay_model_open(path, &options, &phases->encode, NULL, err);
    if (st)
        assay_phases_release(phases);
    return st;
}

void assay_phases_release(struct assay_phases *phases)
{
    if (!phases)
        return;
    assay_graph_close(phases->encode);
    assay_graph_close(phases->decode);
    phases->encode = phases->decode = NULL;
}

/* Position among the graph's inputs, -1 if it has none of that name. */
static int find_input(const struct assay_graph *graph, const char *name)
{
    for (int i = 0; graph && i < graph->n_inputs; i++)
        if (strcmp(graph->values[graph->inputs[i]].name, name) == 0)
            return i;
    return -1;
}

struct assay_open_inputs assay_phases_inputs(const struct assay_phases *phases, struct assay_arena *arena)
{
    static const char *const prompt[] = {"input_ids", "attention_mask"};
    const struct assay_graph *encode = phases->encode, *decode = phases->decode;
    size_t n = encode ? (size_t)encode->n_inputs : 0;
    struct assay_open_inputs inputs = {assay_arena_array(arena, n + ASSAY_COUNT(prompt), sizeof *inputs.items), 0, decode->name};
    for (size_t i = 0; i < n; i++)
        inputs.items[inputs.n++] = (struct assay_open_input){encode, encode->inputs[i], &encode->values[encode->inputs[i]]};
    int ids = find_input(decode, prompt[0]);
    for (size_t i = 0; phases->generation.start_token < 0 && i < ASSAY_COUNT(prompt); i++) {
        int input = find_input(decode, prompt[i]);
        /* A request's mask is as long as its prompt, which the decode graph's, over all that was seen, doesn't say. */
        if (input >= 0 && find_input(encode, prompt[i]) < 0)
            inputs.items[inputs.n++] =
                (struct assay_open_input){decode, decode->inputs[input], &decode->values[decode->inputs[ids]]};
    }
    return inputs;
}

/* ---- at a place of an answer */

enum assay_status assay_phases_bind(struct assay_phases *phases, const struct assay_case *c, struct assay_arena *arena,
                                    struct assay_error *err)
{
    size_t n = 0;
    if (!phases->encode)
        return ASSAY_OK;
    struct assay_binding *bindings = assay_arena_array(arena, c->n_inputs * ASSAY_MAX_RANK, sizeof *bindings);
    for (size_t i = 0; i < c->n_inputs; i++)
        for (int d = 0; find_input(phases->encode, c->inputs[i].name) >= 0 && d < c->inputs[i].type.rank; d++)
            bindings[n++] =
                (struct assay_binding){assay_arena_printf(arena, "%s:%d", c->inputs[i].name, d), c->inputs[i].type.dims[d]};
    enum assay_status st = assay_graph_bind(phases->encode, bindings, n, err);
    return st ? st : assay_graph_infer(phases->encode, err);
}

static const struct assay_case_input *case_input(const struct assay_case *c, const char *name)
{
    for (size_t i = 0; i < c->n_inputs; i++)
        if (strcmp(c->inputs[i].name, name) == 0)
            return &c->inputs[i];
    return NULL;
}

/* The encode graph's output of that name; NULL if there is none. */
static const struct assay_value *encoded(const struct assay_phases *phases, const char *name)
{
    const struct assay_graph *encode = phases->encode;
    for (int i = 0; encode && i < encode->n_outputs; i++)
        if (strcmp(encode->values[encode->outputs[i]].name, name) == 0)
            return &encode->values[encode->outputs[i]];
    return NULL;
}

/* Places that the decoder sees before it makes the first token; -1 if that depends on the data. */
static int64_t first_places(const struct assay_phases *phases, const struct assay_case *c)
{
    const struct assay_case_input *ids = case_input(c, "input_ids");
    const struct assay_value *prefix = find_input(phases->decode, "inputs_embeds") < 0 ? NULL : encoded(phases, "inputs_embeds");
    if (prefix)
        return prefix->type.rank == 3 ? prefix->type.dims[1] : -1;
    return phases->generation.start_token >= 0 || !ids || ids->type.rank != 2 ? 1 : ids->type.dims[1];
}

/* A place of an answer: what comes, after what was seen. The prompt is embedded already where the decode graph takes it so. */
struct place {
    int64_t batch, past, tokens, embedded;
};

/* The type of an input of the decode graph at a place. */
static enum assay_status decode_type(const struct assay_phases *phases, const struct assay_value *input,
                                     const struct place *place, struct assay_type *type, struct assay_error *err)
{
    const struct assay_value *output = encoded(phases, input->name);
    bool is_prefix = strcmp(input->name, "inputs_embeds") == 0, is_cache = strncmp(input->name, "past_key_values.", 16) == 0,
         is_mask = strcmp(input->name, "attention_mask") == 0, is_position = strcmp(input->name, "position_ids") == 0;
    *type = input->type;
    if (output && !is_prefix && !is_position) {
        *type = output->type;
        if (assay_type_is_known(type))
            return ASSAY_OK;
        return assay_error_set(err, ASSAY_UNSUPPORTED, "the shape of '%s' depends on the request's data", input->name);
    }
    int64_t comes = place->tokens + place->embedded, length = is_cache      ? place->past
                                                              : is_mask     ? place->past + comes
                                                              : is_position ? comes
                                                              : is_prefix   ? place->embedded
                                                                            : place->tokens;
    for (int d = 0; d < type->rank; d++)
        if (type->dims[d] < 0)
            type->dims[d] = d == 0 ? place->batch : length;
    return ASSAY_OK;
}

enum assay_status assay_phases_decode_at(const struct assay_phases *phases, const struct assay_case *c, int64_t past,
                                         int64_t sequence, bool converted, struct assay_arena *arena, struct assay_graph **graph,
                                         struct assay_error *err)
{
    const struct assay_graph *decode = phases->decode;
    bool is_embedded = past == 0 && find_input(decode, "inputs_embeds") >= 0;
    struct place place = {c->batch, past, is_embedded ? 0 : sequence, is_embedded ? sequence : 0};
    struct assay_binding *bindings = assay_arena_array(arena, (size_t)decode->n_inputs * ASSAY_MAX_RANK, sizeof *bindings);
    size_t n = 0;
    enum assay_status st = ASSAY_OK;
    for (int i = 0; !st && i < decode->n_inputs; i++) {
        const struct assay_value *input = &decode->values[decode->inputs[i]];
        struct assay_type type;
        st = decode_type(phases, input, &place, &type, err);
        for (int d = 0; !st && d < type.rank; d++)
            bindings[n++] = (struct assay_binding){assay_arena_printf(arena, "%s:%d", input->name, d), type.dims[d]};
    }
    if (st)
        return st;
    *graph = assay_graph_clone(decode);
    st = assay_graph_bind(*graph, bindings, n, err);
    if (!st && converted && assay_case_converts(c))
        st = assay_graph_convert_for_counting(*graph, c->precision, err);
    if (!st)
        st = assay_graph_infer(*graph, err);
    if (!st)
        return ASSAY_OK;
    assay_graph_close(*graph);
    *graph = NULL;
    return st;
}

/* ---- costs */

struct cost {
    double flops, bytes; /* NaN = not known */
};

static struct cost cost_of(const struct assay_graph *graph)
{
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    struct cost cost = {analysis.flops, analysis.bytes};
    if (analysis.n_unknown)
        cost.flops = cost.bytes = NAN; /* a part of a sum is no sum */
    assay_analysis_release(&analysis);
    return cost;
}

/* FLOPs as the model is, bytes as it is converted. */
static enum assay_status decode_cost(const struct assay_phases *phases, const struct assay_case *c, int64_t past,
                                     int64_t sequence, struct assay_arena *arena, struct cost *cost, struct assay_error *err)
{
    struct assay_graph *graph = NULL;
    enum assay_status st = assay_phases_decode_at(phases, c, past, sequence, false, arena, &graph, err);
    if (st)
        return st;
    *cost = cost_of(graph);
    assay_graph_close(graph);
    if (!assay_case_converts(c))
        return ASSAY_OK;
    st = assay_phases_decode_at(phases, c, past, sequence, true, arena, &graph, err);
    if (!st)
        cost->bytes = cost_of(graph).bytes;
    if (!st)
        assay_graph_close(graph);
    return st;
}

static enum assay_status encode_cost(const struct assay_phases *phases, const struct assay_case *c, struct cost *cost,
                                     struct assay_error *err)
{
    *cost = phases->encode ? cost_of(phases->encode) : (struct cost){0, 0};
    if (!phases->encode || !assay_case_converts(c))
        return ASSAY_OK;
    struct assay_graph *graph = assay_graph_clone(phases->encode);
    enum assay_status st = assay_graph_convert_for_counting(graph, c->precision, err);
    if (!st)
        st = assay_graph_infer(graph, err);
    if (!st)
        cost->bytes = cost_of(graph).bytes;
    assay_graph_close(graph);
    return st;
}

/* Whether any node reads all of a constant: of an embedding table only some rows are read. */
static bool is_read_whole(const struct assay_graph *graph, int value)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        bool looks_up = strcmp(node->type, "Gather") == 0;
        for (int k = looks_up ? 1 : 0; k < node->n_inputs; k++)
            if (node->inputs[k] == value)
                return true;
    }
    return false;
}

/* Weights, cache, and what the encode graph left for the decoder: what a step must read, however it is done. */
static double step_bytes(const struct assay_graph *graph)
{
    double bytes = 0;
    for (int i = 0; i < graph->n_values; i++) {
        const struct assay_value *v = &graph->values[i];
        if (v->constant.data && !v->is_inferred && assay_tensor_count(&v->constant) > 1 && is_read_whole(graph, i))
            bytes += (double)assay_tensor_bytes(&v->constant);
    }
    for (int i = 0; i < graph->n_inputs; i++)
        bytes += fmax(0, (double)assay_type_bytes(&graph->values[graph->inputs[i]].type));
    return bytes;
}

enum assay_status assay_phases_cost(struct assay_phases *phases, struct assay_case *c, struct assay_arena *arena,
                                    struct assay_error *err)
{
    const struct assay_case_input *ids = case_input(c, "input_ids");
    struct cost encode, prompt, first, last;
    struct assay_graph *middle = NULL;
    int64_t n_prompt = -1, n_steps = c->new_tokens - 1;
    c->prompt_tokens = ids && ids->type.rank == 2 ? ids->type.dims[1] : -1;
    c->flops = c->bytes = c->step_bytes = NAN;
    enum assay_status st = assay_phases_bind(phases, c, arena, err);
    if (!st)
        n_prompt = first_places(phases, c);
    if (st || n_prompt < 1)
        return st;
    st = encode_cost(phases, c, &encode, err);
    if (!st)
        st = decode_cost(phases, c, 0, n_prompt, arena, &prompt, err);
    if (!st)
        st = decode_cost(phases, c, n_prompt, 1, arena, &first, err);
    if (!st)
        st = decode_cost(phases, c, n_prompt + (n_steps > 0 ? n_steps - 1 : 0), 1, arena, &last, err);
    if (!st)
        st = assay_phases_decode_at(phases, c, n_prompt + n_steps / 2, 1, true, arena, &middle, err);
    if (st)
        return st == ASSAY_UNSUPPORTED ? ASSAY_OK : st;
    c->flops = encode.flops + prompt.flops + (double)n_steps * (first.flops + last.flops) / 2;
    c->bytes = encode.bytes + prompt.bytes + (double)n_steps * (first.bytes + last.bytes) / 2;
    c->step_bytes = step_bytes(middle);
    assay_graph_close(middle);
    return ASSAY_OK;
}
