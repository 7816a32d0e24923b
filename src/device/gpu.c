/* SPDX-License-Identifier: Apache-2.0 */
/* GPUs by every interface that is here. Each interface is asked in a child process with a time limit: loading a driver can crash,
 * hang, start threads and open devices, and none of that may happen to a program that only wants to list what is here. */
#include "device/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *api;
    int (*list)(struct assay_gpu_record *records, int limit, char reason[ASSAY_GPU_TEXT]);
} interfaces[] = {{"nvml", assay_gpu_nvml}, {"opencl", assay_gpu_opencl}, {"vulkan", assay_gpu_vulkan}};

struct answer {
    int32_t n;
    char reason[ASSAY_GPU_TEXT];
    struct assay_gpu_record records[ASSAY_GPU_LIMIT];
};

/* Never returns. Drivers print to standard error, which is not for them here, and a crash shall leave no core file. */
static void answer_in_child(size_t interface, int fd, struct answer *answer)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    int nowhere = open("/dev/null", O_RDWR);
    if (nowhere >= 0)
        for (int standard = 0; standard <= 2; standard++)
            dup2(nowhere, standard);
    answer->n = interfaces[interface].list(answer->records, ASSAY_GPU_LIMIT, answer->reason);
    const char *data = (const char *)answer;
    for (size_t done = 0; done < sizeof *answer;) {
        ssize_t wrote = write(fd, data + done, sizeof *answer - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            break;
        done += (size_t)wrote;
    }
    _exit(0);
}

/* Reads `size` bytes before the deadline. */
static bool read_all(int fd, void *data, size_t size, int64_t deadline_ns)
{
    size_t done = 0;
    while (done < size) {
        int64_t left_ms = (deadline_ns - assay_clock_ns()) / 1000000;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (left_ms <= 0)
            return false;
        int ready = poll(&wait, 1, (int)left_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        ssize_t got = ready > 0 ? read(fd, (char *)data + done, size - done) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* False, with answer->reason, if the interface did not answer. */
static bool ask(size_t interface, struct answer *answer)
{
    enum { TIME_LIMIT_S = 10 };
    int fds[2];
    memset(answer, 0, sizeof *answer);
    if (pipe2(fds, O_CLOEXEC) != 0) {
        snprintf(answer->reason, sizeof answer->reason, "no pipe: %s", strerror(errno));
        return false;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        answer_in_child(interface, fds[1], answer);
    close(fds[1]);
    bool whole = child > 0 && read_all(fds[0], answer, sizeof *answer, assay_clock_ns() + TIME_LIMIT_S * (int64_t)1000000000);
    close(fds[0]);
    if (child < 0) {
        snprintf(answer->reason, sizeof answer->reason, "no child process: %s", strerror(errno));
        return false;
    }
    int state = 0;
    if (!whole)
        kill(child, SIGKILL);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
    if (!whole)
        snprintf(answer->reason, sizeof answer->reason, "its driver %s",
                 WIFSIGNALED(state) && WTERMSIG(state) != SIGKILL ? "crashed" : "did not answer");
    return whole && answer->n >= 0 && answer->n <= ASSAY_GPU_LIMIT;
}

/* Whether one of the first n GPUs has this name: another interface has told of the same thing. */
static bool is_known(const struct assay_machine *machine, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcasecmp(machine->gpus[i].name, name) == 0)
            return true;
    return false;
}

void assay_gpu_list(struct assay_machine *machine)
{
    struct answer *answer = assay_arena_alloc(&machine->arena, sizeof *answer);
    for (size_t i = 0; i < ASSAY_COUNT(interfaces); i++) {
        int n_before = machine->n_gpus;
        if (!ask(i, answer) || answer->n == 0) {
            assay_machine_note(machine, "No GPU by %s: %s.", interfaces[i].api, answer->reason);
            continue;
        }
        machine->gpus = assay_arena_grow(&machine->arena, machine->gpus, (size_t)n_before, (size_t)(n_before + answer->n),
                                         sizeof *machine->gpus);
        for (int k = 0; k < answer->n; k++) {
            struct assay_gpu_record *record = &answer->records[k];
            if (is_known(machine, n_before, record->name))
                continue;
            machine->gpus[machine->n_gpus++] = (struct assay_gpu_info){
                .name = assay_arena_strdup(&machine->arena, record->name),
                .vendor = assay_arena_strdup(&machine->arena, record->vendor),
                .driver = assay_arena_strdup(&machine->arena, record->driver),
                .api = interfaces[i].api,
                .memory_bytes = record->memory_bytes > 0 ? record->memory_bytes : 0,
                .n_cores = record->n_cores > 0 ? record->n_cores : 0,
                .is_software = record->is_software != 0,
            };
        }
    }
}
