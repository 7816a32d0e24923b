/* SPDX-License-Identifier: Apache-2.0 */
/* See generation_parts.h: what changes between the steps of a beam search. Which beams go on is decided in beams.c. */
#include "bench/generation_parts.h"

#include <string.h>

static enum assay_status open_search(struct assay_generation *run, struct assay_error *err)
{
    const struct assay_model_generation *generation = &run->g->info.generation;
    struct assay_beams_options options = {.batch = run->batch,
                                          .beams = run->beams,
                                          .vocabulary = run->answer->vocabulary,
                                          .max_new_tokens = run->request->max_new_tokens,
                                          .eos_tokens = generation->eos_tokens,
                                          .n_eos_tokens = run->request->ignore_eos ? 0 : generation->n_eos_tokens,
                                          .pad_token = assay_generation_pad_token(generation)};
    return assay_beams_open(&options, &run->search, err);
}

/* Rows of a tensor, in the order of sources, each of which stands for `share` of them, to `to`. */
static void gather(const struct assay_tensor *from, const int64_t *sources, int64_t n, int64_t share, char *to)
{
    size_t size = (size_t)(assay_tensor_bytes(from) / from->type.dims[0]);
    for (int64_t r = 0; r < n; r++)
        memcpy(to + (size_t)r * size, (const char *)from->data + (size_t)(sources[r] / share) * size, size);
}

static int64_t gathered_bytes(const struct assay_tensor *tensor, int64_t rows)
{
    return ((assay_tensor_bytes(tensor) / tensor->type.dims[0] * rows) | 63) + 1;
}

/* States as the beams need them: what row sources[r] left is bound as row r's. */
static enum assay_status reorder(struct assay_generation *run, const int64_t *sources, int64_t share, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    const struct assay_graph *graph = g->decode.graph;
    struct assay_generation_room *room = &g->states[run->turn ^= 1];
    int64_t n_bytes = 0, rows = run->batch * run->beams;
    struct assay_tensor tensor;
    enum assay_status st = ASSAY_OK;
    for (int s = 0; s < graph->n_states; s++) {
        st = g->runtime->output(g->decode.program, graph->states[s].output, &tensor, err);
        if (!st && (tensor.type.rank < 1 || tensor.type.dims[0] != run->rows))
            st = assay_error_set(err, ASSAY_INVALID, "the state '%s' has no row for each beam",
                                 assay_generation_input_name(graph, graph->states[s].input));
        if (st)
            return st;
        n_bytes += gathered_bytes(&tensor, rows);
    }
    st = assay_generation_take_room(room, n_bytes, 1, err);
    char *to = room->data;
    for (int s = 0; !st && s < graph->n_states; s++) {
        st = g->runtime->output(g->decode.program, graph->states[s].output, &tensor, err);
        if (st)
            break;
        struct assay_type type = tensor.type;
        type.dims[0] = rows;
        gather(&tensor, sources, rows, share, to);
        assay_tensor_borrow(&g->decode.inputs[graph->states[s].input], &type, to);
        to += gathered_bytes(&tensor, rows);
    }
    return st;
}

/* Whether an input of the decode graph has a row for each row of the batch. */
static bool has_rows(const struct assay_generation *run, int input)
{
    const struct assay_value *value = &run->g->decode.graph->values[run->g->decode.graph->inputs[input]];
    bool named = value->dim_names && value->dim_names[0];
    return value->type.rank > 0 && value->type.dims[0] < 0 && (!named || strcmp(value->dim_names[0], "batch") == 0);
}

/* From a row for each request to one for each beam. */
static enum assay_status widen(struct assay_generation *run, const int64_t *sources, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    int64_t n = run->n_places, rows = run->batch * run->beams, n_bytes = 0;
    int64_t *places = g->mask.data, *n_seen = g->n_seen.data;
    for (int64_t r = rows - 1; r >= 0; r--) {
        memmove(places + r * n, places + r / run->beams * n, (size_t)n * sizeof *places);
        n_seen[r] = n_seen[r / run->beams];
    }
    for (int pass = 0; pass < 2; pass++) { /* how much, then into it */
        char *to = g->widened.data;
        for (int i = 0; i < g->decode.graph->n_inputs; i++) {
            struct assay_tensor *input = &g->decode.inputs[i];
            if ((g->roles[i] != ROLE_ENCODED && g->roles[i] != ROLE_REQUEST) || !has_rows(run, i))
                continue;
            if (input->type.dims[0] != run->batch && pass == 0)
                return assay_error_set(err, ASSAY_INVALID, "the input '%s' has no row for each request",
                                       assay_generation_input_name(g->decode.graph, i));
            int64_t size = gathered_bytes(input, rows);
            n_bytes += size;
            if (pass == 0)
                continue;
            struct assay_type type = input->type;
            type.dims[0] = rows;
            gather(input, sources, rows, run->beams, to);
            assay_tensor_borrow(input, &type, to);
            to += size;
        }
        enum assay_status st = pass == 0 ? assay_generation_take_room(&g->widened, n_bytes, 1, err) : ASSAY_OK;
        if (st)
            return st;
    }
    return ASSAY_OK;
}

enum assay_status assay_generation_step_beams(struct assay_generation *run, const float *logits, struct assay_error *err)
{
    const int64_t *tokens, *sources;
    enum assay_status st = run->search ? ASSAY_OK : open_search(run, err);
    if (st)
        return st;
    bool first = run->step == 0, moved = first;
    int64_t rows = run->batch * run->beams;
    assay_beams_step(run->search, logits, &tokens, &sources);
    memcpy(run->g->tokens.data, tokens, (size_t)rows * sizeof *tokens);
    for (int64_t r = 0; r < rows; r++)
        moved |= sources[r] != r;
    if (run->step + 1 == run->request->max_new_tokens || assay_beams_done(run->search))
        return ASSAY_OK;
    if (moved)
        st = reorder(run, sources, first ? run->beams : 1, err);
    if (!st && first)
        st = widen(run, sources, err);
    run->rows = rows;
    return st;
}
