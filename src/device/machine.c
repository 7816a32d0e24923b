/* SPDX-License-Identifier: Apache-2.0 */
/* The description of this machine: operating system, CPU, caches, memory and limits. GPUs, sensors and instruction sets are in
 * files of their own. */
#include "device/internal.h"

#include <ctype.h>
#include <hwloc.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { LARGEST_CPU = 65536, ISA_LIMIT = 64 };

void assay_machine_note(struct assay_machine *machine, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t n = (size_t)machine->n_notes;
    machine->notes = assay_arena_grow(&machine->arena, machine->notes, n, n + 1, sizeof *machine->notes);
    machine->notes[machine->n_notes++] = assay_arena_strdup(&machine->arena, text);
}

static const char *keep(struct assay_machine *machine, const char *text) { return assay_arena_strdup(&machine->arena, text); }

static void read_system(struct assay_machine *machine)
{
    struct utsname names;
    char text[4096], value[256];
    machine->host = machine->kernel = machine->architecture = machine->os = "";
    if (uname(&names) == 0) {
        machine->host = keep(machine, names.nodename);
        machine->kernel = keep(machine, names.release);
        machine->architecture = keep(machine, names.machine);
        machine->os = keep(machine, names.sysname);
    }
    if (!assay_proc_read("/etc/os-release", text, sizeof text))
        assay_proc_read("/usr/lib/os-release", text, sizeof text);
    char *line = strstr(text, "PRETTY_NAME=");
    if (line) {
        line += strlen("PRETTY_NAME=");
        line += *line == '"';
        snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\"\n"), line);
        machine->os = keep(machine, value);
    }
    if (access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0)
        assay_machine_note(machine,
                           "This is a container: the machine around it may be larger and busier than it looks from here.");
}

static void read_cpu(struct assay_machine *machine)
{
    char vendor[64], name[128], text[4096], line[128];
    assay_isa_cpu_name(vendor, sizeof vendor, name, sizeof name);
    if (!name[0] && assay_proc_read("/proc/cpuinfo", text, sizeof text) &&
        !assay_proc_field(text, "model name", name, sizeof name))
        assay_proc_field(text, "uarch", name, sizeof name);
    if (!name[0]) {
        snprintf(name, sizeof name, "unknown %s CPU", machine->architecture);
        assay_machine_note(machine, "Neither the CPU nor /proc/cpuinfo tells the CPU's name.");
    }
    machine->cpu_vendor = keep(machine, vendor);
    machine->cpu_name = keep(machine, name);
    machine->isa = assay_arena_array(&machine->arena, ISA_LIMIT, sizeof *machine->isa);
    machine->n_isa = assay_isa_list(machine->isa, ISA_LIMIT);

    assay_isa_hypervisor(line, sizeof line);
    machine->virtualization = keep(machine, line);
    machine->governor = "";
    if (assay_proc_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line, sizeof line))
        machine->governor = keep(machine, line);
    else
        assay_machine_note(machine, "The frequency governor is not known: the kernel offers no cpufreq here.");
    int64_t value;
    machine->turbo = -1;
    if (assay_proc_line("/sys/devices/system/cpu/intel_pstate/no_turbo", line, sizeof line) && assay_proc_integer(line, &value))
        machine->turbo = value == 0;
    else if (assay_proc_line("/sys/devices/system/cpu/cpufreq/boost", line, sizeof line) && assay_proc_integer(line, &value))
        machine->turbo = value != 0;
}

/* ---- topology */

/* A loaded topology with also those CPUs that we may not use; false if hwloc cannot have one. */
static bool load_topology(hwloc_topology_t *topology)
{
    if (hwloc_topology_init(topology) != 0)
        return false;
    hwloc_topology_set_flags(*topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (hwloc_topology_load(*topology) == 0)
        return true;
    hwloc_topology_destroy(*topology);
    return false;
}

static int count_objects(hwloc_topology_t topology, hwloc_obj_type_t type)
{
    int n = hwloc_get_nbobjs_by_type(topology, type);
    return n > 0 ? n : 0;
}

static void read_caches(struct assay_machine *machine, hwloc_topology_t topology)
{
    static const hwloc_obj_type_t types[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L1ICACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L2ICACHE,
                                             HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE,  HWLOC_OBJ_L5CACHE};
    machine->caches = assay_arena_array(&machine->arena, ASSAY_COUNT(types), sizeof *machine->caches);
    for (size_t i = 0; i < ASSAY_COUNT(types); i++) {
        hwloc_obj_t cache = count_objects(topology, types[i]) ? hwloc_get_obj_by_type(topology, types[i], 0) : NULL;
        if (!cache || !cache->attr || cache->attr->cache.size == 0 || cache->attr->cache.size > INT64_MAX)
            continue;
        int shared_by = cache->cpuset ? hwloc_bitmap_weight(cache->cpuset) : 1;
        hwloc_obj_cache_type_t kind = cache->attr->cache.type;
        machine->caches[machine->n_caches++] = (struct assay_cache_info){
            .level = (int)cache->attr->cache.depth,
            .kind = kind == HWLOC_OBJ_CACHE_DATA          ? 'd'
                    : kind == HWLOC_OBJ_CACHE_INSTRUCTION ? 'i'
                                                          : 'u',
            .size_bytes = (int64_t)cache->attr->cache.size,
            .shared_by = shared_by > 0 ? shared_by : 1,
            .line_bytes = (int)cache->attr->cache.linesize,
        };
    }
    if (machine->n_caches == 0)
        assay_machine_note(machine, "The sizes of the caches are not known: neither the CPU nor /sys tells them.");
}

static void read_topology(struct assay_machine *machine)
{
    static const char *const variables[] = {"HWLOC_XMLFILE", "HWLOC_SYNTHETIC", "HWLOC_FSROOT", "HWLOC_COMPONENTS"};
    for (size_t i = 0; i < ASSAY_COUNT(variables); i++)
        if (getenv(variables[i]))
            assay_machine_note(machine, "%s is set: the topology is what it says.", variables[i]);
    long n_online = sysconf(_SC_NPROCESSORS_ONLN);
    hwloc_topology_t topology;
    if (load_topology(&topology)) {
        machine->n_sockets = count_objects(topology, HWLOC_OBJ_PACKAGE);
        machine->n_cores = count_objects(topology, HWLOC_OBJ_CORE);
        machine->n_threads = count_objects(topology, HWLOC_OBJ_PU);
        machine->n_numa_nodes = count_objects(topology, HWLOC_OBJ_NUMANODE);
        read_caches(machine, topology);
        hwloc_topology_destroy(topology);
    } else {
        assay_machine_note(machine, "hwloc cannot read the topology of this machine; sockets, cores and caches are not known.");
    }
    if (machine->n_threads == 0)
        machine->n_threads = n_online > 0 ? (int)n_online : 1;
    if (machine->n_cores == 0) {
        machine->n_cores = machine->n_threads;
        assay_machine_note(machine, "The number of cores is not known; it is taken to be the number of threads.");
    }
    machine->n_sockets = machine->n_sockets ? machine->n_sockets : 1;
    machine->n_numa_nodes = machine->n_numa_nodes ? machine->n_numa_nodes : 1;
    int cpu;
    machine->n_allowed_cpus = assay_machine_cpu_order(&cpu, 0);
}

/* The CPUs of our affinity mask (which cpuset groups narrow as well). */
static hwloc_bitmap_t allowed_cpus(void)
{
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    cpu_set_t *set = CPU_ALLOC(LARGEST_CPU);
    size_t size = CPU_ALLOC_SIZE(LARGEST_CPU);
    if (!allowed || !set)
        assay_assert_failed("memory for a CPU set", __FILE__, __LINE__);
    if (sched_getaffinity(0, size, set) == 0)
        for (int cpu = 0; cpu < LARGEST_CPU; cpu++)
            if (CPU_ISSET_S(cpu, size, set))
                hwloc_bitmap_set(allowed, (unsigned)cpu);
    CPU_FREE(set);
    if (hwloc_bitmap_iszero(allowed))
        hwloc_bitmap_set(allowed, 0);
    return allowed;
}

int assay_machine_cpu_order(int *cpus, int limit)
{
    hwloc_bitmap_t left = allowed_cpus();
    int n = 0, n_allowed = hwloc_bitmap_weight(left);
    hwloc_topology_t topology;
    if (limit > 0 && load_topology(&topology)) {
        /* Each round takes one CPU of every core. */
        for (int before = -1; n != before && n < limit;) {
            before = n;
            for (hwloc_obj_t core = NULL; n < limit && (core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core));)
                for (int cpu = -1; (cpu = hwloc_bitmap_next(core->cpuset, cpu)) >= 0;)
                    if (hwloc_bitmap_isset(left, (unsigned)cpu)) {
                        hwloc_bitmap_clr(left, (unsigned)cpu);
                        cpus[n++] = cpu;
                        break;
                    }
        }
        hwloc_topology_destroy(topology);
    }
    for (int cpu = -1; n < limit && (cpu = hwloc_bitmap_next(left, cpu)) >= 0;)
        cpus[n++] = cpu;
    hwloc_bitmap_free(left);
    return limit > 0 ? n : n_allowed;
}

/* ---- memory and limits */

static void read_memory(struct assay_machine *machine)
{
    char text[4096], value[64];
    int64_t kib;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (assay_proc_read("/proc/meminfo", text, sizeof text) && assay_proc_field(text, "MemTotal", value, sizeof value) &&
        assay_proc_integer(value, &kib) && kib < INT64_MAX / 1024)
        machine->memory_bytes = kib * 1024;
    else if (pages > 0 && page > 0)
        machine->memory_bytes = (int64_t)pages * page;
    struct assay_cgroup_limits limits;
    assay_proc_read("/proc/self/cgroup", text, sizeof text);
    assay_cgroup_read("/sys/fs/cgroup", text, &limits);
    machine->cpu_quota = limits.cpu_quota;
    machine->memory_limit_bytes = limits.memory_bytes < machine->memory_bytes ? limits.memory_bytes : 0;
}

void assay_machine_init(struct assay_machine *machine)
{
    *machine = (struct assay_machine){0};
    assay_arena_init(&machine->arena);
    read_system(machine);
    read_cpu(machine);
    read_topology(machine);
    read_memory(machine);
    assay_gpu_list(machine);
    assay_sensor_list(machine);
}

void assay_machine_release(struct assay_machine *machine)
{
    if (!machine)
        return;
    assay_arena_release(&machine->arena);
    *machine = (struct assay_machine){0};
}

bool assay_machine_has_isa(const struct assay_machine *machine, const char *feature)
{
    for (int i = 0; i < machine->n_isa; i++)
        if (strcmp(machine->isa[i], feature) == 0)
            return true;
    return false;
}

const char *assay_machine_isa_text(struct assay_machine *machine)
{
    const char *text = "";
    for (int i = 0; i < machine->n_isa; i++)
        text = assay_arena_printf(&machine->arena, "%s%s%s", text, i ? " " : "", machine->isa[i]);
    return text;
}
