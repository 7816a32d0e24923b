/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.training_step MODEL PLATFORM THREADS PRECISION OPTIMIZER STEPS PROFILE DIMENSION=SIZE …
 *
 * Times training steps of a model on one batch of seeded inputs, and prints a line of JSON for peers/pytorch_training.sh: the
 * median step, its loss, its FLOPs over the measured peak of that precision and number of threads (0: not measured), and the
 * process's peak resident memory. PROFILE 1 lists where a step's time goes, on stderr, each op's
 * the shortest of all steps; 0 does not. By hand.
 */
#include "base/clock.h"
#include "bench/inputs.h"
#include "device/device.h"
#include "graph/infer.h"
#include "model/analysis.h"
#include "model/model.h"
#include "runtime/registry.h"
#include "train/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MAX_STEPS = 1000, MAX_LINES = 400 };

static int fail(const struct assay_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    return 1;
}

static enum assay_status open_model(const char *name, int n_dims, char **dims, struct assay_graph **graph,
                                    struct assay_error *err)
{
    struct assay_model_options options = {.training = true, .no_dropout = true};
    enum assay_status st = assay_model_open(name, &options, graph, NULL, err);
    if (st)
        return st;
    struct assay_binding *bindings = assay_arena_array(&(*graph)->arena, (size_t)n_dims + 1, sizeof *bindings);
    for (int i = 0; i < n_dims; i++) {
        char *text = assay_arena_strdup(&(*graph)->arena, dims[i]), *equals = strchr(text, '=');
        if (!equals)
            return assay_error_set(err, ASSAY_INVALID, "'%s' is no DIMENSION=SIZE", text);
        *equals = 0;
        bindings[i] = (struct assay_binding){text, atoll(equals + 1)};
    }
    st = assay_graph_bind(*graph, bindings, (size_t)n_dims, err);
    return st ? st : assay_graph_infer(*graph, err);
}

static enum assay_status make_inputs(struct assay_graph *graph, struct assay_tensor *data, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < graph->n_inputs && !st; i++) {
        int value = graph->inputs[i];
        struct assay_case_input input = {.name = graph->values[value].name,
                                         .type = graph->values[value].type,
                                         .kind = assay_input_guess(graph, value, &graph->arena)};
        st = assay_input_make(&input, 1, &data[i], err);
    }
    return st;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

struct line {
    const char *type;
    enum assay_dtype dtype;
    int64_t ns;
    double flops, bytes;
    int n;
};

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return x->ns > y->ns ? -1 : x->ns < y->ns;
}

static void print_profile(const struct assay_runtime *runtime, struct assay_program *program)
{
    const struct assay_op_time *times;
    struct assay_error err;
    struct line lines[MAX_LINES];
    int n_times, n = 0, n_runs = 0;
    if (runtime->profile(program, &times, &n_times, &err))
        return;
    for (int i = 0; i < n_times; i++)
        n_runs = times[i].run + 1 > n_runs ? times[i].run + 1 : n_runs;
    int n_steps = n_runs ? n_times / n_runs : 0; /* the same in each run */
    for (int i = n_times - n_steps; i < n_times; i++) {
        int64_t fastest = times[i].wall_ns;
        int k = 0;
        for (int at = i - n_steps; at >= 0; at -= n_steps)
            fastest = times[at].wall_ns < fastest ? times[at].wall_ns : fastest;
        while (k < n && (strcmp(lines[k].type, times[i].type) != 0 || lines[k].dtype != times[i].dtype))
            k++;
        if (k == n && n == MAX_LINES)
            continue;
        if (k == n)
            lines[n++] = (struct line){.type = times[i].type, .dtype = times[i].dtype};
        lines[k].ns += fastest;
        lines[k].flops += times[i].flops;
        lines[k].bytes += times[i].bytes;
        lines[k].n++;
        if (getenv("EACH") && strstr(times[i].type, getenv("EACH")))
            fprintf(stderr, "  %-60s %9.3f ms %8.2f GFLOP/s\n", times[i].name, (double)fastest / 1e6,
                    times[i].flops / (double)fastest);
    }
    qsort(lines, (size_t)n, sizeof *lines, compare_lines);
    for (int k = 0; k < n; k++)
        fprintf(stderr, "%-40s %-5s %4d %9.2f ms %8.2f GFLOP/s %8.2f GB/s\n", lines[k].type,
                lines[k].dtype == ASSAY_NO_DTYPE ? "" : assay_dtype_word((int)lines[k].dtype), lines[k].n,
                (double)lines[k].ns / 1e6, lines[k].flops / (double)lines[k].ns, lines[k].bytes / (double)lines[k].ns);
}

/* GFLOP/s that a step can have at most, measured or from the cache of `assay devices`; 0 = not known. */
static double peak_of(const char *precision, int n_threads)
{
    struct assay_machine machine;
    struct assay_ceilings ceilings;
    struct assay_error err;
    double rate = 0;
    assay_machine_init(&machine);
    if (assay_ceilings_get(&ceilings, &machine, false, NULL, NULL, &err) == ASSAY_OK) {
        rate = assay_ceilings_rate(&ceilings, precision, n_threads) / 1e9;
        assay_ceilings_release(&ceilings);
    }
    assay_machine_release(&machine);
    return rate;
}

static double gflop_of(const struct assay_graph *graph)
{
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    double flops = analysis.flops;
    assay_analysis_release(&analysis);
    return flops / 1e9;
}

int main(int argc, char **argv)
{
    struct assay_error err;
    struct assay_arena arena;
    struct assay_graph *graph = NULL;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    struct assay_training_step *step = NULL;
    struct assay_training_session *session = NULL;
    struct assay_step_options options = {.update = true};
    if (argc < 8) {
        fprintf(stderr, "usage: %s MODEL PLATFORM THREADS PRECISION OPTIMIZER STEPS PROFILE DIMENSION=SIZE ...\n", argv[0]);
        return 2;
    }
    int n_steps = atoi(argv[6]) < 1 ? 1 : atoi(argv[6]) > MAX_STEPS ? MAX_STEPS : atoi(argv[6]);
    options.precision = strcmp(argv[4], "f32") == 0 ? ASSAY_NO_DTYPE : assay_dtype_from_word(argv[4]);
    assay_arena_init(&arena);
    if (assay_platform_find(&arena, argv[2], &platform, &runtime, &err) ||
        assay_optimizer_parse(argv[5], &options.optimizer, &err) || open_model(argv[1], argc - 8, argv + 8, &graph, &err))
        return fail(&err);
    struct assay_tensor *data = assay_arena_array(&arena, (size_t)graph->n_inputs, sizeof *data);
    struct assay_compile_options compile = {
        .platform = &platform, .n_threads = atoi(argv[3]), .isa = "", .profile = atoi(argv[7]) != 0, .optimization = 3};
    if (make_inputs(graph, data, &err) || assay_training_step_make(graph, &options, &step, &err))
        return fail(&err);
    assay_graph_close(graph);
    double gflop = gflop_of(step->graph);
    if (assay_training_session_open(step, runtime, &compile, &session, &err))
        return fail(&err);
    int64_t times[MAX_STEPS], cpu[MAX_STEPS];
    double first = 0, loss = 0;
    for (int i = 0; i < n_steps; i++) {
        int64_t start = assay_clock_ns(), start_cpu = assay_clock_cpu_ns();
        if (assay_training_session_run(session, data, 1e-5, 1, &err) ||
            assay_training_session_number(session, step->loss, &loss, &err))
            return fail(&err);
        if (i == 0)
            assay_training_step_release_initials(step);
        times[i] = assay_clock_ns() - start;
        cpu[i] = assay_clock_cpu_ns() - start_cpu;
        first = i == 0 ? loss : first;
    }
    int skipped = n_steps > 2 ? 2 : n_steps - 1;
    qsort(times + skipped, (size_t)(n_steps - skipped), sizeof *times, compare_times);
    qsort(cpu + skipped, (size_t)(n_steps - skipped), sizeof *cpu, compare_times);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    long long parameters = (long long)step->parameters;
    if (compile.profile)
        print_profile(runtime, assay_training_session_program(session));
    assay_training_session_close(session);
    double peak = peak_of(argv[4], compile.n_threads); /* the session takes memory of its own, and pins this thread to one CPU */
    double median_ms = (double)times[skipped + (n_steps - skipped) / 2] / 1e6;
    printf("{\"step_ms\": %.3f, \"min_ms\": %.3f, \"cpu_ms\": %.3f, \"loss\": %.7f, \"last_loss\": %.7f, \"gflop\": %.3f, "
           "\"peak_share\": %.4f, \"peak_mib\": %.1f, \"parameters\": %lld}\n",
           median_ms, (double)times[skipped] / 1e6, (double)cpu[skipped + (n_steps - skipped) / 2] / 1e6, first, loss, gflop,
           peak > 0 ? gflop / median_ms * 1e3 / peak : 0, (double)usage.ru_maxrss / 1024, parameters);
    assay_training_step_close(step);
    assay_arena_release(&arena);
    return 0;
}
