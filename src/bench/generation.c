/* SPDX-License-Identifier: Apache-2.0 */
/* See generation.h. What beams do with the logits is in beams.c. */
#include "bench/generation.h"

#include "base/clock.h"
#include "bench/beams.h"

#include <stdlib.h>
#include <string.h>

/* What the decode graph is given at an input. */
enum role {
    ROLE_TOKENS,
    ROLE_MASK,
    ROLE_POSITIONS,
    ROLE_STATE,
    ROLE_PROMPT,  /* the prompt, embedded already, instead of its tokens; nothing later */
    ROLE_ENCODED, /* an output of the encode graph */
    ROLE_REQUEST, /* an input of the request */
};

struct phase {
    struct assay_graph *graph;
    struct assay_program *program;
    struct assay_tensor *inputs; /* [n_inputs] */
};

/* Room that is taken once for many requests. */
struct block {
    void *data;
    size_t room;
};

struct assay_generator {
    struct assay_arena arena;
    const struct assay_runtime *runtime;
    struct assay_model_info info;
    struct phase encode, decode;          /* encode.graph NULL: there is none */
    enum role *roles;                     /* [decode inputs] */
    int *encoded;                         /* [decode inputs]: output of the encode graph; -1 = none */
    int logits, prompt_mask;              /* outputs of the decode and the encode graph; prompt_mask -1 = none */
    struct block ones;                    /* the encode graph's mask, where the request has none */
    struct block tokens, positions, mask; /* int64 [rows, places that the next run reads], mask [rows, all places] */
    struct block n_seen;                  /* int64 [rows]: ones in the mask */
    struct block ended;                   /* bool [batch] */
    struct block widened;                 /* the encode graph's outputs, a row for each beam */
    struct block states[2]; /* reordered for beams; turn about, since the last may still be read when the next is made */
};

/* One request in execution. */
struct run {
    struct assay_generator *g;
    const struct assay_request *request;
    struct assay_answer *answer;
    int64_t batch, beams, rows; /* rows: batch, and from the first choice on batch * beams */
    int64_t n_tokens, n_places; /* that the next run reads, and up to there */
    int64_t step;
    int turn;                   /* of the blocks of states */
    bool *ended;                /* [batch] */
    struct assay_beams *search; /* NULL: greedy, or not begun */
};

static enum assay_status take_room(struct block *block, int64_t n, int64_t size, struct assay_error *err)
{
    static const int64_t MOST = INT64_C(1) << 40;
    if (n > MOST / size)
        return assay_error_set(err, ASSAY_NO_MEMORY, "a request of %lld elements is too large", (long long)n);
    size_t room = ((size_t)(n * size) | 63) + 1;
    if (room <= block->room)
        return ASSAY_OK;
    room += (room / 2) & ~(size_t)63; /* it will grow on */
    free(block->data);
    *block = (struct block){aligned_alloc(64, room), room};
    if (block->data)
        return ASSAY_OK;
    block->room = 0;
    return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for %zu bytes of a request", room);
}

/* ---- open */

static int output_named(const struct assay_graph *graph, const char *name)
{
    for (int i = 0; graph && i < graph->n_outputs; i++)
        if (strcmp(graph->values[graph->outputs[i]].name, name) == 0)
            return i;
    return -1;
}

static const char *input_name(const struct assay_graph *graph, int i) { return graph->values[graph->inputs[i]].name; }

static enum role role_of(const struct assay_graph *graph, int input, bool is_encoded)
{
    const char *name = input_name(graph, input);
    for (int s = 0; s < graph->n_states; s++)
        if (graph->states[s].input == input)
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
        g->encoded[i] = output_named(g->encode.graph, input_name(graph, i));
        g->roles[i] = role_of(graph, i, g->encoded[i] >= 0);
        has_tokens |= g->roles[i] == ROLE_TOKENS;
        if (g->roles[i] == ROLE_STATE && graph->values[graph->inputs[i]].type.rank < 1)
            return assay_error_set(err, ASSAY_INVALID, "the decode graph's state '%s' has no batch", input_name(graph, i));
    }
    g->logits = output_named(graph, "logits");
    g->prompt_mask = output_named(g->encode.graph, "decoder_attention_mask");
    if (!has_tokens || g->logits < 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "the decode graph '%s' has no %s", graph->name,
                               has_tokens ? "output 'logits'" : "input 'input_ids'");
    return ASSAY_OK;
}

static enum assay_status compile_phase(struct assay_generator *g, struct phase *phase,
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

static void release_phase(const struct assay_generator *g, struct phase *phase)
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
    struct block *const blocks[] = {&g->ones,  &g->tokens,  &g->positions, &g->mask,     &g->n_seen,
                                    &g->ended, &g->widened, &g->states[0], &g->states[1]};
    for (size_t i = 0; i < ASSAY_COUNT(blocks); i++)
        free(blocks[i]->data);
    assay_arena_release(&g->arena);
    free(g);
}

const struct assay_graph *assay_generator_graph(const struct assay_generator *generator, enum assay_model_phase phase)
{
    return phase == ASSAY_PHASE_ENCODE ? generator->encode.graph : generator->decode.graph;
}

const struct assay_model_info *assay_generator_info(const struct assay_generator *generator) { return &generator->info; }

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
            known |= strcmp(name, input_name(g->encode.graph, k)) == 0;
        for (int k = 0; k < g->decode.graph->n_inputs; k++)
            known |= g->roles[k] == ROLE_REQUEST && strcmp(name, input_name(g->decode.graph, k)) == 0;
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
    enum assay_status st = take_room(&g->ones, n, sizeof(int64_t), err);
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

static enum assay_status encode(struct run *run, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    struct phase *phase = &g->encode;
    for (int i = 0; i < phase->graph->n_inputs; i++) {
        const char *name = input_name(phase->graph, i);
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
static enum assay_status write_prompt(struct run *run, const struct assay_tensor *ids, const struct assay_tensor *mask,
                                      struct assay_error *err)
{
    struct assay_generator *g = run->g;
    int64_t n = run->n_tokens, rows = run->batch * run->beams, most = n + run->request->max_new_tokens;
    enum assay_status st = take_room(&g->tokens, rows, n * (int64_t)sizeof(int64_t), err);
    if (!st)
        st = take_room(&g->positions, rows, n * (int64_t)sizeof(int64_t), err);
    if (!st)
        st = take_room(&g->mask, rows, most * (int64_t)sizeof(int64_t), err);
    if (!st)
        st = take_room(&g->n_seen, rows, sizeof(int64_t), err);
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
static enum assay_status borrow_fixed(struct run *run, const struct assay_tensor **embedded, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    *embedded = NULL;
    for (int i = 0; i < g->decode.graph->n_inputs; i++) {
        struct assay_tensor *input = &g->decode.inputs[i];
        const char *name = input_name(g->decode.graph, i);
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

static enum assay_status take_prompt(struct run *run, struct assay_error *err)
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
static void take_tokens(struct run *run)
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
static enum assay_status decode(struct run *run, const float **logits, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    struct assay_tensor tensor;
    char text[256];
    *logits = NULL;
    enum assay_status st = g->runtime->bind(g->decode.program, g->decode.inputs, err);
    if (!st)
        st = g->runtime->run(g->decode.program, err);
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

static int64_t pad_token(const struct assay_model_generation *generation)
{
    if (generation->pad_token >= 0)
        return generation->pad_token;
    return generation->n_eos_tokens ? generation->eos_tokens[0] : 0;
}

static bool ends(const struct assay_model_generation *generation, int64_t token)
{
    for (int i = 0; i < generation->n_eos_tokens; i++)
        if (generation->eos_tokens[i] == token)
            return true;
    return false;
}

static int64_t largest(const float *values, int64_t n)
{
    int64_t at = 0;
    for (int64_t i = 1; i < n; i++)
        if (values[i] > values[at])
            at = i;
    return at;
}

static enum assay_status keep_logits(struct run *run, const float *logits, struct assay_error *err)
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
static void choose(struct run *run, const float *logits)
{
    const struct assay_model_generation *generation = &run->g->info.generation;
    int64_t *tokens = run->g->tokens.data, n = run->answer->vocabulary;
    for (int64_t r = 0; r < run->batch; r++) {
        bool ended = run->ended[r] && !run->request->ignore_eos;
        tokens[r] = ended ? pad_token(generation) : logits ? largest(logits + r * n, n) : 0;
        run->answer->tokens[r * run->request->max_new_tokens + run->step] = tokens[r];
        run->ended[r] |= ends(generation, tokens[r]);
    }
}

static bool all_ended(const struct run *run)
{
    for (int64_t r = 0; r < run->batch; r++)
        if (!run->ended[r])
            return false;
    return !run->request->ignore_eos;
}

/* ---- beams */

static enum assay_status open_search(struct run *run, struct assay_error *err)
{
    const struct assay_model_generation *generation = &run->g->info.generation;
    struct assay_beams_options options = {.batch = run->batch,
                                          .beams = run->beams,
                                          .vocabulary = run->answer->vocabulary,
                                          .max_new_tokens = run->request->max_new_tokens,
                                          .eos_tokens = generation->eos_tokens,
                                          .n_eos_tokens = run->request->ignore_eos ? 0 : generation->n_eos_tokens,
                                          .pad_token = pad_token(generation)};
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
static enum assay_status reorder(struct run *run, const int64_t *sources, int64_t share, struct assay_error *err)
{
    struct assay_generator *g = run->g;
    const struct assay_graph *graph = g->decode.graph;
    struct block *block = &g->states[run->turn ^= 1];
    int64_t n_bytes = 0, rows = run->batch * run->beams;
    struct assay_tensor tensor;
    enum assay_status st = ASSAY_OK;
    for (int s = 0; s < graph->n_states; s++) {
        st = g->runtime->output(g->decode.program, graph->states[s].output, &tensor, err);
        if (!st && (tensor.type.rank < 1 || tensor.type.dims[0] != run->rows))
            st = assay_error_set(err, ASSAY_INVALID, "the state '%s' has no row for each beam",
                                 input_name(graph, graph->states[s].input));
        if (st)
            return st;
        n_bytes += gathered_bytes(&tensor, rows);
    }
    st = take_room(block, n_bytes, 1, err);
    char *to = block->data;
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
static bool has_rows(const struct run *run, int input)
{
    const struct assay_value *value = &run->g->decode.graph->values[run->g->decode.graph->inputs[input]];
    bool named = value->dim_names && value->dim_names[0];
    return value->type.rank > 0 && value->type.dims[0] < 0 && (!named || strcmp(value->dim_names[0], "batch") == 0);
}

/* From a row for each request to one for each beam. */
static enum assay_status widen(struct run *run, const int64_t *sources, struct assay_error *err)
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
                                       input_name(g->decode.graph, i));
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
        enum assay_status st = pass == 0 ? take_room(&g->widened, n_bytes, 1, err) : ASSAY_OK;
        if (st)
            return st;
    }
    return ASSAY_OK;
}

static enum assay_status step_beams(struct run *run, const float *logits, struct assay_error *err)
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

/* ---- all */

static enum assay_status prepare_answer(const struct run *run, struct assay_error *err)
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
        answer->tokens = malloc((size_t)n * sizeof *answer->tokens);
        answer->step_ns = malloc((size_t)n * sizeof *answer->step_ns);
        answer->room = answer->tokens && answer->step_ns ? n : 0;
    }
    if (run->beams > 1)
        answer->scores = malloc((size_t)run->batch * sizeof *answer->scores);
    if (answer->room < n || (run->beams > 1 && !answer->scores))
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for an answer of %lld tokens", (long long)n);
    return ASSAY_OK;
}

/* Of the greedy answer: rows as long as they became. */
static void close_rows(struct run *run)
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
static enum assay_status step(struct run *run, struct assay_error *err)
{
    const struct assay_graph *graph = run->g->decode.graph;
    const float *logits;
    enum assay_status st = decode(run, &logits, err);
    if (st)
        return st;
    for (int s = 0; s < graph->n_states; s++) /* left out, so kept */
        run->g->decode.inputs[graph->states[s].input] = (struct assay_tensor){.data = NULL};
    if (run->beams > 1)
        return step_beams(run, logits, err);
    if (run->request->keep_logits && logits)
        st = keep_logits(run, logits, err);
    if (!st)
        choose(run, logits);
    return st;
}

static enum assay_status generate(struct run *run, int64_t start_ns, struct assay_error *err)
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
    struct run run = {.g = generator,
                      .request = request,
                      .answer = answer,
                      .batch = first->type.dims[0],
                      .rows = first->type.dims[0],
                      .beams = searches ? request->beams : 1};
    st = prepare_answer(&run, err);
    if (!st)
        st = take_room(&generator->ended, run.batch, sizeof *run.ended, err);
    if (st)
        return st;
    run.ended = generator->ended.data;
    memset(run.ended, 0, (size_t)run.batch * sizeof *run.ended);
    st = generate(&run, start_ns, err);
    assay_beams_close(run.search);
    return st;
}

void assay_answer_release(struct assay_answer *answer)
{
    if (!answer)
        return;
    free(answer->tokens);
    free(answer->logits);
    free(answer->scores);
    free(answer->step_ns);
    *answer = (struct assay_answer){.batch = 0};
}
