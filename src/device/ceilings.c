/* SPDX-License-Identifier: Apache-2.0 */
/* The measured ceilings of this machine and their cache; see device.h. */
#include "device/internal.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FORMAT = 2, REPETITIONS = 5, ITEM_LIMIT = 4096, CPU_LIMIT = 65536, KERNEL_STEP_NS = 200000 };

/* All windows together shall take about this long, and one window neither less nor more than this. */
static const int64_t budget_ns = 6000000000, shortest_window_ns = 4000000, longest_window_ns = 30000000;

/* ---- measuring */

struct peak {
    const struct assay_peak_kernel *kernel;
    int64_t n_iterations; /* a step, about KERNEL_STEP_NS long */
};

static bool peak_prepare(void *context, int thread)
{
    (void)thread;
    const struct peak *peak = context;
    return !peak->kernel->prepare || peak->kernel->prepare();
}

static double peak_step(void *context, int thread)
{
    (void)thread;
    const struct peak *peak = context;
    peak->kernel->run(peak->n_iterations);
    return (double)peak->n_iterations * (double)peak->kernel->ops_per_iteration;
}

/* One at a clock of 3 GHz and one accumulator a cycle; a step that is a few times longer or shorter does no harm. */
static int64_t step_iterations(void) { return KERNEL_STEP_NS * 3 / 14; }

static double largest(const double *rates)
{
    double best = rates[0];
    for (int r = 1; r < REPETITIONS; r++)
        best = rates[r] > best ? rates[r] : best;
    return best;
}

/* A ceiling is the largest rate seen: whatever disturbs makes it smaller. */
static void add_item(struct assay_ceilings *ceilings, const char *precision, const char *isa, int n_threads, const double *rates)
{
    double best = largest(rates), worst = best;
    if (!(best > 0) || ceilings->n >= ITEM_LIMIT)
        return;
    for (int r = 0; r < REPETITIONS; r++)
        worst = rates[r] < worst ? rates[r] : worst;
    ceilings->items[ceilings->n++] = (struct assay_ceiling){
        .precision = precision,
        .isa = isa,
        .n_threads = n_threads,
        .rate = best,
        .spread = (best - worst) / best,
    };
}

static bool has_features(const struct assay_machine *machine, const char *features)
{
    char name[32];
    for (const char *at = features; *at; at += *at == ' ') {
        size_t n = strcspn(at, " ");
        if (n >= sizeof name)
            return false;
        memcpy(name, at, n);
        name[n] = 0;
        if (!assay_machine_has_isa(machine, name))
            return false;
        at += n;
    }
    return true;
}

/* 1, 2, 4, … and the last one. */
static int next_count(int n_threads, int n_cpus) { return n_threads * 2 < n_cpus ? n_threads * 2 : n_cpus; }

struct sweep {
    const int *cpus;
    int n_cpus;
    int64_t window_ns;
    void (*progress)(void *context, const char *what);
    void *context;
};

static void tell(const struct sweep *sweep, const char *precision, const char *isa, int n_threads)
{
    char text[96];
    snprintf(text, sizeof text, "measuring the ceiling of %s (%s), %d thread%s", precision, isa, n_threads,
             n_threads == 1 ? "" : "s");
    if (sweep->progress)
        sweep->progress(sweep->context, text);
}

/* Arithmetic of n threads should be n times that of one. Where it is not, the hypervisor may just have put two of our CPUs on one
 * core, which it does for seconds at a time on some machines: so it is looked at again, a few times. */
static bool measure_peak(const struct assay_worker_task *work, const struct sweep *sweep, int n_threads, double single,
                         double *rates)
{
    enum { ATTEMPTS = 5, PAUSE_US = 300000 };
    double again[REPETITIONS];
    if (!assay_workers_measure(work, sweep->cpus, n_threads, sweep->window_ns, REPETITIONS, rates))
        return false;
    for (int i = 1; i < ATTEMPTS && n_threads > 1 && largest(rates) < 0.9 * n_threads * single; i++) {
        usleep(PAUSE_US);
        if (assay_workers_measure(work, sweep->cpus, n_threads, sweep->window_ns, REPETITIONS, again) &&
            largest(again) > largest(rates))
            memcpy(rates, again, sizeof again);
    }
    return true;
}

static void measure_all(struct assay_ceilings *ceilings, const struct assay_machine *machine, const struct sweep *sweep)
{
    double rates[REPETITIONS], single = 0;
    for (int k = 0; k < assay_n_peak_kernels; k++) {
        const struct assay_peak_kernel *kernel = &assay_peak_kernels[k];
        if (!has_features(machine, kernel->features))
            continue;
        struct peak peak = {kernel, step_iterations()};
        struct assay_worker_task work = {.prepare = peak_prepare, .step = peak_step, .context = &peak};
        for (int n = 1, last = 0; n != last; last = n, n = next_count(n, sweep->n_cpus)) {
            tell(sweep, kernel->precision, kernel->isa, n);
            if (measure_peak(&work, sweep, n, single, rates))
                add_item(ceilings, kernel->precision, kernel->isa, n, rates);
            single = n == 1 ? largest(rates) : single;
        }
    }
    for (int nontemporal = 0; nontemporal < 2; nontemporal++)
        for (int n = 1, last = 0; n != last; last = n, n = next_count(n, sweep->n_cpus)) {
            const char *stores = nontemporal ? "nontemporal" : "temporal";
            tell(sweep, "memory", stores, n);
            if (assay_triad_measure(machine, nontemporal, sweep->cpus, n, sweep->window_ns, REPETITIONS, rates))
                add_item(ceilings, "memory", stores, n, rates);
        }
}

static void measure(struct assay_ceilings *ceilings, const struct assay_machine *machine,
                    void (*progress)(void *context, const char *what), void *context)
{
    int *cpus = assay_alloc(CPU_LIMIT * sizeof *cpus), n_counts = 0, n_usable = 2;
    int n_cpus = assay_machine_cpu_order(cpus, CPU_LIMIT);
    /* More threads than the group's quota of CPU time would measure the throttling. */
    if (machine->cpu_quota > 0 && n_cpus > (int)ceil(machine->cpu_quota))
        n_cpus = (int)ceil(machine->cpu_quota);
    for (int n = 1, last = 0; n != last; last = n, n = next_count(n, n_cpus))
        n_counts++;
    for (int k = 0; k < assay_n_peak_kernels; k++)
        n_usable += has_features(machine, assay_peak_kernels[k].features);
    int64_t window = budget_ns / (n_counts * n_usable * REPETITIONS);
    window = window < shortest_window_ns ? shortest_window_ns : window > longest_window_ns ? longest_window_ns : window;
    struct sweep sweep = {cpus, n_cpus, window, progress, context};
    ceilings->items = assay_arena_array(&ceilings->arena, ITEM_LIMIT, sizeof *ceilings->items);
    ceilings->measured_us = assay_clock_utc_us();
    measure_all(ceilings, machine, &sweep);
    free(cpus);
}

/* ---- cache */

/* The file of this machine, its features, its kernel and the CPUs that we may use. */
static enum assay_status cache_path(struct assay_arena *arena, const struct assay_machine *machine, char **path,
                                    struct assay_error *err)
{
    char *folder, key[ASSAY_HASH_TEXT_SIZE];
    enum assay_status st = assay_path_cache(arena, &folder, err);
    if (st)
        return st;
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_u64(&hash, FORMAT);
    assay_hash_text(&hash, machine->host);
    assay_hash_text(&hash, machine->cpu_name);
    assay_hash_text(&hash, machine->kernel);
    for (int i = 0; i < machine->n_isa; i++)
        assay_hash_text(&hash, machine->isa[i]);
    int *cpus = assay_alloc(CPU_LIMIT * sizeof *cpus), n = assay_machine_cpu_order(cpus, CPU_LIMIT);
    for (int i = 0; i < n; i++)
        assay_hash_u64(&hash, (uint64_t)cpus[i]);
    free(cpus);
    assay_hash_u64(&hash, (uint64_t)(machine->cpu_quota * 1000));
    assay_hash_final(&hash, key);
    key[16] = 0;
    *path = assay_path_join(arena, folder, assay_arena_printf(arena, "ceilings-%s.json", key));
    return ASSAY_OK;
}

static bool read_item(const json_t *object, struct assay_arena *arena, struct assay_ceiling *item)
{
    const char *precision, *isa;
    int64_t n_threads;
    struct assay_error err;
    if (!json_is_object(object) || assay_json_text(object, "precision", "", &precision, &err) ||
        assay_json_text(object, "isa", "", &isa, &err) || assay_json_int(object, "n_threads", 0, &n_threads, &err) ||
        assay_json_real(object, "rate", 0, &item->rate, &err) || assay_json_real(object, "spread", 0, &item->spread, &err))
        return false;
    if (!precision[0] || strlen(precision) > 32 || strlen(isa) > 32 || n_threads < 1 || n_threads > CPU_LIMIT ||
        !isfinite(item->rate) || !(item->rate > 0) || !isfinite(item->spread) || item->spread < 0)
        return false;
    item->precision = assay_arena_strdup(arena, precision);
    item->isa = assay_arena_strdup(arena, isa);
    item->n_threads = (int)n_threads;
    return true;
}

/* False for a file that is missing, damaged, or of another format: then it is measured again. */
static bool read_cache(const char *path, struct assay_ceilings *ceilings)
{
    struct assay_error err;
    json_t *root = NULL;
    int64_t format, measured_us;
    if (assay_json_read(path, &root, &err))
        return false;
    const json_t *items = json_object_get(root, "items");
    size_t n = json_array_size(items);
    bool good = json_is_object(root) && !assay_json_int(root, "format", 0, &format, &err) && format == FORMAT &&
                !assay_json_int(root, "measured_us", 0, &measured_us, &err) && measured_us > 0 && n > 0 && n <= ITEM_LIMIT;
    if (good)
        ceilings->items = assay_arena_array(&ceilings->arena, n, sizeof *ceilings->items);
    for (size_t i = 0; good && i < n; i++)
        good = read_item(json_array_get(items, i), &ceilings->arena, &ceilings->items[i]);
    if (good) {
        ceilings->n = (int)n;
        ceilings->measured_us = measured_us;
        ceilings->from_cache = true;
    }
    json_decref(root);
    return good;
}

static enum assay_status write_cache(const char *path, const struct assay_ceilings *ceilings, const struct assay_machine *machine,
                                     struct assay_error *err)
{
    json_t *items = json_array();
    for (int i = 0; i < ceilings->n; i++) {
        const struct assay_ceiling *item = &ceilings->items[i];
        json_array_append_new(items, json_pack("{s:s, s:s, s:i, s:f, s:f}", "precision", item->precision, "isa", item->isa,
                                               "n_threads", item->n_threads, "rate", item->rate, "spread", item->spread));
    }
    json_t *root = json_pack("{s:i, s:s%, s:I, s:o}", "format", FORMAT, "cpu", machine->cpu_name, strlen(machine->cpu_name),
                             "measured_us", (json_int_t)ceilings->measured_us, "items", items);
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    enum assay_status st = text ? assay_fs_write(path, text, strlen(text), err)
                                : assay_error_set(err, ASSAY_INVALID, "The CPU's name, \"%s\", is not text.", machine->cpu_name);
    free(text);
    json_decref(root);
    return st;
}

enum assay_status assay_ceilings_get(struct assay_ceilings *ceilings, const struct assay_machine *machine, bool again,
                                     void (*progress)(void *context, const char *what), void *context, struct assay_error *err)
{
    *ceilings = (struct assay_ceilings){0};
    assay_arena_init(&ceilings->arena);
    struct assay_error cache_error;
    char *path = NULL;
    bool has_cache = cache_path(&ceilings->arena, machine, &path, &cache_error) == ASSAY_OK;
    if (has_cache && !again && read_cache(path, ceilings))
        return ASSAY_OK;
    measure(ceilings, machine, progress, context);
    if (ceilings->n == 0) {
        assay_ceilings_release(ceilings);
        return assay_error_set(err, ASSAY_ABSENT, "No ceiling could be measured: the system gives no threads or no memory.");
    }
    if ((!has_cache || write_cache(path, ceilings, machine, &cache_error)) && progress)
        progress(context, cache_error.message); /* the figures are good all the same */
    return ASSAY_OK;
}

void assay_ceilings_release(struct assay_ceilings *ceilings)
{
    if (!ceilings)
        return;
    assay_arena_release(&ceilings->arena);
    *ceilings = (struct assay_ceilings){0};
}

double assay_ceilings_rate(const struct assay_ceilings *ceilings, const char *precision, int n_threads)
{
    int nearest = 0;
    double rate = 0;
    for (int i = 0; i < ceilings->n; i++) {
        const struct assay_ceiling *item = &ceilings->items[i];
        if (strcmp(item->precision, precision) != 0 || item->n_threads > n_threads || item->n_threads < nearest)
            continue;
        if (item->n_threads > nearest || item->rate > rate)
            rate = item->rate;
        nearest = item->n_threads;
    }
    return rate;
}
