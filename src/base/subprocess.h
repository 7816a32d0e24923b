/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes with limits, for isolating what may crash, hang or eat all memory.
 *
 * The child gets a new process group, so that it and all it starts end together: when it exits, when a limit ends it, and also
 * when we die, however we die (only a grandchild that makes a session of its own escapes). Its standard input is `input`; what it
 * writes to standard output and standard error is collected (bounded); it gets no other open file of ours, default signal
 * handlers and RLIMIT_CORE 0. The memory limit is watched as resident memory of the child, sampled every 10 ms, since RLIMIT_AS
 * counts reservations that runtimes never touch. Threads: the calling thread must live until the call returns; calls in several
 * threads do not disturb each other.
 */
#ifndef ASSAY_BASE_SUBPROCESS_H
#define ASSAY_BASE_SUBPROCESS_H

#include "base/arena.h"
#include "base/status.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct assay_subprocess_options {
    const char *const *argv;        /* NULL-terminated; argv[0] is a path, not searched for */
    const char *const *environment; /* NULL-terminated "NAME=value"; NULL = ours */
    const char *input;              /* for its standard input; NULL = empty */
    size_t input_size_bytes;
    int64_t time_limit_ns;      /* 0 = none */
    int64_t memory_limit_bytes; /* 0 = none */
    size_t output_limit_bytes;  /* 0 = 64 MiB; more is thrown away and the outcome says so */
    bool pass_stderr;           /* leave standard error to the person instead of collecting it */
    const volatile sig_atomic_t
        *stop; /* set by a signal handler: the child is ended, the status is ASSAY_INTERRUPTED; may be NULL */
};

struct assay_subprocess_outcome {
    enum assay_status status; /* OK: it exited by itself (look at exit_code); CRASHED, TIMEOUT, NO_MEMORY, INTERRUPTED */
    int exit_code, signal;    /* signal 0 = exited */
    char *output, *errors;    /* NUL-terminated, from the arena; errors holds the last 64 KiB */
    size_t output_size_bytes;
    bool output_cut;
    int64_t wall_ns, user_ns, system_ns;
    int64_t peak_resident_bytes; /* a lower bound for a child that lived only some ticks; 0 = not known */
};

/* ASSAY_OK as soon as the child could be started: the rest is in *outcome. A program that is not there is ASSAY_ABSENT. A child
 * that the kernel's out-of-memory killer ended (SIGKILL that we did not send) is NO_MEMORY. */
enum assay_status assay_subprocess_run(const struct assay_subprocess_options *options, struct assay_arena *arena,
                                       struct assay_subprocess_outcome *outcome, struct assay_error *err);

/* A signal's name and meaning: "SIGSEGV (invalid memory access)". Static. */
const char *assay_signal_text(int number);

#endif
