/* SPDX-License-Identifier: Apache-2.0 */
/* See isolate.h. */
#include "base/isolate.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Never returns. What the work prints is not for a person, and a crash shall leave no core file. */
static void work_in_child(void (*work)(const void *context, void *answer), const void *context, void *answer, size_t size, int fd)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    int nowhere = open("/dev/null", O_RDWR);
    if (nowhere >= 0)
        for (int standard = 0; standard <= 2; standard++)
            dup2(nowhere, standard);
    work(context, answer);
    const char *data = answer;
    for (size_t done = 0; done < size;) {
        ssize_t wrote = write(fd, data + done, size - done);
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

enum assay_status assay_isolate(void (*work)(const void *context, void *answer), const void *context, void *answer,
                                size_t size_bytes, int64_t time_limit_ns, struct assay_error *err)
{
    int fds[2], state = 0;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return assay_error_set(err, ASSAY_IO, "no pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        work_in_child(work, context, answer, size_bytes, fds[1]);
    int error = errno;
    close(fds[1]);
    bool whole = child > 0 && read_all(fds[0], answer, size_bytes, assay_clock_ns() + time_limit_ns);
    close(fds[0]);
    if (child < 0)
        return assay_error_set(err, ASSAY_IO, "no child process: %s", strerror(error));
    if (!whole)
        kill(child, SIGKILL);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
    if (whole)
        return ASSAY_OK;
    if (WIFSIGNALED(state) && WTERMSIG(state) != SIGKILL)
        return assay_error_set(err, ASSAY_CRASHED, "it crashed");
    return assay_error_set(err, ASSAY_TIMEOUT, "it did not answer");
}
