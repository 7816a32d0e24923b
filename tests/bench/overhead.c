/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the harness itself costs: time per iteration of the measuring loop (assay_measure_runs) over the null runtime, whose run
 * does nothing. Two figures, medians of several repetitions: wall time over iterations, which is what a measurement is slowed
 * down by, and the median sample, which is what every sample contains too much. Exit code 1 if the first is 200 ns or more.
 *
 *     bench.overhead [REPETITIONS]
 */
#include "bench/measure.h"
#include "graph/infer.h"
#include "runtime/registry.h"
#include "stats/stats.h"

#include <stdio.h>
#include <stdlib.h>

static const double LIMIT_NS = 200;
enum { REPETITIONS = 21, MOST = 1000 };

struct session {
    const struct assay_runtime *runtime;
    struct assay_program *program;
};

static enum assay_status run_program(void *context, struct assay_error *err)
{
    struct session *s = context;
    return s->runtime->run(s->program, err);
}

static struct assay_graph *one_node(void)
{
    struct assay_graph *graph = assay_graph_open("one");
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &(int64_t){1});
    int x = assay_graph_add_value(graph, "x", &type), y = assay_graph_add_value(graph, "y", NULL);
    assay_graph_add_input(graph, x);
    assay_graph_add_node(graph, "Relu", "", 1, &x, 1, &y);
    assay_graph_add_output(graph, y);
    return graph;
}

static enum assay_status repeat(struct session *s, int n, double *wall, double *sample, struct assay_error *err)
{
    struct assay_measure_options options = {.max_time = 10}; /* ends at ASSAY_MAX_SAMPLES, long before */
    for (int i = 0; i < n; i++) {
        struct assay_samples samples = {0};
        enum assay_status st = assay_measure_runs(&(struct assay_work){.run = run_program, .context = s}, &options, &samples, err);
        if (st)
            return st;
        wall[i] = (double)samples.wall_ns / (double)samples.n;
        sample[i] = assay_stats_median(samples.ns, samples.n);
        assay_samples_release(&samples);
    }
    return ASSAY_OK;
}

int main(int argc, char **argv)
{
    static double wall[MOST], sample[MOST];
    struct session s = {assay_runtime_find("null"), NULL};
    struct assay_compile_options options = {.n_threads = 1};
    struct assay_error err;
    int n = argc > 1 ? atoi(argv[1]) : REPETITIONS;
    struct assay_graph *graph = one_node();
    n = n < 1 ? 1 : n > MOST ? MOST : n;
    enum assay_status st = assay_graph_sort(graph, &err);
    if (!st)
        st = s.runtime->compile(graph, &options, &s.program, &err);
    if (!st)
        st = repeat(&s, n, wall, sample, &err);
    s.runtime->release(s.program);
    assay_graph_close(graph);
    if (st) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    double median = assay_stats_median(wall, (size_t)n);
    printf("harness overhead: %.0f ns an iteration (median of %d repetitions of %d; quartiles %.0f, %.0f); a sample contains "
           "%.0f ns\n",
           median, n, ASSAY_MAX_SAMPLES, assay_stats_quantile(wall, (size_t)n, 0.25), assay_stats_quantile(wall, (size_t)n, 0.75),
           assay_stats_median(sample, (size_t)n));
    return median >= LIMIT_NS;
}
