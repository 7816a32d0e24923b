/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See subprocess.h. One loop waits for the first of: output, the child's end (a pidfd), a tick of 10 ms at which the limits are
 * looked at. The input is a file in memory, so that no write can block or raise SIGPIPE.
 */
#include "base/subprocess.h"

#include "base/clock.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TICK_MS = 10,
    READ_SIZE = 1 << 16,
    ERRORS_KEPT = 1 << 16,
    LAST_READS = 32, /* of what a pipe still holds when the child is gone: 2 MiB, above the largest size of a pipe */
};
static const size_t DEFAULT_OUTPUT_LIMIT = 64u << 20;
static const int64_t GRACE_NS = 2000000000;          /* from SIGTERM to SIGKILL after `stop` */
static const int64_t UNKILLABLE_NS = 30000000000;    /* a child stuck in a driver may never end; we do not wait for it */
static const int64_t RESIDENT_SLACK_BYTES = 4 << 20; /* the kernel counts resident pages loosely */

/* What a pipe gave, up to a limit. */
struct collected {
    int fd; /* -1 once it is closed */
    char *data;
    size_t n, room, limit;
    bool keep_last; /* keeps the last `limit` bytes instead of the first */
    bool cut;
};

struct child {
    pid_t pid, guard;
    int guard_pipe; /* our end: the guard acts when it closes */
    int pidfd, statm;
    bool exited;
    int64_t started_ns;
    int64_t killed_ns; /* when SIGKILL was sent; 0 = not yet */
    int64_t asked_ns;  /* when SIGTERM was sent; 0 = not yet */
    int64_t resident_before_bytes, resident_peak_bytes;
    struct collected output, errors;
};

/* What is open only while a child starts. */
struct ends {
    int in, out[2], errors[2], failure[2], go[2];
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Moves a descriptor above the three standard ones, which may be closed in this process. */
static int above_standard(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return moved;
}

static bool make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0) {
        ends[0] = ends[1] = -1;
        return false;
    }
    ends[0] = above_standard(ends[0]);
    ends[1] = above_standard(ends[1]);
    return ends[0] >= 0 && ends[1] >= 0;
}

static int open_input(const struct assay_subprocess_options *options)
{
    if (!options->input_size_bytes)
        return above_standard(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int fd = above_standard(memfd_create("assay-input", MFD_CLOEXEC));
    for (size_t n = 0; fd >= 0 && n < options->input_size_bytes;) {
        ssize_t wrote = write(fd, options->input + n, options->input_size_bytes - n);
        if (wrote < 0 && errno != EINTR)
            close_fd(&fd);
        else if (wrote > 0)
            n += (size_t)wrote;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

/* In a forked child: every descriptor from `first` on is closed, at exec or at once. Async-signal-safe. */
static void close_from(int first, bool at_exec)
{
    if (syscall(SYS_close_range, (unsigned)first, ~0u, at_exec ? 4u /* CLOSE_RANGE_CLOEXEC */ : 0u) == 0)
        return;
    struct rlimit limit;
    int last = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur : 65536;
    for (int fd = first; fd < last; fd++) {
        if (at_exec)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        else
            close(fd);
    }
}

/* What the child does between fork and exec: async-signal-safe calls only. It waits for a byte (not for the end of the pipe,
 * which a child that another thread forks meanwhile holds open) until its guard is there. On failure errno goes into the pipe. */
static noreturn void become(const struct assay_subprocess_options *options, pid_t parent, const struct ends *ends)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char byte;
    if (getppid() != parent || read(ends->go[0], &byte, 1) != 1)
        _exit(127);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigset_t empty;
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
    if (dup2(ends->in, STDIN_FILENO) >= 0 && dup2(ends->out[1], STDOUT_FILENO) >= 0 &&
        (ends->errors[1] < 0 || dup2(ends->errors[1], STDERR_FILENO) >= 0)) {
        close_from(STDERR_FILENO + 1, true);
        execve(options->argv[0], (char *const *)(uintptr_t)options->argv,
               options->environment ? (char *const *)(uintptr_t)options->environment : environ);
    }
    int number = errno;
    (void)!write(ends->failure[1], &number, sizeof number);
    _exit(127);
}

/* The guard is a process that outlives us by a moment: when our end of its pipe closes because we died, it ends the child's whole
 * group. PR_SET_PDEATHSIG alone ends only the child, not what the child started. */
static void start_guard(struct child *child)
{
    int ends[2];
    if (!make_pipe(ends))
        return;
    child->guard = fork();
    if (child->guard == 0) {
        setsid();
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        dup2(ends[0], STDIN_FILENO);
        close_from(STDIN_FILENO + 1, false);
        char byte;
        while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) {
        }
        kill(-child->pid, SIGKILL);
        _exit(0);
    }
    close(ends[0]);
    child->guard_pipe = ends[1];
}

static void stop_guard(struct child *child)
{
    if (child->guard > 0) {
        kill(child->guard, SIGKILL);
        while (waitpid(child->guard, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    close_fd(&child->guard_pipe);
}

/* Resident bytes by a descriptor of /proc/PID/statm; 0 if it cannot be read. */
static int64_t resident_bytes(int statm)
{
    char text[128];
    ssize_t n = pread(statm, text, sizeof text - 1, 0);
    long long pages = 0;
    if (n > 0) {
        text[n] = 0;
        if (sscanf(text, "%*s %lld", &pages) != 1)
            pages = 0;
    }
    return pages * sysconf(_SC_PAGESIZE);
}

static int64_t own_resident_bytes(void)
{
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    int64_t bytes = resident_bytes(fd);
    close_fd(&fd);
    return bytes;
}

static void close_ends(struct ends *ends)
{
    close_fd(&ends->in);
    for (int i = 0; i < 2; i++) {
        close_fd(&ends->out[i]);
        close_fd(&ends->errors[i]);
        close_fd(&ends->failure[i]);
        close_fd(&ends->go[i]);
    }
}

/* Takes what watches a running child. */
static void open_watch(struct child *child, struct ends *ends)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)child->pid);
    child->statm = open(path, O_RDONLY | O_CLOEXEC);
    child->resident_peak_bytes = resident_bytes(child->statm);
    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    child->output.fd = ends->out[0];
    child->errors.fd = ends->errors[0];
    ends->out[0] = ends->errors[0] = -1;
    fcntl(child->output.fd, F_SETFL, O_NONBLOCK);
    if (child->errors.fd >= 0)
        fcntl(child->errors.fd, F_SETFL, O_NONBLOCK);
}

/* Forks, and waits until the program runs, so that our own pages are never counted as the child's. */
static enum assay_status start(const struct assay_subprocess_options *options, struct child *child, struct assay_error *err)
{
    struct ends ends = {open_input(options), {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    enum assay_status st = ASSAY_OK;
    if (ends.in < 0 || !make_pipe(ends.out) || !make_pipe(ends.failure) || !make_pipe(ends.go) ||
        (!options->pass_stderr && !make_pipe(ends.errors))) {
        st = assay_fs_error(err, errno, "cannot prepare the child process %s", options->argv[0]);
        goto done;
    }
    pid_t parent = getpid();
    child->resident_before_bytes = own_resident_bytes();
    child->pid = fork();
    if (child->pid == 0)
        become(options, parent, &ends);
    if (child->pid < 0) {
        st = assay_fs_error(err, errno, "cannot start the child process %s", options->argv[0]);
        goto done;
    }
    start_guard(child);
    close_fd(&ends.failure[1]);
    child->started_ns = assay_clock_ns();
    while (write(ends.go[1], "", 1) < 0 && errno == EINTR) {
    }
    int number = 0;
    ssize_t n;
    while ((n = read(ends.failure[0], &number, sizeof number)) < 0 && errno == EINTR) {
    }
    if (n == sizeof number) {
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        stop_guard(child);
        st = assay_fs_error(err, number, "cannot run %s", options->argv[0]);
        goto done;
    }
    open_watch(child, &ends);
done:
    close_ends(&ends);
    return st;
}

static void keep(struct collected *c, const char *data, size_t n)
{
    size_t most = c->keep_last ? 2 * c->limit : c->limit;
    if (n > most - c->n) {
        c->cut = true;
        if (!c->keep_last) {
            n = most - c->n;
        } else {
            memmove(c->data, c->data + c->n - c->limit, c->limit);
            c->n = c->limit;
        }
    }
    if (c->n + n + 1 > c->room) {
        c->room = c->n + n + 1 > 2 * c->room ? c->n + n + 1 : 2 * c->room;
        c->data = assay_realloc(c->data, c->room);
    }
    if (n)
        memcpy(c->data + c->n, data, n);
    c->n += n;
}

/* Reads once; false if there was nothing. */
static bool collect(struct collected *c)
{
    if (c->fd < 0)
        return false;
    char buffer[READ_SIZE];
    ssize_t n = read(c->fd, buffer, sizeof buffer);
    if (n > 0)
        keep(c, buffer, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_fd(&c->fd);
    return n > 0;
}

/* The text of the arena that the outcome gets. */
static char *collected_text(struct collected *c, struct assay_arena *arena)
{
    size_t from = c->keep_last && c->n > c->limit ? c->n - c->limit : 0;
    c->n -= from;
    return assay_arena_strndup(arena, c->n ? c->data + from : "", c->n);
}

static void kill_group(struct child *child, int64_t now_ns)
{
    if (!child->killed_ns)
        child->killed_ns = now_ns;
    kill(-child->pid, SIGKILL);
}

/* Looks at the limits; the first that is passed decides the status. */
static void apply_limits(const struct assay_subprocess_options *options, struct child *child, enum assay_status *status)
{
    int64_t now = assay_clock_ns(), resident = resident_bytes(child->statm);
    if (resident > child->resident_peak_bytes)
        child->resident_peak_bytes = resident;
    if (!*status && options->stop && *options->stop)
        *status = ASSAY_INTERRUPTED;
    if (!*status && options->memory_limit_bytes && resident > options->memory_limit_bytes)
        *status = ASSAY_NO_MEMORY;
    if (!*status && options->time_limit_ns && now - child->started_ns > options->time_limit_ns)
        *status = ASSAY_TIMEOUT;
    if (!*status || child->killed_ns)
        return;
    if (*status == ASSAY_INTERRUPTED && !child->asked_ns) {
        child->asked_ns = now;
        kill(-child->pid, SIGTERM);
    } else if (*status != ASSAY_INTERRUPTED || now - child->asked_ns > GRACE_NS) {
        kill_group(child, now);
    }
}

/* Whether the child has ended; it stays a zombie, so that its group's number cannot be given to others yet. */
static bool has_ended(struct child *child)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return errno != EINTR;
    return info.si_pid == child->pid;
}

static void watch(const struct assay_subprocess_options *options, struct child *child, enum assay_status *status)
{
    while (!(child->exited = has_ended(child))) {
        apply_limits(options, child, status);
        if (child->killed_ns && assay_clock_ns() - child->killed_ns > UNKILLABLE_NS)
            return;
        struct pollfd fds[] = {{child->output.fd, POLLIN, 0}, {child->errors.fd, POLLIN, 0}, {child->pidfd, POLLIN, 0}};
        if (poll(fds, ASSAY_COUNT(fds), TICK_MS) <= 0)
            continue;
        if (fds[0].revents)
            collect(&child->output);
        if (fds[1].revents)
            collect(&child->errors);
    }
}

static int64_t timeval_ns(struct timeval t) { return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000; }

/* Takes the child's exit status and figures. */
static void reap(struct child *child, struct assay_subprocess_outcome *outcome)
{
    int status = 0;
    struct rusage usage = {0};
    pid_t got = 0;
    if (child->exited) {
        while ((got = wait4(child->pid, &status, 0, &usage)) < 0 && errno == EINTR) {
        }
    }
    if (got == child->pid && WIFEXITED(status))
        outcome->exit_code = WEXITSTATUS(status);
    else
        outcome->signal = got == child->pid && WIFSIGNALED(status) ? WTERMSIG(status) : SIGKILL;
    outcome->user_ns = timeval_ns(usage.ru_utime);
    outcome->system_ns = timeval_ns(usage.ru_stime);
    /* ru_maxrss counts the pages that the child shared with us before exec, too: it says something only above that. */
    int64_t reported = (int64_t)usage.ru_maxrss * 1024;
    bool its_own = reported > child->resident_before_bytes + RESIDENT_SLACK_BYTES;
    outcome->peak_resident_bytes = its_own && reported > child->resident_peak_bytes ? reported : child->resident_peak_bytes;
    if (outcome->status)
        return;
    if (outcome->signal)
        outcome->status = got == child->pid && outcome->signal == SIGKILL ? ASSAY_NO_MEMORY : ASSAY_CRASHED;
}

enum assay_status assay_subprocess_run(const struct assay_subprocess_options *options, struct assay_arena *arena,
                                       struct assay_subprocess_outcome *outcome, struct assay_error *err)
{
    *outcome = (struct assay_subprocess_outcome){0};
    struct child child = {.guard_pipe = -1, .pidfd = -1, .statm = -1};
    size_t limit = options->output_limit_bytes ? options->output_limit_bytes : DEFAULT_OUTPUT_LIMIT;
    child.output = (struct collected){.fd = -1, .limit = limit};
    child.errors = (struct collected){.fd = -1, .limit = ERRORS_KEPT, .keep_last = true};
    enum assay_status st = start(options, &child, err);
    if (st)
        return st;
    watch(options, &child, &outcome->status);
    outcome->wall_ns = assay_clock_ns() - child.started_ns;
    kill_group(&child, assay_clock_ns()); /* what the child left behind */
    for (int i = 0; i < LAST_READS && collect(&child.output); i++) {
    }
    for (int i = 0; i < LAST_READS && collect(&child.errors); i++) {
    }
    reap(&child, outcome);
    stop_guard(&child);
    outcome->output = collected_text(&child.output, arena);
    outcome->output_size_bytes = child.output.n;
    outcome->output_cut = child.output.cut;
    outcome->errors = collected_text(&child.errors, arena);
    close_fd(&child.output.fd);
    close_fd(&child.errors.fd);
    close_fd(&child.pidfd);
    close_fd(&child.statm);
    free(child.output.data);
    free(child.errors.data);
    return ASSAY_OK;
}

const char *assay_signal_text(int number)
{
    static const struct {
        int number;
        const char *text;
    } known[] = {
        {SIGSEGV, "SIGSEGV (invalid memory access)"},
        {SIGBUS, "SIGBUS (bad memory access, or a mapped file that shrank)"},
        {SIGABRT, "SIGABRT (it stopped itself, as on a failed assertion)"},
        {SIGILL, "SIGILL (an instruction that this CPU does not have)"},
        {SIGFPE, "SIGFPE (invalid arithmetic, such as integer division by zero)"},
        {SIGKILL, "SIGKILL (killed from outside, as when memory runs out)"},
        {SIGTERM, "SIGTERM (asked to end)"},
        {SIGINT, "SIGINT (interrupted from the keyboard)"},
        {SIGPIPE, "SIGPIPE (wrote to a closed pipe)"},
        {SIGHUP, "SIGHUP (its terminal closed)"},
        {SIGQUIT, "SIGQUIT (stopped from the keyboard)"},
        {SIGTRAP, "SIGTRAP (a breakpoint or trap instruction)"},
        {SIGSYS, "SIGSYS (a forbidden system call)"},
        {SIGXCPU, "SIGXCPU (its limit of CPU time)"},
        {SIGXFSZ, "SIGXFSZ (its limit of file size)"},
        {SIGALRM, "SIGALRM (a timer)"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(known); i++) {
        if (known[i].number == number)
            return known[i].text;
    }
    return "an unusual signal";
}
