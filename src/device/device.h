/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hardware is here, read and measured. Everything that cannot be known here is null or empty, with the reason in `notes`.
 *
 * Ownership: strings live in the machine's arena.
 */
#ifndef ASSAY_DEVICE_DEVICE_H
#define ASSAY_DEVICE_DEVICE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct assay_cache_info {
    int level;
    char kind; /* 'd', 'i' or 'u'nified */
    int64_t size_bytes;
    int shared_by; /* CPUs that share one instance */
    int line_bytes;
};

struct assay_gpu_info {
    const char *name, *vendor, *driver; /* "" if not known */
    const char *api;                    /* nvml, opencl, vulkan: who told */
    int64_t memory_bytes;               /* 0 = not known */
    int n_cores;                        /* multiprocessors or compute units; 0 = not known */
    bool is_software;                   /* llvmpipe, swiftshader, pocl on the CPU */
};

struct assay_sensor_info {
    const char *name; /* "rapl:package-0", "nvml:0" */
    bool available;
    const char *reason; /* why not; "" if available */
};

struct assay_machine {
    struct assay_arena arena;
    const char *host, *os, *kernel, *architecture; /* "x86_64", "aarch64" */
    const char *cpu_name, *cpu_vendor;
    int n_sockets, n_cores, n_threads, n_numa_nodes;
    int n_allowed_cpus; /* that this process may use (affinity, cgroup) */
    double cpu_quota;   /* CPUs by cgroup quota; 0 = no limit */
    struct assay_cache_info *caches;
    int n_caches;
    const char **isa; /* features that matter to numerics: "sse4.1" "avx2" "fma" "avx512f" "avx512_vnni" "avx512_bf16" "amx_bf16"
                         "neon" "dotprod" … */
    int n_isa;
    const char *governor;                     /* "" = not known here */
    int turbo;                                /* 1, 0, -1 = not known */
    const char *virtualization;               /* "kvm", "none", … */
    int64_t memory_bytes, memory_limit_bytes; /* limit 0 = none (cgroup) */
    struct assay_gpu_info *gpus;
    int n_gpus;
    struct assay_sensor_info *sensors;
    int n_sensors;
    const char **notes; /* sentences: what could not be read, and why */
    int n_notes;
};

/* Reads it all; never fails. */
void assay_machine_init(struct assay_machine *machine);
void assay_machine_release(struct assay_machine *machine);
bool assay_machine_has_isa(const struct assay_machine *machine, const char *feature);
/* "sse4.1 avx2 fma …", borrowed. */
const char *assay_machine_isa_text(struct assay_machine *machine);

/* Threads that a person asks for: 1 to 4 for each CPU that this process may use. Some more than CPUs show where a curve ends; far
 * more measure the scheduler and stop a machine that others use. ASSAY_INVALID names the range. */
enum assay_status assay_threads_check(int64_t n_threads, struct assay_error *err);
/* Whether threads share CPUs, and how many CPUs there are. */
bool assay_threads_share(int64_t n_threads, int *n_cpus);

/* Measured ceilings of the CPU: FLOP/s (or integer op/s) per precision and bytes/s, at 1..n threads. Precisions that the CPU has
 * no instructions for are absent. */
struct assay_ceiling {
    const char *precision; /* "f32", "f64", "f16", "bf16", "int8", or "memory" (then `rate` is bytes/s of a STREAM triad,
                              write-allocate not counted) */
    const char *isa; /* tier whose instructions were used: "avx512", "avx2", "sse", "avx512_vnni", "neon"; of memory: "temporal"
                        or "nontemporal" stores */
    int n_threads;
    double rate;   /* per second of CPU time, all threads together: the largest of the repetitions */
    double spread; /* (largest - smallest) / largest of the repetitions */
};
struct assay_ceilings {
    struct assay_arena arena;
    struct assay_ceiling *items;
    int n;
    int64_t measured_us; /* when, UTC */
    bool from_cache;
};
/* Reads the cache file of this machine (key: host, CPU name, ISA, allowed CPUs, quota, kernel), or measures (below 10 s; told
 * through `progress`, may be NULL) and writes it. `again` measures anyway. A cache that cannot be written is told through
 * `progress`. */
enum assay_status assay_ceilings_get(struct assay_ceilings *ceilings, const struct assay_machine *machine, bool again,
                                     void (*progress)(void *context, const char *what), void *context, struct assay_error *err);
void assay_ceilings_release(struct assay_ceilings *ceilings);
/* The best tier's rate for a precision at n_threads (the nearest number measured not above it); 0 if absent. */
double assay_ceilings_rate(const struct assay_ceilings *ceilings, const char *precision, int n_threads);

/* The clock that a core really runs at, by timing a chain of dependent integer additions (one a cycle on every CPU of today),
 * about 2 ms. Hz. */
double assay_device_frequency(void);

/* Counters of the whole machine and of this process, for telling noise: take one before and one after. */
struct assay_noise {
    int64_t wall_ns;
    int64_t busy_ns, idle_ns, steal_ns; /* of all CPUs together (/proc/stat) */
    int64_t own_cpu_ns;                 /* of this process */
    int64_t involuntary_switches, voluntary_switches, major_faults;
    double load1;
};
void assay_noise_read(struct assay_noise *noise);
/* Shares in [0, 1] of all CPUs' time between two readings. */
double assay_noise_steal_share(const struct assay_noise *before, const struct assay_noise *after);
double assay_noise_other_share(const struct assay_noise *before, const struct assay_noise *after);

/* Energy counters. joules since an arbitrary start; ASSAY_ABSENT with the reason if there is no counter for `device` ("cpu",
 * "cuda:0"; NVML's index). RAPL wraps after some 262 kJ a package, so a later reading that is smaller is no figure. Costs some 10
 * ms for a GPU: never inside a timed region. */
enum assay_status assay_energy_read(const char *device, double *energy_j, struct assay_error *err);
/* Resident memory of this process now, and its largest so far. */
void assay_memory_resident(int64_t *now_bytes, int64_t *peak_bytes);

#endif
