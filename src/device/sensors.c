/* SPDX-License-Identifier: Apache-2.0 */
/* Energy counters: RAPL through the kernel's powercap (Intel, and AMD from Linux 5.8 on), and NVML; see device.h. */
#include "device/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST_PACKAGE = 64 };

/* Path of a file of package i ("intel-rapl:0/energy_uj"); the kernel uses that name on AMD too. */
static void package_path(char path[128], int i, const char *file)
{
    snprintf(path, 128, "/sys/class/powercap/intel-rapl:%d/%s", i, file);
}

/* The counter of package i; false, with why. */
static bool read_package(int i, int64_t *microjoules, char *reason, size_t size)
{
    char path[128], line[64];
    package_path(path, i, "energy_uj");
    if (assay_proc_line(path, line, sizeof line) && assay_proc_integer(line, microjoules))
        return true;
    if (access(path, F_OK) != 0)
        snprintf(reason, size, "the kernel offers no RAPL counter (%s is missing; virtual machines seldom have it)", path);
    else if (access(path, R_OK) != 0)
        snprintf(reason, size, "%s may only be read by root; allow it with chmod a+r", path);
    else
        snprintf(reason, size, "%s does not hold a number", path);
    return false;
}

static void add_sensor(struct assay_machine *machine, const char *name, bool available, const char *reason)
{
    size_t n = (size_t)machine->n_sensors;
    machine->sensors = assay_arena_grow(&machine->arena, machine->sensors, n, n + 1, sizeof *machine->sensors);
    machine->sensors[machine->n_sensors++] = (struct assay_sensor_info){
        .name = assay_arena_strdup(&machine->arena, name),
        .available = available,
        .reason = available ? "" : assay_arena_strdup(&machine->arena, reason),
    };
}

void assay_sensor_list(struct assay_machine *machine)
{
    char path[128], name[64], line[48], reason[512] = "";
    int64_t value;
    for (int i = 0; i < LARGEST_PACKAGE; i++) {
        package_path(path, i, "name");
        if (!assay_proc_line(path, line, sizeof line)) {
            if (i > 0)
                break;
            snprintf(line, sizeof line, "package-0");
        }
        snprintf(name, sizeof name, "rapl:%s", line);
        add_sensor(machine, name, read_package(i, &value, reason, sizeof reason), reason);
    }
    int n_nvidia = 0;
    for (int i = 0; i < machine->n_gpus; i++)
        if (strcmp(machine->gpus[i].api, "nvml") == 0) {
            struct assay_error err;
            bool available = assay_nvml_energy(n_nvidia, &value, &err) == ASSAY_OK;
            snprintf(name, sizeof name, "nvml:%d", n_nvidia++);
            add_sensor(machine, name, available, err.message);
        }
}

static enum assay_status read_rapl(double *energy_j, struct assay_error *err)
{
    char reason[512], path[128], line[64];
    int64_t microjoules;
    double sum = 0;
    for (int i = 0; i < LARGEST_PACKAGE; i++) {
        /* "psys" and the like count what the packages count already. */
        package_path(path, i, "name");
        bool named = assay_proc_line(path, line, sizeof line);
        if (i > 0 && !named)
            break;
        if (named && strncmp(line, "package", 7) != 0)
            continue;
        if (!read_package(i, &microjoules, reason, sizeof reason))
            return assay_error_set(err, ASSAY_ABSENT, "No energy counter for cpu: %s.", reason);
        sum += (double)microjoules * 1e-6;
    }
    *energy_j = sum;
    return ASSAY_OK;
}

enum assay_status assay_energy_read(const char *device, double *energy_j, struct assay_error *err)
{
    *energy_j = 0;
    if (strcmp(device, "cpu") == 0)
        return read_rapl(energy_j, err);
    if (strncmp(device, "cuda:", 5) == 0) {
        int64_t index, millijoules;
        if (!assay_proc_integer(device + 5, &index) || index > 1023)
            return assay_error_set(err, ASSAY_INVALID, "\"%s\" is not a device: a number must follow \"cuda:\".", device);
        enum assay_status st = assay_nvml_energy((int)index, &millijoules, err);
        if (!st)
            *energy_j = (double)millijoules * 1e-3;
        return st;
    }
    return assay_error_set(err, ASSAY_ABSENT, "No energy counter for %s: only \"cpu\" and \"cuda:N\" have one.", device);
}
