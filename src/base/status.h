/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status and error: how every part of Assay reports a fact about the world that went wrong.
 *
 * A function that can fail returns enum assay_status and takes, last, a struct assay_error * that lives on the
 * caller's stack; on failure it holds one sentence for a person: what, where, what to do. NULL is allowed where the
 * sentence is not wanted. Our own bugs are not statuses: they stop the program (ASSAY_ASSERT), and so does running out of
 * memory for small host structures (arena.h).
 */
#ifndef ASSAY_BASE_STATUS_H
#define ASSAY_BASE_STATUS_H

#include <stdnoreturn.h>

/* X(NAME, "word"). The first eight can be the outcome of a case and stand in the lake under their word. */
#define ASSAY_STATUSES(X)                                                                                                        \
    X(OK, "ok")                                                                                                                  \
    X(UNSUPPORTED, "unsupported") /* the platform cannot do this, by its own word or by ours; the reason names it */             \
    X(NO_MEMORY, "no_memory")     /* bulk memory (tensors, device memory) ran out */                                             \
    X(MISMATCH, "mismatch")       /* it ran, and the numbers are wrong */                                                        \
    X(TIMEOUT, "timeout")                                                                                                        \
    X(CRASHED, "crashed")         /* the child process died, or the runtime failed in a way it does not explain */               \
    X(ABSENT, "absent")           /* not here: a library, a device, a file that may be missing */                                \
    X(INVALID, "invalid")         /* a file, option or request that is wrong; the sentence says where */                         \
    X(IO, "io_error")             /* the operating system refused: disk full, permission, read error */                          \
    X(INTERRUPTED, "interrupted") /* a person pressed Ctrl-C, or a deadline of the caller passed */

enum assay_status {
#define X(name, word) ASSAY_##name,
    ASSAY_STATUSES(X)
#undef X
        ASSAY_N_STATUSES
};

struct assay_error {
    enum assay_status status;
    char message[512]; /* one sentence, no newline at the end; cut with "..." where it would be longer */
};

#define ASSAY_PRINTF(position, first) __attribute__((format(printf, position, first)))

/* Sets *err (if not NULL) and returns `status`, so that a failure is one line: return assay_error_set(err, …). Control characters
 * and what is no UTF-8 (names from files) become '?'. An argument may be err->message itself only in assay_error_prefix. */
enum assay_status assay_error_set(struct assay_error *err, enum assay_status status, const char *format, ...) ASSAY_PRINTF(3, 4);

/* Puts "context: " before the sentence that *err already holds, and returns its status. */
enum assay_status assay_error_prefix(struct assay_error *err, enum assay_status status, const char *format, ...)
    ASSAY_PRINTF(3, 4);

/* The word of a status ("no_memory"), static. */
const char *assay_status_word(enum assay_status status);

/* The status of a word, or ASSAY_N_STATUSES if there is none. */
enum assay_status assay_status_from_word(const char *word);

noreturn void assay_assert_failed(const char *expression, const char *file, int line);
#define ASSAY_ASSERT(expression) ((expression) ? (void)0 : assay_assert_failed(#expression, __FILE__, __LINE__))

#define ASSAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
