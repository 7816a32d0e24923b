/* SPDX-License-Identifier: Apache-2.0 */
/* See generation.h: a request, from its inputs to its tokens. */
#include "bench/generation_parts.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the request */

static const struct assay_tensor *given(const struct assay_request *request, const char *name)
{
    for (size_t i = 0; i < request->n_inputs; i++)
        if (strcmp(request->inputs[i].name, name) == 0)
            return &request->inputs[i].tensor;
    return NULL;
}

/* The prompt's tokens have another name where the model has a start token: input_ids are the encoder's. */
static const char *prompt_name(const struct assay_generator *g)
{
    return g->info.generation.start_token >= 0 ? "decoder_input_ids" : "input_ids";
}

static const char *prompt_mask_name(const struct assay_generator *g)
{
    return g->info.generation.start_token >= 0 ? "decoder_attention_mask" : "attention_mask";
}

static enum assay_status check_request(const struct assay_generator *g, const struct assay_request *request,
                                       struct assay_error *err)
{
    if (request->max_new_tokens < 1)
        return assay_error_set(err, ASSAY_INVALID, "%lld new tokens were asked for: at least one must be",
                               (long long)request->max_new_tokens);
    if (request->beams < 0 || request->beams > ASSAY_MOST_BEAMS)
        return assay_error_set(err, ASSAY_INVALID, "%lld beams were asked for, of at most %d", (long long)request->beams,
                               ASSAY_MOST_BEAMS);
    for (size_t i = 0; i < request->n_inputs; i++) {
        const char *name = request->inputs[i].name;
        bool known = strcmp(name, prompt_name(g)) == 0 || strcmp(name, prompt_mask_name(g)) == 0;
        for (int k = 0; g->encode.graph && k < g->encode.graph->n_inputs; k++)
            known |= strcmp(name, assay_generation_input_name(g->encode.graph, k)) == 0;
        for (int k = 0; k < g->decode.graph->n_inputs; k++)
            known |= g->roles[k] == ROLE_REQUEST && strcmp(name, assay_generation_input_name(g->decode.graph, k)) == 0;
        if (!known)
            return assay_error_set(err, ASSAY_INVALID, "the model generates from no input '%s'", name);
        if (request->inputs[i].tensor.type.rank < 1 || request->inputs[i].tensor.type.dims[0] < 1)
            return assay_error_set(err, ASSAY_INVALID, "the input '%s' has no batch", name);
    }
    if (request->n_inputs == 0)
        return assay_error_set(err, ASSAY_INVALID, "a request must have an input");
    return ASSAY_OK;
}

/* int64 [batch, n], of which *n may be any (-1). */
static enum assay_status check_table(const struct assay_tensor *tensor, const char *name, int64_t batch, int64_t n,
                                     struct assay_error *err)
{
    const struct assay_type *type = &tensor->type;
    char text[256];
    if (type->dtype == ASSAY_I64 && type->rank == 2 && type->dims[0] == batch && (n < 0 ? type->dims[1] > 0 : type->dims[1] == n))
        return ASSAY_OK;
    assay_type_text(type, text, sizeof text);
    if (n < 0)
        return assay_error_set(err, ASSAY_INVALID, "'%s' is %s, where i64[%lld,length] is needed", name, text, (long long)batch);
    return assay_error_set(err, ASSAY_INVALID, "'%s' is %s, where i64[%lld,%lld] is needed", name, text, (long long)batch,
                           (long long)n);
}

static void borrow_table(struct assay_tensor *tensor, int64_t rows, int64_t n, const void *data)
{
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){rows, n});
    assay_tensor_borrow(tensor, &type, data);
}

/* ---- encoding */

/* A mask of ones, as long as the tokens. */
static enum assay_status default_mask(struct assay_generator *g, const struct assay_tensor *ids, struct assay_tensor *mask,
                                      struct assay_error *err)
{
    int64_t n = assay_tensor_count(ids);
    enum assay_status st = assay_generation_take_room(&g->ones, n, sizeof(int64_t), err);
    if (st)
        return st;
    int64_t *ones = g->ones.data;
    for (int64_t i = 0; i < n; i++)
        ones[i] = 1;
    struct assay_type type = ids->type;
    type.dtype = ASSAY_I64;
    assay_tensor_borrow(mask, &type, ones);
    return ASSAY_OK;
}

static enum assay_status encode(struct assay_generation *run, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    struct assay_generation_phase *phase = &g->encode;
    for (int i = 0; i < phase->graph->n_inputs; i++) {
        const char *name = assay_generation_input_name(phase->graph, i);
        const struct assay_tensor *tensor = given(run->request, name), *ids = given(run->request, "input_ids");
        enum assay_status st = ASSAY_OK;
        if (tensor)
            assay_tensor_borrow(&phase->inputs[i], &tensor->type, tensor->data);
        else if (ids && strcmp(name, "attention_mask") == 0)
            st = default_mask(g, ids, &phase->inputs[i], err);
        else
            st = assay_error_set(err, ASSAY_INVALID, "the request has no '%s', which the model needs", name);
        if (st)
            return st;
    }
    enum assay_status st = g->runtime->bind(phase->program, phase->inputs, err);
    return st ? st : g->runtime->run(phase->program, err);
}

/* ---- the prompt */

/* Bytes of what has no elements. */
static const int64_t nothing[8];

/* What a state holds before the first run, and the embedded prompt after it: no places. */
static void borrow_empty(struct assay_tensor *tensor, const struct assay_value *value, int64_t rows)
{
    struct assay_type type = value->type;
    for (int d = 0; d < type.rank; d++)
        if (type.dims[d] < 0)
            type.dims[d] = d == 0 ? rows : 0;
    assay_tensor_borrow(tensor, &type, nothing);
}

/* Tokens, mask and positions: ids and mask may be NULL. */
static enum assay_status write_prompt(struct assay_generation *run, const struct assay_tensor *ids,
                                      const struct assay_tensor *mask, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    int64_t n = run->n_tokens, rows = run->batch * run->beams, most = n + run->request->max_new_tokens;
    enum assay_status st = assay_generation_take_room(&g->tokens, rows, n * (int64_t)sizeof(int64_t), err);
    if (!st)
        st = assay_generation_take_room(&g->positions, rows, n * (int64_t)sizeof(int64_t), err);
    if (!st)
        st = assay_generation_take_room(&g->mask, rows, most * (int64_t)sizeof(int64_t), err);
    if (!st)
        st = assay_generation_take_room(&g->n_seen, rows, sizeof(int64_t), err);
    if (st)
        return st;
    int64_t *tokens = g->tokens.data, *positions = g->positions.data, *places = g->mask.data, *n_seen = g->n_seen.data;
    for (int64_t r = 0; r < run->batch; r++) {
        n_seen[r] = 0;
        for (int64_t i = r * n; i < (r + 1) * n; i++) {
            tokens[i] = ids ? ((const int64_t *)ids->data)[i] : g->info.generation.start_token;
            places[i] = mask ? ((const int64_t *)mask->data)[i] != 0 : 1;
            n_seen[r] += places[i];
            positions[i] = places[i] ? n_seen[r] - 1 : 1;
        }
    }
    return ASSAY_OK;
}

/* The decode graph's inputs that come from the encode graph and the request; *embedded: the prompt, if it is among them. */
static enum assay_status borrow_fixed(struct assay_generation *run, const struct assay_tensor **embedded, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    *embedded = NULL;
    for (int i = 0; i < g->decode.graph->n_inputs; i++) {
        struct assay_tensor *input = &g->decode.inputs[i];
        const char *name = assay_generation_input_name(g->decode.graph, i);
        const struct assay_tensor *tensor = g->roles[i] == ROLE_REQUEST ? given(run->request, name) : NULL;
        enum assay_status st = ASSAY_OK;
        if (tensor)
            assay_tensor_borrow(input, &tensor->type, tensor->data);
        else if (g->roles[i] == ROLE_REQUEST)
            st = assay_error_set(err, ASSAY_INVALID, "the request has no '%s', which the model needs", name);
        else if (g->roles[i] == ROLE_PROMPT || g->roles[i] == ROLE_ENCODED)
            st = g->runtime->output(g->encode.program, g->encoded[i], input, err);
        if (!st && g->roles[i] == ROLE_PROMPT && (input->type.rank != 3 || input->type.dims[1] < 1))
            st = assay_error_set(err, ASSAY_INVALID, "the encode graph gives no prompt in '%s'", name);
        if (st)
            return st;
        if (g->roles[i] == ROLE_PROMPT)
            *embedded = input;
    }
    return ASSAY_OK;
}

static enum assay_status take_prompt(struct assay_generation *run, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    const struct assay_tensor *ids = given(run->request, prompt_name(g)), *mask = given(run->request, prompt_mask_name(g));
    const struct assay_tensor *embedded;
    struct assay_tensor encoded_mask;
    enum assay_status st = borrow_fixed(run, &embedded, err);
    if (!st && embedded) {
        run->n_tokens = embedded->type.dims[1];
        ids = mask = NULL;
    } else if (!st && ids) {
        st = check_table(ids, prompt_name(g), run->batch, -1, err);
        run->n_tokens = ids->type.rank > 1 ? ids->type.dims[1] : 0;
    } else if (!st) {
        run->n_tokens = 1;
        if (g->info.generation.start_token < 0)
            st = assay_error_set(err, ASSAY_INVALID, "the request has no '%s', which the model needs", prompt_name(g));
    }
    if (!st && g->prompt_mask >= 0 && !g->runtime->computes_nothing) {
        st = g->runtime->output(g->encode.program, g->prompt_mask, &encoded_mask, err);
        mask = &encoded_mask;
    }
    if (!st && mask)
        st = check_table(mask, prompt_mask_name(g), run->batch, run->n_tokens, err);
    if (st)
        return st;
    run->n_places = run->n_tokens;
    st = write_prompt(run, ids, mask, err);
    for (int i = 0; !st && i < g->decode.graph->n_inputs; i++) {
        struct assay_tensor *input = &g->decode.inputs[i];
        if (g->roles[i] == ROLE_TOKENS)
            borrow_table(input, run->batch, embedded ? 0 : run->n_tokens, g->tokens.data);
        else if (g->roles[i] == ROLE_MASK)
            borrow_table(input, run->batch, run->n_places, g->mask.data);
        else if (g->roles[i] == ROLE_POSITIONS)
            borrow_table(input, run->batch, run->n_tokens, g->positions.data);
        else if (g->roles[i] == ROLE_STATE)
            borrow_empty(input, &g->decode.graph->values[g->decode.graph->inputs[i]], run->batch);
    }
    return st;
}

/* ---- token by token */

/* The chosen tokens are in their table; each is a place to look at behind those before it. */
static void take_tokens(struct assay_generation *run)
{
    struct assay_generator *g = run->g;
    int64_t *positions = g->positions.data, *places = g->mask.data, *n_seen = g->n_seen.data, n = run->n_places;
    for (int64_t r = run->rows - 1; r >= 0; r--) { /* from behind, since rows become longer where they are */
        memmove(places + r * (n + 1), places + r * n, (size_t)n * sizeof *places);
        places[r * (n + 1) + n] = 1;
        positions[r] = n_seen[r]++;
    }
    run->n_places++;
    run->n_tokens = 1;
    for (int i = 0; i < g->decode.graph->n_inputs; i++) {
        struct assay_tensor *input = &g->decode.inputs[i];
        if (g->roles[i] == ROLE_TOKENS)
            borrow_table(input, run->rows, 1, g->tokens.data);
        else if (g->roles[i] == ROLE_MASK)
            borrow_table(input, run->rows, run->n_places, places);
        else if (g->roles[i] == ROLE_POSITIONS)
            borrow_table(input, run->rows, 1, positions);
        else if (g->roles[i] == ROLE_PROMPT)
            borrow_empty(input, &g->decode.graph->values[g->decode.graph->inputs[i]], run->rows);
    }
}

/* Runs the decode graph; *logits f32 [rows, vocabulary], NULL from a runtime that computes nothing. */
static enum assay_status decode(struct assay_generation *run, const float **logits, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    struct assay_tensor tensor;
    char text[256];
    *logits = NULL;
    enum assay_status st = g->runtime->bind(g->decode.program, g->decode.inputs, err);
    int64_t start_ns = assay_clock_ns();
    if (!st)
        st = g->runtime->run(g->decode.program, err);
    run->run_ns = assay_clock_ns() - start_ns;
    if (!st)
        st = g->runtime->output(g->decode.program, g->logits, &tensor, err);
    if (st || g->runtime->computes_nothing)
        return st;
    const struct assay_type *type = &tensor.type;
    if (type->dtype != ASSAY_F32 || type->rank != 3 || type->dims[0] != run->rows || type->dims[1] != 1 || type->dims[2] < 1 ||
        (run->answer->vocabulary && run->answer->vocabulary != type->dims[2]))
        return assay_error_set(err, ASSAY_INVALID, "the decode graph's logits are %s, where f32[%lld,1,vocabulary] is needed",
                               assay_type_text(type, text, sizeof text), (long long)run->rows);
    run->answer->vocabulary = type->dims[2];
    *logits = tensor.data;
    return ASSAY_OK;
}

static bool ends(const struct assay_model_generation *generation, int64_t token)
{
    for (int i = 0; i < generation->n_eos_tokens; i++)
        if (generation->eos_tokens[i] == token)
            return true;
    return false;
}

/* The first of the largest; a NaN is larger than nothing. In blocks and lanes, which become vectors: the table of tokens may be
 * longer than a small model's run. */
static int64_t largest(const float *values, int64_t n)
{
    enum { LANES = 16, BLOCK = 64 * LANES };
    int64_t at = 0, begin = 0;
    for (; begin + BLOCK <= n; begin += BLOCK) {
        float lanes[LANES], most = -INFINITY;
        for (int k = 0; k < LANES; k++)
            lanes[k] = -INFINITY;
        for (int64_t i = begin; i < begin + BLOCK; i += LANES)
            for (int k = 0; k < LANES; k++)
                lanes[k] = values[i + k] > lanes[k] ? values[i + k] : lanes[k];
        for (int k = 0; k < LANES; k++)
            most = lanes[k] > most ? lanes[k] : most;
        if (most > values[at])
            for (at = begin; values[at] != most;)
                at++;
    }
    for (int64_t i = begin; i < n; i++)
        if (values[i] > values[at])
            at = i;
    return at;
}

static enum assay_status keep_logits(struct assay_generation *run, const float *logits, struct assay_error *err)
{
    struct assay_answer *answer = run->answer;
    int64_t n = answer->vocabulary, most = run->request->max_new_tokens, all = run->batch * most;
    if (all * n > answer->logits_room) {
        free(answer->logits);
        answer->logits = n > INT64_C(1) << 38 ? NULL : malloc((size_t)(all * n) * sizeof *logits);
        answer->logits_room = answer->logits ? all * n : 0;
        if (!answer->logits)
            return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for the logits of %lld tokens", (long long)all);
    }
    for (int64_t r = 0; r < run->batch; r++)
        memcpy(answer->logits + (r * most + run->step) * n, logits + r * n, (size_t)n * sizeof *logits);
    return ASSAY_OK;
}

/* The next tokens, into the table and the answer. */
static void choose(struct assay_generation *run, const float *logits)
{
    const struct assay_model_generation *generation = &run->g->info.generation;
    int64_t *tokens = run->g->tokens.data, n = run->answer->vocabulary;
    for (int64_t r = 0; r < run->batch; r++) {
        bool ended = run->ended[r] && !run->request->ignore_eos;
        tokens[r] = ended ? assay_generation_pad_token(generation) : logits ? largest(logits + r * n, n) : 0;
        run->answer->tokens[r * run->request->max_new_tokens + run->step] = tokens[r];
        run->ended[r] |= ends(generation, tokens[r]);
    }
}

static bool all_ended(const struct assay_generation *run)
{
    for (int64_t r = 0; r < run->batch; r++)
        if (!run->ended[r])
            return false;
    return !run->request->ignore_eos;
}

/* ---- all */

static enum assay_status prepare_answer(const struct assay_generation *run, struct assay_error *err)
{
    struct assay_answer *answer = run->answer;
    int64_t most = run->request->max_new_tokens;
    if (most > (INT64_C(1) << 30) / run->batch)
        return assay_error_set(err, ASSAY_INVALID, "%lld requests of %lld new tokens are too many", (long long)run->batch,
                               (long long)most);
    int64_t n = run->batch * most;
    free(answer->scores);
    answer->scores = NULL;
    answer->batch = run->batch;
    answer->n_tokens = answer->vocabulary = 0;
    if (n > answer->room) {
        free(answer->tokens);
        free(answer->step_ns);
        free(answer->choice_ns);
        answer->tokens = malloc((size_t)n * sizeof *answer->tokens);
        answer->step_ns = malloc((size_t)n * sizeof *answer->step_ns);
        answer->choice_ns = malloc((size_t)n * sizeof *answer->choice_ns);
        answer->room = answer->tokens && answer->step_ns && answer->choice_ns ? n : 0;
    }
    if (run->beams > 1)
        answer->scores = malloc((size_t)run->batch * sizeof *answer->scores);
    if (answer->room < n || (run->beams > 1 && !answer->scores))
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for an answer of %lld tokens", (long long)n);
    return ASSAY_OK;
}

/* Of the greedy answer: rows as long as they became. */
static void close_rows(struct assay_generation *run)
{
    struct assay_answer *answer = run->answer;
    int64_t n = run->step, most = run->request->max_new_tokens, vocabulary = answer->vocabulary;
    for (int64_t r = 1; r < run->batch; r++) {
        memmove(answer->tokens + r * n, answer->tokens + r * most, (size_t)n * sizeof *answer->tokens);
        if (run->request->keep_logits && vocabulary)
            memmove(answer->logits + r * n * vocabulary, answer->logits + r * most * vocabulary,
                    (size_t)(n * vocabulary) * sizeof *answer->logits);
    }
    answer->n_tokens = n;
}

/* From the decode graph's logits to the next tokens. */
static enum assay_status step(struct assay_generation *run, struct assay_error *err)
{
    const struct assay_graph *graph = run->g->decode.graph;
    const float *logits;
    int64_t start_ns = assay_clock_ns();
    enum assay_status st = decode(run, &logits, err);
    if (st)
        return st;
    for (int s = 0; s < graph->n_states; s++) /* left out, so kept */
        run->g->decode.inputs[graph->states[s].input] = (struct assay_tensor){.data = NULL};
    if (run->beams > 1)
        st = assay_generation_step_beams(run, logits, err);
    else if (run->request->keep_logits && logits)
        st = keep_logits(run, logits, err);
    if (!st && run->beams <= 1)
        choose(run, logits);
    run->answer->choice_ns[run->step] = (double)(assay_clock_ns() - start_ns - run->run_ns);
    return st;
}

static enum assay_status generate(struct assay_generation *run, int64_t start_ns, struct assay_error *err)
{
    enum assay_status st = run->g->encode.graph ? encode(run, err) : ASSAY_OK;
    if (!st)
        st = take_prompt(run, err);
    while (!st) {
        st = step(run, err);
        if (st)
            return st;
        int64_t now_ns = assay_clock_ns();
        run->answer->step_ns[run->step++] = (double)(now_ns - start_ns);
        start_ns = now_ns;
        if (run->step == run->request->max_new_tokens || (run->search ? assay_beams_done(run->search) : all_ended(run)))
            break;
        take_tokens(run);
    }
    if (!st && run->search)
        assay_beams_finish(run->search, run->answer->tokens, &run->answer->n_tokens, run->answer->scores);
    else if (!st)
        close_rows(run);
    return st;
}

enum assay_status assay_generator_run(struct assay_generator *generator, const struct assay_request *request,
                                      struct assay_answer *answer, struct assay_error *err)
{
    int64_t start_ns = assay_clock_ns();
    enum assay_status st = check_request(generator, request, err);
    if (st)
        return st;
    const struct assay_tensor *ids = given(request, "input_ids"), *first = ids ? ids : &request->inputs[0].tensor;
    bool searches = request->beams > 1 && !generator->runtime->computes_nothing;
    struct assay_generation run = {.g = generator,
                                   .request = request,
                                   .answer = answer,
                                   .batch = first->type.dims[0],
                                   .rows = first->type.dims[0],
                                   .beams = searches ? request->beams : 1};
    st = prepare_answer(&run, err);
    if (!st)
        st = assay_generation_take_room(&generator->ended, run.batch, sizeof *run.ended, err);
    if (st)
        return st;
    run.ended = generator->ended.data;
    memset(run.ended, 0, (size_t)run.batch * sizeof *run.ended);
    st = generate(&run, start_ns, err);
    assay_beams_close(run.search);
    return st;
}
