/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.decoding MODEL PLATFORM THREADS PRECISION ROUNDS
 *
 * The share of memory bandwidth that decoding reaches where others use the memory, too: requests of 16 tokens after 16 others,
 * each between two measurements of the bandwidth, whose mean it is divided by: of a plain read, which is all that decoding does,
 * and of STREAM's triad with nontemporal stores, the ceiling of `assay devices`. Prints a line of JSON: the medians over the
 * rounds of a token's time and of the shares, with the least and the most. By hand.
 */
#include "bench/child_session.h"
#include "bench/inputs.h"
#include "bench/request.h"
#include "device/internal.h"
#include "runtime/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PROMPT = 16, NEW_TOKENS = 16, MAX_ROUNDS = 200, MAX_THREADS = 256, READ_BYTES = 1 << 28, WINDOW_NS = 100000000 };

/* Bytes a second. */
struct rates {
    double triad, read;
};

struct bench {
    struct assay_arena arena;
    struct assay_case c;
    struct assay_case_input inputs[2];
    const struct assay_runtime *runtime;
    struct assay_machine machine;
    int cpus[MAX_THREADS], n_cpus; /* of the process: a program that runs has pinned this thread */
    char *memory;                  /* [READ_BYTES] to read, far more than caches hold */
    struct assay_error err;
};

static double step_bytes(struct bench *b)
{
    struct assay_phases phases;
    if (assay_phases_open(&phases, b->c.model_path, ASSAY_WEIGHTS_DECLARED, &b->err) ||
        assay_phases_cost(&phases, &b->c, &b->arena, &b->err)) {
        fprintf(stderr, "%s\n", b->err.message);
        exit(1);
    }
    assay_phases_release(&phases);
    return b->c.step_bytes;
}

/* The C library's search for a byte that is not there: it reads in the widest vectors. */
static double read_share(void *context, int thread)
{
    const struct bench *b = context;
    size_t n = READ_BYTES / (size_t)b->c.threads;
    return memchr(b->memory + n * (size_t)thread, 0, n) ? 0 : (double)n;
}

static struct rates bandwidth(struct bench *b)
{
    struct assay_worker_task reading = {.step = read_share, .context = b};
    struct rates rates = {0};
    int n_threads = (int)b->c.threads;
    if (n_threads > b->n_cpus || !assay_triad_measure(&b->machine, true, b->cpus, n_threads, WINDOW_NS, 1, &rates.triad) ||
        !assay_workers_measure(&reading, b->cpus, n_threads, WINDOW_NS, 1, &rates.read)) {
        fprintf(stderr, "the memory's bandwidth cannot be measured\n");
        exit(1);
    }
    return rates;
}

/* Seconds of a token after the first. */
static double decode(struct bench *b, struct assay_generator *generator, const struct assay_request *request,
                     struct assay_answer *answer)
{
    if (assay_generator_run(generator, request, answer, &b->err)) {
        fprintf(stderr, "%s\n", b->err.message);
        exit(1);
    }
    double sum = 0;
    for (int64_t i = 1; i < answer->n_tokens; i++)
        sum += answer->step_ns[i];
    return sum / (double)(answer->n_tokens - 1) / 1e9;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_median(const char *name, double *values, int n, double scale)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    printf(", \"%s\": %.4g, \"%s_least\": %.4g, \"%s_most\": %.4g", name, values[n / 2] * scale, name, values[0] * scale, name,
           values[n - 1] * scale);
}

int main(int argc, char **argv)
{
    struct assay_platform platform;
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){1, PROMPT});
    struct bench b = {.inputs = {{"input_ids", type, "tokens:1000"}, {"attention_mask", type, "mask"}}};
    if (argc != 6) {
        fprintf(stderr, "usage: %s MODEL PLATFORM THREADS PRECISION ROUNDS\n", argv[0]);
        return 2;
    }
    int n_rounds = atoi(argv[5]) < 1 ? 1 : atoi(argv[5]) > MAX_ROUNDS ? MAX_ROUNDS : atoi(argv[5]);
    assay_arena_init(&b.arena);
    assay_machine_init(&b.machine);
    b.n_cpus = assay_machine_cpu_order(b.cpus, MAX_THREADS);
    b.memory = mmap(NULL, READ_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.memory == MAP_FAILED) {
        fprintf(stderr, "there is no memory for %d bytes to read\n", READ_BYTES);
        return 1;
    }
    madvise(b.memory, READ_BYTES, MADV_HUGEPAGE);
    memset(b.memory, 1, READ_BYTES);
    b.c = (struct assay_case){.model_path = argv[1],
                              .model_precision = "f32",
                              .precision = argv[4],
                              .batch = 1,
                              .threads = atoi(argv[3]),
                              .new_tokens = NEW_TOKENS,
                              .inputs = b.inputs,
                              .n_inputs = 2};
    struct assay_generator *generator = NULL;
    struct assay_request_input inputs[2];
    struct assay_request request = {.inputs = inputs, .n_inputs = 2, .max_new_tokens = NEW_TOKENS, .ignore_eos = true};
    struct assay_answer answer = {0};
    enum assay_status st = assay_platform_find(&b.arena, argv[2], &platform, &b.runtime, &b.err);
    for (int i = 0; !st && i < 2; i++) {
        inputs[i].name = b.inputs[i].name;
        st = assay_input_make(&b.inputs[i], 1, &inputs[i].tensor, &b.err);
    }
    struct assay_generator_options options = {
        .runtime = b.runtime,
        .compile = {.platform = &platform, .n_threads = (int)b.c.threads, .isa = "", .optimization = 3},
        .transform = session_convert,
        .context = &(struct session){.c = &b.c, .runtime = b.runtime}};
    double bytes = st ? 0 : step_bytes(&b), seconds[MAX_ROUNDS], of_triad[MAX_ROUNDS], of_read[MAX_ROUNDS];
    if (!st)
        st = assay_generator_open(argv[1], &options, &generator, &b.err);
    if (st) {
        fprintf(stderr, "%s\n", b.err.message);
        return 1;
    }
    decode(&b, generator, &request, &answer);
    struct rates before = bandwidth(&b);
    for (int i = 0; i < n_rounds; i++) {
        seconds[i] = decode(&b, generator, &request, &answer);
        struct rates after = bandwidth(&b);
        of_triad[i] = bytes / seconds[i] / ((before.triad + after.triad) / 2);
        of_read[i] = bytes / seconds[i] / ((before.read + after.read) / 2);
        before = after;
    }
    printf("{\"precision\": \"%s\", \"threads\": %d, \"bytes\": %.0f", argv[4], (int)b.c.threads, bytes);
    print_median("token_ms", seconds, n_rounds, 1e3);
    print_median("of_read", of_read, n_rounds, 1);
    print_median("of_triad", of_triad, n_rounds, 1);
    printf("}\n");
    assay_answer_release(&answer);
    assay_generator_close(generator);
    for (int i = 0; i < 2; i++)
        assay_tensor_release(&inputs[i].tensor);
    munmap(b.memory, READ_BYTES);
    assay_machine_release(&b.machine);
    assay_arena_release(&b.arena);
    return 0;
}
