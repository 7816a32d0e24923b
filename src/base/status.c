/* SPDX-License-Identifier: Apache-2.0 */
/* See status.h. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {
#define X(name, word) word,
    ASSAY_STATUSES(X)
#undef X
};

/* Formats into message + at; marks a cut with "..." so that nobody takes half a sentence for a whole one. */
static void format_at(struct assay_error *err, size_t at, const char *format, va_list args)
{
    size_t room = sizeof err->message - at;
    int n = vsnprintf(err->message + at, room, format, args);
    if (n >= 0 && (size_t)n >= room)
        memcpy(err->message + sizeof err->message - 4, "...", 4);
}

enum assay_status assay_error_set(struct assay_error *err, enum assay_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->status = status;
        format_at(err, 0, format, args);
        va_end(args);
    }
    return status;
}

enum assay_status assay_error_prefix(struct assay_error *err, enum assay_status status, const char *format, ...)
{
    if (err) {
        char before[sizeof err->message];
        memcpy(before, err->message, sizeof before);
        va_list args;
        va_start(args, format);
        err->status = status;
        format_at(err, 0, format, args);
        va_end(args);
        size_t at = strlen(err->message);
        int n = snprintf(err->message + at, sizeof err->message - at, ": %s", before);
        if (n >= 0 && (size_t)n >= sizeof err->message - at)
            memcpy(err->message + sizeof err->message - 4, "...", 4);
    }
    return status;
}

const char *assay_status_word(enum assay_status status)
{
    ASSAY_ASSERT((unsigned)status < ASSAY_N_STATUSES);
    return words[status];
}

enum assay_status assay_status_from_word(const char *word)
{
    int i = 0;
    while (i < ASSAY_N_STATUSES && strcmp(words[i], word) != 0)
        i++;
    return (enum assay_status)i;
}

noreturn void assay_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "assay: bug at %s:%d: '%s' does not hold; please report it with the command that led here\n", file, line,
            expression);
    abort();
}
