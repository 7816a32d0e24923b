/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many conformance tests in a worker process (conformance.h). The worker is a fork of this process: it runs tests from the
 * list and writes each result as a line of JSON into a pipe; the parent reads, keeps the limits, and, where the worker is gone,
 * starts another behind the test that it died of.
 */
#include "bench/conformance.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TICK_MS = 20, LARGEST_LINE = 64 << 20 };

/* ---- results as JSON */

/* JSON has no infinity: then it is a text. */
static json_t *json_number(double x) { return isfinite(x) ? json_real(x) : json_string(isnan(x) ? "nan" : "inf"); }

static double number(const json_t *value)
{
    return json_is_string(value) ? strtod(json_string_value(value), NULL) : json_number_value(value);
}

/* What is no UTF-8 (names from files) becomes "?". */
static json_t *json_text(const char *text)
{
    json_t *value = json_string(text);
    return value ? value : json_string("?");
}

static json_t *result_to_json(const struct assay_conformance_result *result)
{
    json_t *ops = json_array(), *outputs = json_array();
    for (size_t i = 0; i < result->n_ops; i++)
        json_array_append_new(ops, json_text(result->ops[i]));
    for (size_t i = 0; i < result->n_outputs; i++) {
        const struct assay_conformance_output *o = &result->outputs[i];
        json_array_append_new(outputs, json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "set", json_text(o->set), "name",
                                                 json_text(o->name), "max_abs", json_number(o->max_abs), "max_rel",
                                                 json_number(o->max_rel), "n_wrong", (json_int_t)o->n_wrong, "n_elements",
                                                 (json_int_t)o->n_elements, "note", json_text(o->note)));
    }
    return json_pack("{s:s, s:o, s:o, s:o}", "status", assay_status_word(result->status), "reason", json_text(result->reason),
                     "ops", ops, "outputs", outputs);
}

static const char *text_of(const json_t *object, const char *name, struct assay_arena *arena)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? assay_arena_strdup(arena, text) : "";
}

static enum assay_status result_from_line(const char *line, size_t size, struct assay_arena *arena,
                                          struct assay_conformance_result *result, struct assay_error *err)
{
    json_t *object, *element;
    size_t i;
    enum assay_status st = assay_json_parse(line, size, "the worker's result", &object, err);
    if (st)
        return st;
    const json_t *ops = json_object_get(object, "ops"), *outputs = json_object_get(object, "outputs");
    *result = (struct assay_conformance_result){.reason = text_of(object, "reason", arena)};
    result->status = assay_status_from_word(text_of(object, "status", arena));
    if (result->status == ASSAY_N_STATUSES)
        result->status = ASSAY_CRASHED;
    result->ops = assay_arena_array(arena, json_array_size(ops), sizeof *result->ops);
    result->outputs = assay_arena_array(arena, json_array_size(outputs), sizeof *result->outputs);
    json_array_foreach(ops, i, element) result->ops[result->n_ops++] = assay_arena_strdup(arena, json_string_value(element));
    json_array_foreach(outputs, i, element) result->outputs[result->n_outputs++] =
        (struct assay_conformance_output){.set = text_of(element, "set", arena),
                                          .name = text_of(element, "name", arena),
                                          .max_abs = number(json_object_get(element, "max_abs")),
                                          .max_rel = number(json_object_get(element, "max_rel")),
                                          .n_wrong = json_integer_value(json_object_get(element, "n_wrong")),
                                          .n_elements = json_integer_value(json_object_get(element, "n_elements")),
                                          .note = text_of(element, "note", arena)};
    json_decref(object);
    return ASSAY_OK;
}

/* ---- the worker */

static bool write_line(int fd, const struct assay_conformance_result *result)
{
    json_t *object = result_to_json(result);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    size_t size = text ? strlen(text) : 0;
    if (size)
        text[size++] = '\n'; /* in place of the NUL */
    bool fine = size > 0;
    for (size_t at = 0; at < size && fine;) {
        ssize_t n = write(fd, text + at, size - at);
        fine = n > 0 || (n < 0 && errno == EINTR);
        at += n > 0 ? (size_t)n : 0;
    }
    free(text);
    return fine;
}

static void work(const char *const *folders, size_t first, size_t n, const struct assay_conformance_options *options, int fd)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    for (size_t i = first; i < n; i++) {
        struct assay_conformance_result result;
        assay_conformance_run(folders[i], options, &arena, &result);
        if (!write_line(fd, &result))
            break;
        assay_arena_clear(&arena);
    }
    assay_arena_release(&arena);
}

/* ---- the parent */

struct worker {
    pid_t pid;  /* 0 = none */
    int fd;     /* its results */
    char *text; /* read, but not yet a whole line */
    size_t size, room;
    int64_t since_ns; /* start of the test that it is at */
    bool at_end;
};

static enum assay_status start(struct worker *worker, const char *const *folders, size_t first, size_t n,
                               const struct assay_conformance_options *options, struct assay_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return assay_error_set(err, ASSAY_IO, "no pipe for a worker process: %s", strerror(errno));
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return assay_error_set(err, ASSAY_IO, "a worker process could not be started: %s", strerror(errno));
    }
    if (pid == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        work(folders, first, n, options, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    worker->pid = pid;
    worker->fd = ends[0];
    worker->size = 0;
    worker->at_end = false;
    worker->since_ns = assay_clock_ns();
    return ASSAY_OK;
}

/* Reaps the worker, killed if `kill_it`; its wait status. */
static int finish(struct worker *worker, bool kill_it)
{
    int status = 0;
    if (!worker->pid)
        return 0;
    if (kill_it)
        kill(worker->pid, SIGKILL);
    while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(worker->fd);
    worker->pid = 0;
    return status;
}

static int64_t resident_bytes(pid_t pid)
{
    char path[64];
    long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*s %lld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* Reads what has come, waiting a tick for it. */
static void read_some(struct worker *worker)
{
    struct pollfd ready = {.fd = worker->fd, .events = POLLIN};
    if (poll(&ready, 1, TICK_MS) <= 0)
        return;
    for (;;) {
        if (worker->room - worker->size < 4096) {
            worker->room = 2 * worker->room + 65536;
            worker->text = assay_realloc(worker->text, worker->room);
        }
        ssize_t n = read(worker->fd, worker->text + worker->size, worker->room - worker->size);
        worker->at_end |= n == 0;
        if (n <= 0)
            return;
        worker->size += (size_t)n;
        if (worker->size > LARGEST_LINE) {
            worker->at_end = true;
            return;
        }
    }
}

/* Why a worker ended before it gave the result. */
static void explain_death(int status, struct assay_arena *arena, struct assay_conformance_result *result)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        result->status = ASSAY_NO_MEMORY;
        result->reason = "the system ended the process, as it does when memory runs out";
        return;
    }
    result->status = ASSAY_CRASHED;
    result->reason = WIFSIGNALED(status)
                         ? assay_arena_printf(arena, "the process died of %s", assay_signal_text(WTERMSIG(status)))
                         : assay_arena_printf(arena, "the process ended with exit code %d", WEXITSTATUS(status));
}

/* The worker's limits, and its death: true if the test it is at has ended so, with its result. */
static bool has_failed(struct worker *worker, const struct assay_conformance_limits *limits, struct assay_arena *arena,
                       struct assay_conformance_result *result)
{
    *result = (struct assay_conformance_result){.reason = ""};
    if (worker->at_end) {
        explain_death(finish(worker, worker->size > LARGEST_LINE), arena, result);
        return true;
    }
    if (limits->time_ns && assay_clock_ns() - worker->since_ns > limits->time_ns) {
        result->status = ASSAY_TIMEOUT;
        result->reason = assay_arena_printf(arena, "it took longer than %.3g s", (double)limits->time_ns / 1e9);
    } else if (limits->memory_bytes && resident_bytes(worker->pid) > limits->memory_bytes) {
        result->status = ASSAY_NO_MEMORY;
        result->reason =
            assay_arena_printf(arena, "it took more than %lld MiB of memory", (long long)(limits->memory_bytes >> 20));
    } else {
        return false;
    }
    finish(worker, true);
    return true;
}

enum assay_status assay_conformance_run_all(const char *const *folders, size_t n, const struct assay_conformance_options *options,
                                            const struct assay_conformance_limits *limits, assay_on_conformance *on_result,
                                            void *context, struct assay_error *err)
{
    struct worker worker = {0};
    struct assay_arena arena;
    assay_arena_init(&arena);
    enum assay_status st = ASSAY_OK;
    for (size_t i = 0; i < n && !st;) {
        struct assay_conformance_result result;
        if (limits->stop && *limits->stop) {
            st = assay_error_set(err, ASSAY_INTERRUPTED, "stopped after %zu of %zu tests", i, n);
            break;
        }
        if (!worker.pid)
            st = start(&worker, folders, i, n, options, err);
        if (st)
            break;
        read_some(&worker);
        for (char *end; i < n && worker.size && (end = memchr(worker.text, '\n', worker.size));) {
            size_t length = (size_t)(end - worker.text);
            st = result_from_line(worker.text, length, &arena, &result, err);
            if (st)
                break;
            on_result(context, i++, &result);
            worker.size -= length + 1;
            memmove(worker.text, end + 1, worker.size);
            worker.since_ns = assay_clock_ns();
            assay_arena_clear(&arena);
        }
        if (!st && i < n && has_failed(&worker, limits, &arena, &result))
            on_result(context, i++, &result);
    }
    finish(&worker, st != ASSAY_OK);
    free(worker.text);
    assay_arena_release(&arena);
    return st;
}
