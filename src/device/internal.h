/* SPDX-License-Identifier: Apache-2.0 */
/* Inside device/ only: what its files offer one another. The texts of /proc and /sys come from outside: every parser here takes
 * any text, and says false where it does not understand. */
#ifndef ASSAY_DEVICE_INTERNAL_H
#define ASSAY_DEVICE_INTERNAL_H

#include "device/device.h"

#include <stddef.h>

/* ---- proc.c: small files of the kernel, as text */

/* The first size - 1 bytes of a file and a NUL; false, and "", if it cannot be read. */
bool assay_proc_read(const char *path, char *text, size_t size);
/* A file that holds one word or line, without the newline. */
bool assay_proc_line(const char *path, char *line, size_t size);
/* The value of the first line "key : value" or "key value". */
bool assay_proc_field(const char *text, const char *key, char *value, size_t size);
/* A whole number at the start of a text (spaces before and anything after it), not negative. */
bool assay_proc_integer(const char *text, int64_t *value);
/* The "cpu " line of /proc/stat into busy, idle and steal. */
bool assay_proc_stat(const char *text, int64_t ns_per_tick, struct assay_noise *noise);

struct assay_cgroup_limits {
    double cpu_quota;     /* CPUs; 0 = none */
    int64_t memory_bytes; /* 0 = none */
};
/* Limits of the group that `self` (the text of /proc/self/cgroup) names and of all above it, versions 1 and 2, below the mount
 * `root` (/sys/fs/cgroup). */
void assay_cgroup_read(const char *root, const char *self, struct assay_cgroup_limits *limits);

/* ---- isa_ARCHITECTURE.c: exactly one is compiled */

/* Names of the features that this CPU and its operating system offer; static strings. Returns their number, at most `limit`. */
int assay_isa_list(const char **names, int limit);
/* "GenuineIntel", … and the marketing name; "" if the architecture does not tell. */
void assay_isa_cpu_name(char *vendor, size_t vendor_size, char *name, size_t name_size);
/* "kvm", "none", …; "" if the architecture does not tell. */
void assay_isa_hypervisor(char *name, size_t size);

/* ---- gpu_*.c: each fills at most `limit` and returns how many; `reason` says why there are none. They run inside a child
 * process (gpu.c), since drivers crash and hang. */
enum { ASSAY_GPU_TEXT = 128, ASSAY_GPU_LIMIT = 64 };
struct assay_gpu_record {
    char name[ASSAY_GPU_TEXT], vendor[ASSAY_GPU_TEXT], driver[ASSAY_GPU_TEXT];
    int64_t memory_bytes;
    int32_t n_cores, is_software;
};
int assay_gpu_nvml(struct assay_gpu_record *records, int limit, char reason[ASSAY_GPU_TEXT]);
int assay_gpu_opencl(struct assay_gpu_record *records, int limit, char reason[ASSAY_GPU_TEXT]);
int assay_gpu_vulkan(struct assay_gpu_record *records, int limit, char reason[ASSAY_GPU_TEXT]);
/* Asks all three and fills the machine's GPUs. */
void assay_gpu_list(struct assay_machine *machine);
/* Millijoules that GPU `index` has used since its driver was loaded. */
enum assay_status assay_nvml_energy(int index, int64_t *energy_mj, struct assay_error *err);

/* ---- sensors.c, machine.c */
void assay_sensor_list(struct assay_machine *machine);
void assay_machine_note(struct assay_machine *machine, const char *format, ...) ASSAY_PRINTF(2, 3);
/* CPUs that this process may use, one of each core first, then the cores' further threads. Returns their number. */
int assay_machine_cpu_order(int *cpus, int limit);

/* ---- peak_ARCHITECTURE.c: kernels that do nothing but arithmetic, in registers */
struct assay_peak_kernel {
    const char *precision, *isa;
    const char *features;  /* that the machine must have, separated by spaces */
    bool (*prepare)(void); /* for each thread, before run; false = not usable after all; NULL = nothing to do */
    void (*run)(int64_t n_iterations);
    int64_t ops_per_iteration;
};
extern const struct assay_peak_kernel assay_peak_kernels[];
extern const int assay_n_peak_kernels;

/* a = b + s · c for n values, n even, arrays aligned to 16 bytes, with stores that go round the caches; NULL if there are none.
 */
extern void (*const assay_triad_nontemporal)(double *a, const double *b, const double *c, double s, size_t n);

/* ---- workers.c: pinned threads that repeat a piece of work for a given time */
struct assay_worker_task {
    /* Called in each thread before the first repetition; false cancels all. May be NULL. */
    bool (*prepare)(void *context, int thread);
    /* Does a piece of the work (about 0.1 to 10 ms) and returns how much: operations, bytes. */
    double (*step)(void *context, int thread);
    void *context;
};
/* Rates of all threads together, one for each repetition of `window_ns`. False if the threads could not be had. */
bool assay_workers_measure(const struct assay_worker_task *work, const int *cpus, int n_threads, int64_t window_ns,
                           int n_repetitions, double *rates);

/* ---- triad.c */

/* STREAM triad over arrays far larger than the caches; bytes/s for each repetition. False if there is no memory for it, or no
 * nontemporal store where that is asked for. */
bool assay_triad_measure(const struct assay_machine *machine, bool nontemporal, const int *cpus, int n_threads, int64_t window_ns,
                         int n_repetitions, double *rates);

#endif
