/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of the kernel, as text; see internal.h. */
#include "device/internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool assay_proc_read(const char *path, char *text, size_t size)
{
    text[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    size_t n = 0;
    while (n + 1 < size) {
        ssize_t got = read(fd, text + n, size - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(fd);
    text[n] = 0;
    return n > 0;
}

bool assay_proc_line(const char *path, char *line, size_t size)
{
    bool found = assay_proc_read(path, line, size);
    line[strcspn(line, "\r\n")] = 0;
    return found && line[0];
}

bool assay_proc_field(const char *text, const char *key, char *value, size_t size)
{
    size_t n_key = strlen(key);
    value[0] = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, key, n_key) != 0 || !(line[n_key] == ':' || isspace((unsigned char)line[n_key])))
            continue;
        const char *start = line + n_key, *end = line + strcspn(line, "\n");
        while (start < end && (isspace((unsigned char)*start) || *start == ':'))
            start++;
        while (end > start && isspace((unsigned char)end[-1]))
            end--;
        size_t n = (size_t)(end - start) < size - 1 ? (size_t)(end - start) : size - 1;
        memcpy(value, start, n);
        value[n] = 0;
        return n > 0;
    }
    return false;
}

bool assay_proc_integer(const char *text, int64_t *value)
{
    while (isspace((unsigned char)*text))
        text++;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    long long parsed = strtoll(text, NULL, 10);
    if (errno)
        return false;
    *value = parsed;
    return true;
}

bool assay_proc_stat(const char *text, int64_t ns_per_tick, struct assay_noise *noise)
{
    char line[512];
    if (!assay_proc_field(text, "cpu", line, sizeof line))
        return false;
    /* user nice system idle iowait irq softirq steal; guest time is part of user */
    int64_t ticks[8] = {0};
    int n = 0;
    for (char *at = line; n < 8; n++) {
        char *end;
        errno = 0;
        long long value = strtoll(at, &end, 10);
        if (end == at)
            break;
        if (errno || value < 0 || value > INT64_MAX / 16 / ns_per_tick)
            return false;
        ticks[n] = value;
        at = end;
    }
    if (n < 4)
        return false;
    noise->busy_ns = (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) * ns_per_tick;
    noise->idle_ns = (ticks[3] + ticks[4]) * ns_per_tick;
    noise->steal_ns = ticks[7] * ns_per_tick;
    return true;
}

/* ---- control groups */

enum { PATH_SIZE = 4096 };

/* Removes the last part of a path; false if none is left. */
static bool to_parent(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    *slash = 0;
    return true;
}

static bool read_in(const char *root, const char *group, const char *file, char *line, size_t size)
{
    char path[PATH_SIZE + 256];
    int n = snprintf(path, sizeof path, "%s%s/%s", root, group, file);
    return n > 0 && (size_t)n < sizeof path && assay_proc_line(path, line, size);
}

static void lower_quota(struct assay_cgroup_limits *limits, int64_t quota_us, int64_t period_us)
{
    double cpus = period_us > 0 ? (double)quota_us / (double)period_us : 0;
    if (cpus > 0 && (limits->cpu_quota == 0 || cpus < limits->cpu_quota))
        limits->cpu_quota = cpus;
}

static void lower_memory(struct assay_cgroup_limits *limits, int64_t bytes)
{
    /* Version 1 says "no limit" as the largest multiple of the page size. */
    if (bytes > 0 && bytes < INT64_MAX / 2 && (limits->memory_bytes == 0 || bytes < limits->memory_bytes))
        limits->memory_bytes = bytes;
}

static void read_group(const char *root, const char *group, struct assay_cgroup_limits *limits)
{
    char line[128];
    int64_t value, period;
    if (read_in(root, group, "cpu.max", line, sizeof line) && assay_proc_integer(line, &value)) {
        char *space = strchr(line, ' ');
        if (space && assay_proc_integer(space, &period))
            lower_quota(limits, value, period);
    }
    if (read_in(root, group, "cpu.cfs_quota_us", line, sizeof line) && assay_proc_integer(line, &value) &&
        read_in(root, group, "cpu.cfs_period_us", line, sizeof line) && assay_proc_integer(line, &period))
        lower_quota(limits, value, period);
    if (read_in(root, group, "memory.max", line, sizeof line) && assay_proc_integer(line, &value))
        lower_memory(limits, value);
    if (read_in(root, group, "memory.limit_in_bytes", line, sizeof line) && assay_proc_integer(line, &value))
        lower_memory(limits, value);
}

/* A group and all above it. In a container the named group often does not exist below the mount, and its root is ours. */
static void read_groups(const char *root, const char *group, struct assay_cgroup_limits *limits)
{
    char path[PATH_SIZE];
    if (strstr(group, "..") || (size_t)snprintf(path, sizeof path, "%s", strcmp(group, "/") == 0 ? "" : group) >= sizeof path)
        return;
    do
        read_group(root, path, limits);
    while (to_parent(path));
}

/* Whether one of the names in "cpu,cpuacct" is `name`. */
static bool lists_controller(const char *list, size_t n, const char *name)
{
    for (const char *at = list, *end = list + n; at < end;) {
        size_t length = 0;
        while (at + length < end && at[length] != ',')
            length++;
        if (length == strlen(name) && memcmp(at, name, length) == 0)
            return true;
        at += length + 1;
    }
    return false;
}

void assay_cgroup_read(const char *root, const char *self, struct assay_cgroup_limits *limits)
{
    *limits = (struct assay_cgroup_limits){0};
    for (const char *line = self; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t n_line = strcspn(line, "\n");
        const char *list = memchr(line, ':', n_line),
                   *group = list ? memchr(list + 1, ':', n_line - (size_t)(list + 1 - line)) : NULL;
        if (!group)
            continue;
        size_t n_list = (size_t)(group - list - 1);
        char mount[PATH_SIZE], path[PATH_SIZE];
        int n_path = snprintf(path, sizeof path, "%.*s", (int)(n_line - (size_t)(group + 1 - line)), group + 1);
        if (n_path < 0 || (size_t)n_path >= sizeof path || path[0] != '/')
            continue;
        list++;
        if (n_list == 0) {
            read_groups(root, path, limits);
            if ((size_t)snprintf(mount, sizeof mount, "%s/unified", root) < sizeof mount)
                read_groups(mount, path, limits);
        }
        static const char *const controllers[] = {"cpu", "memory"};
        for (size_t i = 0; i < ASSAY_COUNT(controllers); i++)
            if (lists_controller(list, n_list, controllers[i]) &&
                (size_t)snprintf(mount, sizeof mount, "%s/%s", root, controllers[i]) < sizeof mount)
                read_groups(mount, path, limits);
    }
}
