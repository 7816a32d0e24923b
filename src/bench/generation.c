/* SPDX-License-Identifier: Apache-2.0 */
/* See generation.h: opening and closing. A request's way is in generation_run.c, that of its beams in generation_beams.c. */
#include "bench/generation_parts.h"

#include <stdlib.h>
#include <string.h>

enum assay_status assay_generation_take_room(struct assay_generation_room *room, int64_t n, int64_t size, struct assay_error *err)
{
    static const int64_t MOST = INT64_C(1) << 40;
    if (n > MOST / size)
        return assay_error_set(err, ASSAY_NO_MEMORY, "a request of %lld elements is too large", (long long)n);
    size_t size_bytes = ((size_t)(n * size) | 63) + 1;
    if (size_bytes <= room->size_bytes)
        return ASSAY_OK;
    size_bytes += (size_bytes / 2) & ~(size_t)63; /* it will grow on */
    free(room->data);
    *room = (struct assay_generation_room){aligned_alloc(64, size_bytes), size_bytes};
    if (room->data)
        return ASSAY_OK;
    room->size_bytes = 0;
    return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for %zu bytes of a request", size_bytes);
}

int64_t assay_generation_pad_token(const struct assay_model_generation *generation)
{
    if (generation->pad_token >= 0)
        return generation->pad_token;
    return generation->n_eos_tokens ? generation->eos_tokens[0] : 0;
}

/* ---- open */

static int output_named(const struct assay_graph *graph, const char *name)
{
    for (int i = 0; graph && i < graph->n_outputs; i++)
        if (strcmp(graph->values[graph->outputs[i]].name, name) == 0)
            return i;
    return -1;
}

static enum assay_generation_role role_of(const struct assay_graph *graph, int input, bool is_encoded)
{
    const char *name = assay_generation_input_name(graph, input);
    if (assay_graph_is_state(graph, input))
        return ROLE_STATE;
    if (strcmp(name, "input_ids") == 0)
        return ROLE_TOKENS;
    if (strcmp(name, "attention_mask") == 0)
        return ROLE_MASK;
    if (strcmp(name, "position_ids") == 0)
        return ROLE_POSITIONS;
    if (!is_encoded)
        return ROLE_REQUEST;
    return strcmp(name, "inputs_embeds") == 0 ? ROLE_PROMPT : ROLE_ENCODED;
}

static enum assay_status assign_roles(struct assay_generator *g, struct assay_error *err)
{
    const struct assay_graph *graph = g->decode.graph;
    bool has_tokens = false;
    g->roles = assay_arena_array(&g->arena, (size_t)graph->n_inputs, sizeof *g->roles);
    g->encoded = assay_arena_array(&g->arena, (size_t)graph->n_inputs, sizeof *g->encoded);
    for (int i = 0; i < graph->n_inputs; i++) {
        g->encoded[i] = output_named(g->encode.graph, assay_generation_input_name(graph, i));
        g->roles[i] = role_of(graph, i, g->encoded[i] >= 0);
        has_tokens |= g->roles[i] == ROLE_TOKENS;
        if (g->roles[i] == ROLE_STATE && graph->values[graph->inputs[i]].type.rank < 1)
            return assay_error_set(err, ASSAY_INVALID, "the decode graph's state '%s' has no batch",
                                   assay_generation_input_name(graph, i));
    }
    g->logits = output_named(graph, "logits");
    g->prompt_mask = output_named(g->encode.graph, "decoder_attention_mask");
    if (!has_tokens || g->logits < 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "the decode graph '%s' has no %s", graph->name,
                               has_tokens ? "output 'logits'" : "input 'input_ids'");
    return ASSAY_OK;
}

static enum assay_status compile_phase(struct assay_generator *g, struct assay_generation_phase *phase,
                                       const struct assay_generator_options *options, struct assay_error *err)
{
    enum assay_status st = assay_graph_sort(phase->graph, err);
    if (!st && options->transform)
        st = options->transform(options->context, phase->graph, err);
    if (!st)
        st = g->runtime->compile(phase->graph, &options->compile, &phase->program, err);
    phase->inputs = assay_arena_array(&g->arena, (size_t)phase->graph->n_inputs, sizeof *phase->inputs);
    return st;
}

enum assay_status assay_generator_open_graphs(struct assay_graph *encode, struct assay_graph *decode,
                                              const struct assay_model_info *info, const struct assay_generator_options *options,
                                              struct assay_generator **generator, struct assay_error *err)
{
    struct assay_generator *g = assay_alloc(sizeof *g);
    assay_arena_init(&g->arena);
    g->runtime = options->runtime;
    g->info = *info;
    g->encode.graph = encode;
    g->decode.graph = decode;
    enum assay_status st = assign_roles(g, err);
    if (!st && encode)
        st = compile_phase(g, &g->encode, options, err);
    if (!st)
        st = compile_phase(g, &g->decode, options, err);
    if (st) {
        assay_generator_close(g);
        return st;
    }
    *generator = g;
    return ASSAY_OK;
}

enum assay_status assay_generator_open(const char *path, const struct assay_generator_options *options,
                                       struct assay_generator **generator, struct assay_error *err)
{
    struct assay_model_options model = {.phase = ASSAY_PHASE_WHOLE};
    struct assay_model_info info;
    struct assay_graph *encode = NULL, *decode = NULL;
    if (options->model)
        model = *options->model;
    model.phase = ASSAY_PHASE_DECODE;
    enum assay_status st = assay_model_open(path, &model, &decode, &info, err);
    if (!st && !info.generation.generates)
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "%s has no cache of keys and values that Assay could generate with", path);
    model.phase = ASSAY_PHASE_ENCODE;
    if (!st && info.generation.encodes)
        st = assay_model_open(path, &model, &encode, NULL, err);
    if (st) {
        assay_graph_close(decode);
        return st;
    }
    return assay_generator_open_graphs(encode, decode, &info, options, generator, err);
}

static void release_phase(const struct assay_generator *g, struct assay_generation_phase *phase)
{
    g->runtime->release(phase->program);
    assay_graph_close(phase->graph);
}

void assay_generator_close(struct assay_generator *g)
{
    if (!g)
        return;
    release_phase(g, &g->encode);
    release_phase(g, &g->decode);
    struct assay_generation_room *const rooms[] = {&g->ones,  &g->tokens,  &g->positions, &g->mask,     &g->n_seen,
                                                   &g->ended, &g->widened, &g->states[0], &g->states[1]};
    for (size_t i = 0; i < ASSAY_COUNT(rooms); i++)
        free(rooms[i]->data);
    assay_arena_release(&g->arena);
    free(g);
}

const struct assay_graph *assay_generator_graph(const struct assay_generator *generator, enum assay_model_phase phase)
{
    return phase == ASSAY_PHASE_ENCODE ? generator->encode.graph : generator->decode.graph;
}

struct assay_program *assay_generator_program(const struct assay_generator *generator, enum assay_model_phase phase)
{
    return phase == ASSAY_PHASE_ENCODE ? generator->encode.program : generator->decode.program;
}

const struct assay_model_info *assay_generator_info(const struct assay_generator *generator) { return &generator->info; }

void assay_answer_release(struct assay_answer *answer)
{
    if (!answer)
        return;
    free(answer->tokens);
    free(answer->logits);
    free(answer->scores);
    free(answer->step_ns);
    free(answer->choice_ns);
    *answer = (struct assay_answer){.batch = 0};
}
