/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generation on small graphs whose logits a formula gives: the last token's row of a table, the sum of all tokens that the mask
 * shows, which the state keeps, the last position, and what an encoder made. Oracle: that formula over the whole text, anew for
 * each token, and for beams all texts in turn. Real models against Transformers are checked by tests/families.
 */
#include "bench/generation.h"

#include "bench/testing.h"

enum { VOCABULARY = 5, PROMPT = 4, MOST = 16, START = 3, PAD = 4 };

/* What stands before the decoder. */
enum kind {
    ALONE,
    ENCODED,  /* an encoder whose sum is added; the text begins with START */
    EMBEDDED, /* the encoder gives the prompt, twice over, as vectors of one number */
    N_KINDS
};

static struct assay_error err;

/* ---- the formula */

static double table(int64_t token, int64_t next) { return sin(3 * (double)token + 5 * (double)next + 1) * 2; }
static double of_sum(int64_t next) { return 0.7 * sin(7 * (double)next); }
static double of_position(int64_t next) { return 0.3 * cos(11 * (double)next); }
static double of_memory(int64_t next) { return 0.5 * sin(13 * (double)next + 2); }

static void wanted_logits(const int64_t *text, const int64_t *mask, int64_t n, double memory, double *logits)
{
    double sum = 0;
    int64_t seen = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)(text[i] * mask[i]);
        seen += mask[i];
    }
    for (int64_t v = 0; v < VOCABULARY; v++)
        logits[v] = table(text[n - 1], v) + sum * of_sum(v) + (double)(seen - 1) * of_position(v) + memory * of_memory(v);
}

/* ---- the same as graphs */

static int constant(struct assay_graph *graph, const char *name, double (*f)(int64_t next))
{
    double values[VOCABULARY];
    for (int v = 0; v < VOCABULARY; v++)
        values[v] = f(v);
    return testing_constant(graph, name, ASSAY_F32, values, VOCABULARY);
}

static int ints(struct assay_graph *graph, const char *name, double value)
{
    return testing_constant(graph, name, ASSAY_I64, &value, 1);
}

static int cast(struct assay_graph *graph, int x, enum assay_dtype dtype)
{
    int y = testing_node(graph, "Cast", NUMBERS(x), "cast");
    assay_node_set_int(graph, testing_last(graph), "to", dtype);
    return y;
}

static int concat(struct assay_graph *graph, int a, int b, int axis, const char *name)
{
    int y = testing_node(graph, "Concat", NUMBERS(a, b), name);
    assay_node_set_int(graph, testing_last(graph), "axis", axis);
    return y;
}

static int sum_over(struct assay_graph *graph, int x, int axes)
{
    int y = testing_node(graph, "ReduceSum", NUMBERS(x, axes), "sum");
    assay_node_set_int(graph, testing_last(graph), "keepdims", 1);
    return y;
}

static int last_of(struct assay_graph *graph, int x)
{
    return testing_node(graph, "Slice", NUMBERS(x, ints(graph, "from", -1), ints(graph, "to", 1e9), ints(graph, "axis", 1)),
                        "last");
}

static int open_input(struct assay_graph *graph, const char *name, enum assay_dtype dtype, int rank)
{
    return testing_input(graph, name, dtype, rank, (const int64_t[]){-1, -1, 1});
}

/* f32 [batch, length, 1] of tokens. */
static int embed(struct assay_graph *graph, int ids)
{
    return testing_node(graph, "Unsqueeze", NUMBERS(cast(graph, ids, ASSAY_F32), ints(graph, "axis", 2)), "embedded");
}

static struct assay_graph *decode_graph(enum kind kind)
{
    struct assay_graph *graph = assay_graph_open("decode");
    double rows[VOCABULARY * VOCABULARY];
    for (int i = 0; i < VOCABULARY * VOCABULARY; i++)
        rows[i] = table(i / VOCABULARY, i % VOCABULARY);
    int ids = open_input(graph, "input_ids", ASSAY_I64, 2), mask = open_input(graph, "attention_mask", ASSAY_I64, 2);
    int positions = open_input(graph, "position_ids", ASSAY_I64, 2);
    int past = open_input(graph, "past_key_values.0.key", ASSAY_F32, 3), x = embed(graph, ids), axis = ints(graph, "axis", 1);
    if (kind == EMBEDDED)
        x = concat(graph, open_input(graph, "inputs_embeds", ASSAY_F32, 3), x, 1, "both");
    int present = concat(graph, past, x, 1, "present.0.key");
    int shown = testing_node(graph, "Mul", NUMBERS(present, embed(graph, mask)), "shown");
    int flat = testing_constant(graph, "flat", ASSAY_F32, rows, VOCABULARY * VOCABULARY);
    int shape = testing_constant(graph, "shape", ASSAY_I64, (const double[]){VOCABULARY, VOCABULARY}, 2);
    int squeezed = testing_node(graph, "Squeeze", NUMBERS(last_of(graph, x), ints(graph, "axis", 2)), "token");
    int logits = testing_node(
        graph, "Gather", NUMBERS(testing_node(graph, "Reshape", NUMBERS(flat, shape), "table"), cast(graph, squeezed, ASSAY_I64)),
        "row");
    int terms[3][2] = {{sum_over(graph, shown, axis), constant(graph, "of_sum", of_sum)},
                       {embed(graph, last_of(graph, positions)), constant(graph, "of_position", of_position)}};
    if (kind == ENCODED) {
        int memory = open_input(graph, "memory", ASSAY_F32, 3);
        terms[2][0] = sum_over(graph, memory, axis);
        terms[2][1] = constant(graph, "of_memory", of_memory);
    }
    for (int i = 0; i < (kind == ENCODED ? 3 : 2); i++)
        logits =
            testing_node(graph, "Add", NUMBERS(logits, testing_node(graph, "Mul", NUMBERS(terms[i][0], terms[i][1]), "term")),
                         i == (kind == ENCODED ? 2 : 1) ? "logits" : "partly");
    assay_graph_add_output(graph, logits);
    assay_graph_add_output(graph, present);
    for (int i = 0; i < graph->n_inputs; i++)
        if (graph->inputs[i] == past)
            assay_graph_add_state(graph, 1, i);
    return graph;
}

static struct assay_graph *encode_graph(enum kind kind)
{
    struct assay_graph *graph = assay_graph_open("encode");
    int ids = open_input(graph, "input_ids", ASSAY_I64, 2), mask = open_input(graph, "attention_mask", ASSAY_I64, 2);
    int x = embed(graph, ids);
    if (kind == ENCODED) {
        assay_graph_add_output(graph, testing_node(graph, "Mul", NUMBERS(x, embed(graph, mask)), "memory"));
    } else {
        assay_graph_add_output(graph, concat(graph, x, x, 1, "inputs_embeds"));
        assay_graph_add_output(graph, concat(graph, mask, mask, 1, "decoder_attention_mask"));
    }
    return graph;
}

/* ---- a generator of each kind */

struct place {
    struct assay_arena arena;
    struct assay_platform platform;
    struct assay_generator_options options;
    struct assay_model_info info;
    enum kind kind;
    struct assay_generator *generator;
};

static const char *const both[] = {"cpu/reference", "cpu/onnxruntime"};

static bool enter(struct place *p, const char *platform, enum kind kind)
{
    *p =
        (struct place){.kind = kind, .options.compile = {.platform = &p->platform, .n_threads = 1, .isa = "", .optimization = 3}};
    assay_arena_init(&p->arena);
    p->info.generation = (struct assay_model_generation){
        .generates = true, .encodes = kind != ALONE, .start_token = kind == ENCODED ? START : -1, .pad_token = PAD};
    return assay_platform_find(&p->arena, platform, &p->platform, &p->options.runtime, NULL) == ASSAY_OK;
}

static enum assay_status open_it(struct place *p)
{
    return assay_generator_open_graphs(p->kind == ALONE ? NULL : encode_graph(p->kind), decode_graph(p->kind), &p->info,
                                       &p->options, &p->generator, &err);
}

static void leave(struct place *p)
{
    assay_generator_close(p->generator);
    assay_arena_release(&p->arena);
}

static struct assay_request_input table_input(const char *name, const int64_t *values, int64_t rows, int64_t n)
{
    struct assay_request_input input = {.name = name};
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){rows, n});
    assay_tensor_borrow(&input.tensor, &type, values);
    return input;
}

static const int64_t prompt[2][PROMPT] = {{1, 0, 3, 2}, {4, 4, 2, 1}}, prompt_mask[2][PROMPT] = {{1, 1, 1, 1}, {0, 0, 1, 1}};

/* Text and mask as the decoder sees them before its first token, and the encoder's sum. */
static int64_t begin_text(enum kind kind, int row, int64_t *text, int64_t *mask, double *memory)
{
    int64_t n = 0;
    *memory = 0;
    for (int copy = 0; copy < 2; copy++)
        for (int i = 0; i < PROMPT && kind != ENCODED && copy <= (kind == EMBEDDED); i++, n++) {
            text[n] = prompt[row][i];
            mask[n] = prompt_mask[row][i];
        }
    for (int i = 0; i < PROMPT && kind == ENCODED; i++)
        *memory += (double)(prompt[row][i] * prompt_mask[row][i]);
    if (kind == ENCODED) {
        text[n] = START;
        mask[n++] = 1;
    }
    return n;
}

static bool is_end(const struct place *p, int64_t token)
{
    for (int i = 0; i < p->info.generation.n_eos_tokens; i++)
        if (p->info.generation.eos_tokens[i] == token)
            return true;
    return false;
}

/* Checks greedy tokens, and logits where they were kept, row by row. */
static void check_greedy(const struct place *p, const struct assay_answer *answer, bool has_logits)
{
    for (int row = 0; row < answer->batch; row++) {
        int64_t text[2 * PROMPT + MOST], mask[2 * PROMPT + MOST];
        double memory, logits[VOCABULARY];
        int64_t n = begin_text(p->kind, row, text, mask, &memory);
        bool ended = false;
        for (int64_t i = 0; i < answer->n_tokens; i++) {
            int64_t best = 0;
            wanted_logits(text, mask, n, memory, logits);
            for (int64_t v = 1; v < VOCABULARY; v++)
                best = logits[v] > logits[best] ? v : best;
            for (int64_t v = 0; has_logits && v < VOCABULARY; v++) /* sums of magnitude 30 in f32 */
                CHECK_NEAR(answer->logits[(row * answer->n_tokens + i) * VOCABULARY + v], logits[v], 2e-5);
            int64_t token = ended ? PAD : best;
            CHECK_INT(answer->tokens[row * answer->n_tokens + i], token);
            ended |= is_end(p, token);
            text[n] = token;
            mask[n++] = 1;
        }
    }
}

static struct assay_request request_of(struct assay_request_input *inputs, int64_t batch, int64_t n)
{
    inputs[0] = table_input("input_ids", prompt[0], batch, PROMPT);
    inputs[1] = table_input("attention_mask", prompt_mask[0], batch, PROMPT);
    return (struct assay_request){.inputs = inputs, .n_inputs = 2, .max_new_tokens = n};
}

/* ---- greedy */

ASSAY_TEST(tokens_and_logits_are_those_of_the_whole_text_read_anew)
{
    for (size_t i = 0; i < ASSAY_COUNT(both); i++)
        for (int kind = 0; kind < N_KINDS; kind++) {
            struct place p;
            struct assay_request_input inputs[2];
            struct assay_answer answer = {.batch = 0};
            if (!enter(&p, both[i], (enum kind)kind))
                SKIP("%s is not here", both[i]);
            CHECK_OK(open_it(&p), err);
            for (int again = 0; again < 3; again++) { /* another batch, and more tokens, on the same programs */
                struct assay_request request = request_of(inputs, again == 1 ? 1 : 2, again == 2 ? MOST : 6);
                request.keep_logits = again != 1;
                CHECK_OK(assay_generator_run(p.generator, &request, &answer, &err), err);
                CHECK_INT(answer.batch, again == 1 ? 1 : 2);
                CHECK_INT(answer.n_tokens, request.max_new_tokens);
                CHECK_INT(answer.vocabulary, VOCABULARY);
                CHECK(!answer.scores);
                check_greedy(&p, &answer, request.keep_logits);
                for (int64_t k = 0; k < answer.n_tokens; k++)
                    CHECK(answer.step_ns[k] > 0 && answer.choice_ns[k] >= 0 && answer.choice_ns[k] <= answer.step_ns[k]);
            }
            assay_answer_release(&answer);
            leave(&p);
        }
}

ASSAY_TEST(without_a_mask_everything_is_looked_at)
{
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct place p;
        struct assay_request_input inputs[2];
        struct assay_answer answer = {.batch = 0};
        CHECK(enter(&p, "cpu/reference", (enum kind)kind));
        CHECK_OK(open_it(&p), err);
        struct assay_request request = request_of(inputs, 1, 5); /* the first row's mask is of ones */
        request.n_inputs = 1;
        CHECK_OK(assay_generator_run(p.generator, &request, &answer, &err), err);
        check_greedy(&p, &answer, false);
        assay_answer_release(&answer);
        leave(&p);
    }
}

ASSAY_TEST(a_decoder_prompt_may_be_given)
{
    static const int64_t begin[2][2] = {{3, 1}, {3, 2}};
    struct place p;
    struct assay_request_input inputs[3];
    struct assay_answer answer = {.batch = 0};
    CHECK(enter(&p, "cpu/reference", ENCODED));
    CHECK_OK(open_it(&p), err);
    struct assay_request request = request_of(inputs, 2, 1);
    inputs[2] = table_input("decoder_input_ids", begin[0], 2, 2);
    request.n_inputs = 3;
    request.keep_logits = true;
    CHECK_OK(assay_generator_run(p.generator, &request, &answer, &err), err);
    for (int row = 0; row < 2; row++) {
        int64_t text[MOST], mask[MOST];
        double memory, logits[VOCABULARY];
        begin_text(ENCODED, row, text, mask, &memory);
        wanted_logits(begin[row], (const int64_t[]){1, 1}, 2, memory, logits);
        for (int v = 0; v < VOCABULARY; v++)
            CHECK_NEAR(answer.logits[row * VOCABULARY + v], logits[v], 1e-5);
    }
    assay_answer_release(&answer);
    leave(&p);
}

ASSAY_TEST(an_ended_row_is_padded_and_all_ended_stop)
{
    for (int end = 0; end < VOCABULARY; end++) {
        struct place p;
        struct assay_request_input inputs[2];
        struct assay_answer answer = {.batch = 0};
        CHECK(enter(&p, "cpu/reference", ALONE));
        p.info.generation.eos_tokens[0] = end;
        p.info.generation.eos_tokens[1] = (end + 2) % VOCABULARY;
        p.info.generation.n_eos_tokens = 2;
        CHECK_OK(open_it(&p), err);
        struct assay_request request = request_of(inputs, 2, MOST);
        request.keep_logits = true;
        CHECK_OK(assay_generator_run(p.generator, &request, &answer, &err), err);
        check_greedy(&p, &answer, true);
        bool stopped = answer.n_tokens < MOST;
        for (int row = 0; row < 2; row++) {
            bool ended = false;
            for (int64_t i = 0; i < answer.n_tokens; i++)
                ended |= is_end(&p, answer.tokens[row * answer.n_tokens + i]);
            CHECK(ended || !stopped);
        }
        request.ignore_eos = true;
        CHECK_OK(assay_generator_run(p.generator, &request, &answer, &err), err);
        CHECK_INT(answer.n_tokens, MOST);
        p.info.generation.n_eos_tokens = 0; /* of what check_greedy expects */
        check_greedy(&p, &answer, true);
        assay_answer_release(&answer);
        leave(&p);
    }
}

/* ---- beams */

/* The best mean log probability of all texts of n more tokens, or fewer that end. */
static double best_of_all(const struct place *p, int64_t *text, int64_t *mask, int64_t n_text, double memory, int64_t n_more,
                          int64_t n_new, double sum)
{
    double logits[VOCABULARY], total = 0, best = -INFINITY;
    if (n_more == 0 || (n_new > 0 && is_end(p, text[n_text - 1])))
        return sum / (double)n_new;
    wanted_logits(text, mask, n_text, memory, logits);
    for (int v = 0; v < VOCABULARY; v++)
        total += exp(logits[v]);
    for (int v = 0; v < VOCABULARY; v++) {
        text[n_text] = v;
        mask[n_text] = 1;
        best = fmax(best, best_of_all(p, text, mask, n_text + 1, memory, n_more - 1, n_new + 1, sum + logits[v] - log(total)));
    }
    return best;
}

/* Sum of log probabilities of a row of the answer up to its end, over their number. */
static double score_of(const struct place *p, const struct assay_answer *answer, int row)
{
    int64_t text[2 * PROMPT + MOST], mask[2 * PROMPT + MOST];
    double memory, logits[VOCABULARY], sum = 0;
    int64_t n = begin_text(p->kind, row, text, mask, &memory), i = 0;
    while (i < answer->n_tokens && !(i > 0 && is_end(p, text[n - 1]))) {
        double total = 0;
        wanted_logits(text, mask, n, memory, logits);
        for (int v = 0; v < VOCABULARY; v++)
            total += exp(logits[v]);
        text[n] = answer->tokens[row * answer->n_tokens + i++];
        mask[n] = 1;
        sum += logits[text[n++]] - log(total);
    }
    return sum / (double)i;
}

ASSAY_TEST(as_many_beams_as_texts_find_the_best_of_all)
{
    enum { NEW = 3, BEAMS = VOCABULARY * VOCABULARY * VOCABULARY };
    for (size_t i = 0; i < ASSAY_COUNT(both); i++)
        for (int kind = 0; kind < N_KINDS; kind++)
            for (int end = -1; end < 2; end++) {
                struct place p;
                struct assay_request_input inputs[2];
                struct assay_answer answer = {.batch = 0};
                if (!enter(&p, both[i], (enum kind)kind))
                    SKIP("%s is not here", both[i]);
                p.info.generation.n_eos_tokens = end >= 0;
                p.info.generation.eos_tokens[0] = end;
                CHECK_OK(open_it(&p), err);
                struct assay_request request = request_of(inputs, 2, NEW);
                request.beams = BEAMS;
                CHECK_OK(assay_generator_run(p.generator, &request, &answer, &err), err);
                for (int row = 0; row < 2; row++) {
                    int64_t text[2 * PROMPT + MOST], mask[2 * PROMPT + MOST];
                    double memory;
                    int64_t n = begin_text(p.kind, row, text, mask, &memory);
                    double best = best_of_all(&p, text, mask, n, memory, NEW, 0, 0);
                    CHECK_NEAR(answer.scores[row], best, 1e-5); /* logits are f32 */
                    CHECK_NEAR(score_of(&p, &answer, row), best, 1e-5);
                }
                request.beams = 2; /* fewer find a text of the score that they say */
                request.max_new_tokens = MOST;
                CHECK_OK(assay_generator_run(p.generator, &request, &answer, &err), err);
                for (int row = 0; row < 2; row++)
                    CHECK_NEAR(score_of(&p, &answer, row), answer.scores[row], 1e-5);
                assay_answer_release(&answer);
                leave(&p);
            }
}

/* ---- from a folder */

ASSAY_TEST(a_model_is_opened_from_its_folder)
{
    static const char config[] =
        "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 11, \"n_embd\": 8, \"n_layer\": 2, "
        "\"n_head\": 2, \"n_positions\": 32, \"eos_token_id\": null, \"bos_token_id\": null}";
    static const int64_t ids[] = {3, 1, 4};
    struct place p;
    struct assay_answer answer = {.batch = 0};
    struct assay_request_input input = table_input("input_ids", ids, 1, 3);
    struct assay_request request = {.inputs = &input, .n_inputs = 1, .max_new_tokens = 4};
    CHECK(enter(&p, "cpu/reference", ALONE));
    const char *folder = testing_folder(&p.arena);
    testing_write(&p.arena, folder, "config.json", config);
    CHECK_OK(assay_generator_open(folder, &p.options, &p.generator, &err), err);
    CHECK_TEXT(assay_generator_info(p.generator)->family, "gpt2");
    CHECK(!assay_generator_graph(p.generator, ASSAY_PHASE_ENCODE));
    CHECK_INT(assay_generator_graph(p.generator, ASSAY_PHASE_DECODE)->n_states, 4);
    CHECK_OK(assay_generator_run(p.generator, &request, &answer, &err), err);
    CHECK_INT(answer.n_tokens, 4);
    assay_answer_release(&answer);
    assay_generator_close(p.generator);
    p.generator = NULL;
    const char *file = testing_save(&p.arena, folder, "model.onnx", testing_small_graph());
    CHECK_INT(assay_generator_open(file, &p.options, &p.generator, &err), ASSAY_UNSUPPORTED);
    CHECK_INT(assay_generator_open("resnet-18", &p.options, &p.generator, &err), ASSAY_UNSUPPORTED);
    CHECK_INT(assay_generator_open("no-such-model", &p.options, &p.generator, &err), ASSAY_ABSENT);
    assay_fs_remove(folder, NULL);
    leave(&p);
}

/* ---- what is wrong */

static void refuses(struct place *p, const struct assay_request *request, const char *part)
{
    struct assay_answer answer = {.batch = 0};
    CHECK_INT(assay_generator_run(p->generator, request, &answer, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, part);
    assay_answer_release(&answer);
}

ASSAY_TEST(a_request_that_does_not_fit_is_refused_by_name)
{
    struct place p;
    struct assay_request_input inputs[3];
    CHECK(enter(&p, "cpu/reference", ALONE));
    CHECK_OK(open_it(&p), err);
    struct assay_request request = request_of(inputs, 2, 0);
    refuses(&p, &request, "0 new tokens");
    request.max_new_tokens = INT64_MAX;
    refuses(&p, &request, "too many");
    request.max_new_tokens = 2;
    request.beams = ASSAY_MAX_RANK * 1000;
    refuses(&p, &request, "beams");
    request.beams = 0;
    inputs[2] = table_input("pixel_values", prompt[0], 2, PROMPT);
    request.n_inputs = 3;
    refuses(&p, &request, "'pixel_values'");
    request.n_inputs = 2;
    inputs[1] = table_input("attention_mask", prompt_mask[0], 2, PROMPT - 1);
    refuses(&p, &request, "'attention_mask' is i64[2,3], where i64[2,4] is needed");
    inputs[0] = table_input("input_ids", prompt[0], 0, PROMPT);
    refuses(&p, &request, "has no batch");
    inputs[0] = table_input("input_ids", prompt[0], 2, 0);
    refuses(&p, &request, "'input_ids' is i64[2,0]");
    inputs[0].tensor.type = assay_type_make(ASSAY_F32, 2, (const int64_t[]){2, PROMPT});
    refuses(&p, &request, "'input_ids' is f32[2,4]");
    request.inputs = inputs + 1;
    request.n_inputs = 1;
    inputs[1] = table_input("attention_mask", prompt_mask[0], 2, PROMPT);
    refuses(&p, &request, "no 'input_ids'");
    request.n_inputs = 0;
    refuses(&p, &request, "must have an input");
    leave(&p);
}

/* Each call of the runtime fails once, in turn, until none does. */
ASSAY_TEST(whatever_call_fails_is_told_and_nothing_is_lost)
{
    static const char *const calls[] = {"compile", "bind", "run", "output"};
    for (size_t c = 0; c < ASSAY_COUNT(calls); c++)
        for (int64_t beams = 1; beams < 4; beams += 2) {
            int n = 0;
            enum assay_status st;
            do {
                struct place p;
                struct assay_request_input inputs[2];
                struct assay_answer answer = {.batch = 0};
                CHECK(enter(&p, "cpu/fault", EMBEDDED));
                struct assay_option options[] = {
                    {"call", calls[c]}, {"kind", "no_memory"}, {"n", assay_arena_printf(&p.arena, "%d", ++n)}};
                p.options.compile.options = options;
                p.options.compile.n_options = ASSAY_COUNT(options);
                struct assay_request request = request_of(inputs, 2, 3);
                request.beams = beams;
                st = open_it(&p);
                if (!st)
                    st = assay_generator_run(p.generator, &request, &answer, &err);
                if (st)
                    CHECK_INT(st, ASSAY_NO_MEMORY);
                assay_answer_release(&answer);
                leave(&p);
            } while (st && n < 40);
            CHECK_INT(st, ASSAY_OK);
            CHECK(n > (c == 0 ? 1 : 3));
        }
}

ASSAY_TEST(a_runtime_that_computes_nothing_generates_as_many)
{
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct place p;
        struct assay_request_input inputs[2];
        struct assay_answer answer = {.batch = 0};
        CHECK(enter(&p, "cpu/null", (enum kind)kind));
        CHECK_OK(open_it(&p), err);
        struct assay_request request = request_of(inputs, 2, 7);
        CHECK_OK(assay_generator_run(p.generator, &request, &answer, &err), err);
        CHECK_INT(answer.n_tokens, 7);
        assay_answer_release(&answer);
        leave(&p);
    }
}

static enum assay_status count_graph(void *context, struct assay_graph *graph, struct assay_error *error)
{
    int *n = context;
    CHECK(graph->n_nodes > 0);
    if (++*n < 3)
        return ASSAY_OK;
    return assay_error_set(error, ASSAY_UNSUPPORTED, "enough");
}

ASSAY_TEST(each_graph_can_be_changed_before_it_is_compiled)
{
    struct place p;
    int n = 0;
    CHECK(enter(&p, "cpu/reference", ENCODED));
    p.options.transform = count_graph;
    p.options.context = &n;
    CHECK_OK(open_it(&p), err);
    CHECK_INT(n, 2);
    assay_generator_close(p.generator);
    p.generator = NULL;
    CHECK_INT(open_it(&p), ASSAY_UNSUPPORTED);
    CHECK_TEXT(err.message, "enough");
    leave(&p);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(tokens_and_logits_are_those_of_the_whole_text_read_anew),
                ASSAY_TEST_ENTRY(without_a_mask_everything_is_looked_at), ASSAY_TEST_ENTRY(a_decoder_prompt_may_be_given),
                ASSAY_TEST_ENTRY(an_ended_row_is_padded_and_all_ended_stop),
                ASSAY_TEST_ENTRY(as_many_beams_as_texts_find_the_best_of_all),
                ASSAY_TEST_ENTRY(a_model_is_opened_from_its_folder),
                ASSAY_TEST_ENTRY(a_request_that_does_not_fit_is_refused_by_name),
                ASSAY_TEST_ENTRY(whatever_call_fails_is_told_and_nothing_is_lost),
                ASSAY_TEST_ENTRY(a_runtime_that_computes_nothing_generates_as_many),
                ASSAY_TEST_ENTRY(each_graph_can_be_changed_before_it_is_compiled))
