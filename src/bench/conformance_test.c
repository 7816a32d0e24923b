/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/conformance.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/test.h"
#include "bench/generation.h"
#include "graph/onnx.h"
#include "model/safetensors.h"
#include "runtime/registry.h"

#include <stdlib.h>
#include <unistd.h>

static struct assay_error err;

/* Folders with tests, and the reference to run them on. */
struct place {
    struct assay_arena arena;
    char *folder;
    struct assay_platform platform;
    struct assay_conformance_options options;
};

static void enter(struct place *p)
{
    assay_arena_init(&p->arena);
    CHECK_OK(assay_fs_temporary_folder(&p->arena, &p->folder, &err), err);
    p->options = (struct assay_conformance_options){.threads = 1, .rtol = 1e-3, .atol = 1e-7, .platform = &p->platform};
    CHECK_OK(assay_platform_find(&p->arena, "cpu/reference", &p->platform, &p->options.runtime, &err), err);
}

static void leave(struct place *p)
{
    CHECK_OK(assay_fs_remove(p->folder, &err), err);
    assay_arena_release(&p->arena);
}

static struct assay_tensor tensor_of(const float *values, int64_t n)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &n);
    struct assay_tensor tensor;
    assay_tensor_borrow(&tensor, &type, values);
    return tensor;
}

/* A test in the safetensors layout: y = op(x), x free in length, with these wanted values. */
static const char *make_test(struct place *p, const char *name, const char *op, const float *in, const float *out, int64_t n)
{
    const char *folder = assay_path_join(&p->arena, p->folder, name);
    CHECK_OK(assay_fs_make_folder(folder, &err), err);
    struct assay_graph *graph = assay_graph_open("test");
    int64_t free_dim = -1;
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &free_dim);
    int x = assay_graph_add_value(graph, "x", &type), y = assay_graph_add_value(graph, "y", &type);
    assay_graph_add_input(graph, x);
    assay_graph_add_node(graph, op, "", 1, &x, 1, &y);
    assay_graph_add_output(graph, y);
    CHECK_OK(assay_graph_sort(graph, &err), err);
    CHECK_OK(assay_onnx_save(graph, assay_path_join(&p->arena, folder, "model.onnx"), NULL, &err), err);
    assay_graph_close(graph);
    struct assay_safetensors_entry given = {"x", tensor_of(in, n)}, wanted = {"y", tensor_of(out, n)};
    CHECK_OK(assay_safetensors_write(assay_path_join(&p->arena, folder, "inputs.safetensors"), &given, 1, NULL, 0, &err), err);
    CHECK_OK(assay_safetensors_write(assay_path_join(&p->arena, folder, "outputs.safetensors"), &wanted, 1, NULL, 0, &err), err);
    return folder;
}

static const float in[] = {-1, 2, -3}, right[] = {1, 2, 3}, close_by[] = {1.0009f, 2, 3}, wrong[] = {1, 2.5f, 3};

ASSAY_TEST(right_close_and_wrong_outputs_are_told_apart)
{
    struct place p;
    struct assay_conformance_result result;
    enter(&p);
    assay_conformance_run(make_test(&p, "right", "Abs", in, right, 3), &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_OK);
    CHECK_INT(result.n_outputs, 1);
    CHECK_TEXT(result.outputs[0].name, "y");
    CHECK_INT(result.n_ops, 1);
    CHECK_TEXT(result.ops[0], "Abs");
    const char *folder = make_test(&p, "close", "Abs", in, close_by, 3);
    assay_conformance_run(folder, &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_OK);
    CHECK_NEAR(result.outputs[0].max_abs, 0.0009, 1e-6);
    p.options.rtol = 1e-4;
    assay_conformance_run(folder, &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_MISMATCH);
    assay_conformance_run(make_test(&p, "wrong", "Abs", in, wrong, 3), &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_MISMATCH);
    CHECK_CONTAINS(result.reason, "1 of 3 elements are wrong; element 1 is 2, wanted 2.5");
    CHECK_NEAR(result.outputs[0].max_abs, 0.5, 0);
    CHECK_NEAR(result.outputs[0].max_rel, 0.5 / 3, 1e-12);
    leave(&p);
}

ASSAY_TEST(an_unknown_op_is_unsupported_and_a_missing_file_invalid)
{
    struct place p;
    struct assay_conformance_result result;
    enter(&p);
    assay_conformance_run(make_test(&p, "op", "NoSuchOp", in, right, 3), &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(result.reason, "NoSuchOp");
    const char *folder = make_test(&p, "data", "Abs", in, right, 3);
    CHECK_OK(assay_fs_remove(assay_path_join(&p.arena, folder, "outputs.safetensors"), &err), err);
    assay_conformance_run(folder, &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_INVALID);
    assay_conformance_run(p.folder, &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_INVALID);
    leave(&p);
}

ASSAY_TEST(a_tensor_that_the_model_does_not_have_is_invalid)
{
    struct place p;
    struct assay_conformance_result result;
    enter(&p);
    const char *folder = make_test(&p, "name", "Abs", in, right, 3);
    struct assay_safetensors_entry entries[] = {{"y", tensor_of(right, 3)}, {"z", tensor_of(right, 3)}};
    CHECK_OK(assay_safetensors_write(assay_path_join(&p.arena, folder, "outputs.safetensors"), entries, 2, NULL, 0, &err), err);
    assay_conformance_run(folder, &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_INVALID);
    CHECK_CONTAINS(result.reason, "'z'");
    leave(&p);
}

/* In dtype and shape a random output is compared, in values it is not. */
ASSAY_TEST(random_outputs_are_compared_in_type_alone)
{
    struct place p;
    struct assay_conformance_result result;
    enter(&p);
    assay_conformance_run(make_test(&p, "random", "RandomUniformLike", in, wrong, 3), &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_OK);
    CHECK_CONTAINS(result.outputs[0].note, "random");
    leave(&p);
}

/* ---- generation: a folder of Transformers' layout whose sequences were made by the generator itself, then falsified */

static const char small_gpt2[] =
    "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 17, \"n_embd\": 8, \"n_layer\": 1, "
    "\"n_head\": 2, \"n_positions\": 32, \"eos_token_id\": null, \"bos_token_id\": null}";

enum { PROMPT = 3, NEW = 4, VOCABULARY = 17 };

static struct assay_tensor table(const int64_t *values, int64_t n)
{
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){1, n});
    struct assay_tensor tensor;
    assay_tensor_borrow(&tensor, &type, values);
    return tensor;
}

static const int64_t prompt[PROMPT] = {3, 1, 4};

/* What the model of the folder generates. */
static void generate(const struct place *p, const char *folder, int64_t beams, struct assay_answer *answer)
{
    struct assay_generator_options options = {
        .runtime = p->options.runtime, .compile = {.platform = &p->platform, .n_threads = 1, .isa = "", .optimization = 3}};
    struct assay_request_input input = {"input_ids", table(prompt, PROMPT)};
    struct assay_request request = {.inputs = &input, .n_inputs = 1, .max_new_tokens = NEW, .keep_logits = true, .beams = beams};
    struct assay_generator *generator;
    CHECK_OK(assay_generator_open(folder, &options, &generator, &err), err);
    CHECK_OK(assay_generator_run(generator, &request, answer, &err), err);
    assay_generator_close(generator);
}

/* As fixtures have them: greedy and by three beams from one prompt; sequences end with what `change` adds to the last token. */
static const char *make_generation(struct place *p, int64_t change, float more_score)
{
    const char *folder = assay_path_join(&p->arena, p->folder, "gpt2");
    struct assay_answer greedy = {.batch = 0}, beam = {.batch = 0};
    int64_t sequences[2][PROMPT + NEW];
    CHECK_OK(assay_fs_make_folder(folder, &err), err);
    CHECK_OK(assay_fs_write(assay_path_join(&p->arena, folder, "config.json"), small_gpt2, sizeof small_gpt2 - 1, &err), err);
    generate(p, folder, 1, &greedy);
    generate(p, folder, 3, &beam);
    for (int i = 0; i < 2; i++) {
        memcpy(sequences[i], prompt, sizeof prompt);
        memcpy(sequences[i] + PROMPT, i ? beam.tokens : greedy.tokens, NEW * sizeof **sequences);
    }
    sequences[0][PROMPT + NEW - 1] += change;
    float score = (float)beam.scores[0] + more_score;
    struct assay_type type = assay_type_make(ASSAY_F32, 3, (const int64_t[]){1, NEW, VOCABULARY});
    struct assay_tensor logits;
    assay_tensor_borrow(&logits, &type, greedy.logits);
    struct assay_safetensors_entry in_entries[] = {{"generate.input_ids", table(prompt, PROMPT)}},
                                   out_entries[] = {{"generate.logits", logits},
                                                    {"generate.sequences", table(sequences[0], PROMPT + NEW)},
                                                    {"generate_beam.sequences", table(sequences[1], PROMPT + NEW)},
                                                    {"generate_beam.sequences_scores", tensor_of(&score, 1)},
                                                    {"generate_beam.beam_indices", tensor_of(&score, 1)},
                                                    {"loss", tensor_of(&score, 1)}};
    CHECK_OK(assay_safetensors_write(assay_path_join(&p->arena, folder, "inputs.safetensors"), in_entries, 1, NULL, 0, &err),
             err);
    CHECK_OK(assay_safetensors_write(assay_path_join(&p->arena, folder, "outputs.safetensors"), out_entries,
                                     ASSAY_COUNT(out_entries), NULL, 0, &err),
             err);
    assay_answer_release(&greedy);
    assay_answer_release(&beam);
    return folder;
}

static const struct assay_conformance_output *output_named(const struct assay_conformance_result *result, const char *set,
                                                           const char *name)
{
    for (size_t i = 0; i < result->n_outputs; i++)
        if (strcmp(result->outputs[i].set, set) == 0 && strcmp(result->outputs[i].name, name) == 0)
            return &result->outputs[i];
    CHECK(!"there is such an output");
    return NULL;
}

ASSAY_TEST(generated_sequences_logits_and_scores_are_compared)
{
    struct place p;
    struct assay_conformance_result result;
    enter(&p);
    p.options.tolerance = 2e-5;
    assay_conformance_run(make_generation(&p, 0, 0), &p.options, &p.arena, &result);
    CHECK_TEXT(result.reason, "");
    CHECK_INT(result.status, ASSAY_OK);
    CHECK_INT(result.n_outputs, 6);
    CHECK(result.n_ops > 5);
    CHECK_TEXT(output_named(&result, "generate", "logits")->note, "");
    CHECK_TEXT(output_named(&result, "generate_beam", "sequences")->note, "");
    CHECK_TEXT(output_named(&result, "generate_beam", "sequences_scores")->note, "");
    CHECK_CONTAINS(output_named(&result, "generate_beam", "beam_indices")->note, "not compared");
    CHECK_CONTAINS(output_named(&result, "", "loss")->note, "no inputs");
    leave(&p);
}

ASSAY_TEST(one_other_token_or_score_is_a_mismatch)
{
    struct place p;
    struct assay_conformance_result result;
    enter(&p);
    p.options.tolerance = 2e-5;
    const char *folder = make_generation(&p, 1, 0);
    assay_conformance_run(folder, &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_MISMATCH);
    CHECK_CONTAINS(result.reason, "'sequences': 1 of 7");
    CHECK_INT(output_named(&result, "generate", "sequences")->n_wrong, 1);
    CHECK_INT(output_named(&result, "generate", "logits")->n_wrong, 0);
    make_generation(&p, 0, 0.01f);
    assay_conformance_run(folder, &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_MISMATCH);
    CHECK_CONTAINS(result.reason, "sequences_scores");
    leave(&p);
}

ASSAY_TEST(sequences_that_nothing_was_made_of_are_invalid)
{
    struct place p;
    struct assay_conformance_result result;
    enter(&p);
    const char *folder = make_generation(&p, 0, 0);
    struct assay_safetensors_entry alone = {"generate.sequences", table(prompt, PROMPT)},
                                   other = {"else.sequences", table(prompt, PROMPT)};
    const char *file = assay_path_join(&p.arena, folder, "outputs.safetensors");
    CHECK_OK(assay_safetensors_write(file, &alone, 1, NULL, 0, &err), err);
    assay_conformance_run(folder, &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_INVALID);
    CHECK_CONTAINS(result.reason, "longer than their prompt");
    CHECK_OK(assay_safetensors_write(file, &other, 1, NULL, 0, &err), err);
    assay_conformance_run(folder, &p.options, &p.arena, &result);
    CHECK_INT(result.status, ASSAY_INVALID);
    CHECK_CONTAINS(result.reason, "else.sequences");
    leave(&p);
}

/* ---- the worker: a runtime that does what the model's first input value says */

enum { CRASH = 1, HANG, EAT };

static const struct assay_tensor *bound;

static enum assay_status compile(const struct assay_graph *graph, const struct assay_compile_options *options,
                                 struct assay_program **program, struct assay_error *error)
{
    (void)graph, (void)options, (void)error;
    *program = NULL;
    return ASSAY_OK;
}

static enum assay_status bind(struct assay_program *program, const struct assay_tensor *inputs, struct assay_error *error)
{
    (void)program, (void)error;
    bound = inputs;
    return ASSAY_OK;
}

static enum assay_status run(struct assay_program *program, struct assay_error *error)
{
    (void)program, (void)error;
    int what = (int)assay_tensor_real(bound, 0);
    if (what == CRASH)
        _exit(3);
    if (what == HANG)
        for (;;)
            pause();
    for (size_t i = 0; what == EAT; i++) {
        volatile char *block = assay_alloc((size_t)16 << 20);
        for (size_t k = 0; k < (size_t)16 << 20; k += 4096)
            block[k] = 1;
    }
    return ASSAY_OK;
}

static enum assay_status output(struct assay_program *program, int index, struct assay_tensor *tensor, struct assay_error *error)
{
    (void)program, (void)index, (void)error;
    *tensor = *bound;
    tensor->buffer = NULL;
    return ASSAY_OK;
}

static void release(struct assay_program *program) { (void)program; }

static const struct assay_runtime unruly = {
    .name = "unruly", .compile = compile, .bind = bind, .run = run, .output = output, .release = release};

struct seen {
    size_t n;
    enum assay_status status[8];
    char reason[8][128];
};

static void see(void *context, size_t index, const struct assay_conformance_result *result)
{
    struct seen *seen = context;
    CHECK_INT(index, seen->n);
    seen->status[seen->n] = result->status;
    snprintf(seen->reason[seen->n++], sizeof seen->reason[0], "%s", result->reason);
}

ASSAY_TEST(a_test_that_crashes_hangs_or_eats_memory_costs_itself_alone)
{
    struct place p;
    enter(&p);
    const char **folders;
    size_t n;
    static const float doings[] = {0, CRASH, HANG, 0, EAT, 0};
    for (size_t i = 0; i < ASSAY_COUNT(doings); i++)
        make_test(&p, assay_arena_printf(&p.arena, "test%zu", i), "Identity", &doings[i], &doings[i], 1);
    CHECK_OK(assay_conformance_find(p.folder, false, &p.arena, &folders, &n, &err), err);
    CHECK_INT(n, ASSAY_COUNT(doings));
    struct seen seen = {0};
    struct assay_conformance_limits limits = {.time_ns = 3000000000, .memory_bytes = (int64_t)400 << 20};
    p.options.runtime = &unruly;
    CHECK_OK(assay_conformance_run_all(folders, n, &p.options, &limits, see, &seen, &err), err);
    static const enum assay_status wanted[] = {ASSAY_OK, ASSAY_CRASHED, ASSAY_TIMEOUT, ASSAY_OK, ASSAY_NO_MEMORY, ASSAY_OK};
    CHECK_INT(seen.n, n);
    for (size_t i = 0; i < n; i++)
        CHECK_INT(seen.status[i], wanted[i]);
    CHECK_CONTAINS(seen.reason[1], "exit code 3");
    CHECK_CONTAINS(seen.reason[2], "3 s");
    leave(&p);
}

ASSAY_TEST(results_come_through_the_worker_as_they_are)
{
    struct place p;
    enter(&p);
    const char *folders[] = {make_test(&p, "a", "Abs", in, right, 3), make_test(&p, "b", "Abs", in, wrong, 3),
                             make_test(&p, "c", "NoSuchOp", in, wrong, 3)};
    struct seen seen = {0};
    struct assay_conformance_limits limits = {0};
    CHECK_OK(assay_conformance_run_all(folders, 3, &p.options, &limits, see, &seen, &err), err);
    CHECK_INT(seen.n, 3);
    for (size_t i = 0; i < 3; i++) {
        struct assay_conformance_result direct;
        assay_conformance_run(folders[i], &p.options, &p.arena, &direct);
        CHECK_INT(seen.status[i], direct.status);
        CHECK_TEXT(seen.reason[i], direct.reason);
    }
    leave(&p);
}

ASSAY_TEST(a_stop_ends_the_list)
{
    struct place p;
    enter(&p);
    const char *folders[] = {make_test(&p, "a", "Abs", in, right, 3)};
    volatile sig_atomic_t stop = 1;
    struct seen seen = {0};
    struct assay_conformance_limits limits = {.stop = &stop};
    CHECK_INT(assay_conformance_run_all(folders, 1, &p.options, &limits, see, &seen, &err), ASSAY_INTERRUPTED);
    CHECK_INT(seen.n, 0);
    leave(&p);
}

/* The loss is Σ(x·w)², x = 1: its gradient is 2w, and SGD of 0.01 leaves 0.98 of w at each step. */
ASSAY_TEST(training_of_an_onnx_file_is_compared)
{
    static const float x[] = {1}, w[] = {1, 2}, gradient[] = {2, 4}, after[] = {0.98F, 1.96F};
    float losses[5], loss = 5;
    for (int i = 0; i < 5; i++, loss *= 0.98F * 0.98F)
        losses[i] = loss;
    for (int is_wrong = 0; is_wrong < 2; is_wrong++, losses[4] *= 1.001F) {
        struct place p;
        enter(&p);
        p.options.training = true;
        p.options.tolerance = 1e-5;
        struct assay_graph *graph = assay_graph_open("test");
        struct assay_tensor weights = tensor_of(w, 2);
        struct assay_type one = assay_type_make(ASSAY_F32, 1, (const int64_t[]){1});
        int data = assay_graph_add_value(graph, "x", &one), y = assay_graph_add_value(graph, "y", NULL);
        int square = assay_graph_add_value(graph, "square", NULL), sum = assay_graph_add_value(graph, "loss", NULL);
        assay_graph_add_input(graph, data);
        int w_value = assay_graph_add_constant(graph, "w", &weights);
        assay_graph_add_node(graph, "Mul", "", 2, (const int[]){data, w_value}, 1, &y);
        assay_graph_add_node(graph, "Mul", "", 2, (const int[]){y, y}, 1, &square);
        assay_graph_add_node(graph, "ReduceSum", "", 1, &square, 1, &sum);
        assay_graph_add_output(graph, sum);
        CHECK_OK(assay_graph_sort(graph, &err), err);
        CHECK_OK(assay_onnx_save(graph, assay_path_join(&p.arena, p.folder, "model.onnx"), NULL, &err), err);
        assay_graph_close(graph);
        struct assay_safetensors_entry input = {.name = "x", .tensor = tensor_of(x, 1)};
        const struct assay_safetensors_entry wanted[] = {{.name = "grad.w", .tensor = tensor_of(gradient, 2)},
                                                         {.name = "loss", .tensor = tensor_of(losses, 1)},
                                                         {.name = "sgd1.w", .tensor = tensor_of(after, 2)},
                                                         {.name = "sgd_losses", .tensor = tensor_of(losses, 5)}};
        CHECK_OK(assay_safetensors_write(assay_path_join(&p.arena, p.folder, "inputs.safetensors"), &input, 1, NULL, 0, &err),
                 err);
        CHECK_OK(assay_safetensors_write(assay_path_join(&p.arena, p.folder, "train.safetensors"), wanted, 4, NULL, 0, &err),
                 err);
        struct assay_conformance_result result;
        assay_conformance_run(p.folder, &p.options, &p.arena, &result);
        CHECK_INT(result.status, is_wrong ? ASSAY_MISMATCH : ASSAY_OK);
        CHECK(result.n_outputs >= 4);
        leave(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(training_of_an_onnx_file_is_compared),
                ASSAY_TEST_ENTRY(right_close_and_wrong_outputs_are_told_apart),
                ASSAY_TEST_ENTRY(an_unknown_op_is_unsupported_and_a_missing_file_invalid),
                ASSAY_TEST_ENTRY(a_tensor_that_the_model_does_not_have_is_invalid),
                ASSAY_TEST_ENTRY(random_outputs_are_compared_in_type_alone),
                ASSAY_TEST_ENTRY(a_test_that_crashes_hangs_or_eats_memory_costs_itself_alone),
                ASSAY_TEST_ENTRY(results_come_through_the_worker_as_they_are), ASSAY_TEST_ENTRY(a_stop_ends_the_list),
                ASSAY_TEST_ENTRY(generated_sequences_logits_and_scores_are_compared),
                ASSAY_TEST_ENTRY(one_other_token_or_score_is_a_mismatch),
                ASSAY_TEST_ENTRY(sequences_that_nothing_was_made_of_are_invalid))
