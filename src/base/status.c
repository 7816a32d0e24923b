/* SPDX-License-Identifier: Apache-2.0 */
/* See status.h. */
#include "base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {
#define X(name, word) word,
    ASSAY_STATUSES(X)
#undef X
};

/* The length of the well-formed UTF-8 character at `p` (RFC 3629), 0 if there is none. */
static size_t character_length(const unsigned char *p)
{
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xC2 && p[0] < 0xE0 ? 2
               : (p[0] & 0xF0) == 0xE0       ? 3
               : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    bool wrong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] >= 0xA0) || (p[0] == 0xF0 && p[1] < 0x90) ||
                 (p[0] == 0xF4 && p[1] >= 0x90);
    return wrong ? 0 : n;
}

/* Makes a sentence safe to print and to store: sentences quote names from files, which may hold terminal control sequences or
 * bytes that are no UTF-8. Marks a cut with "..." so that nobody takes half a sentence for a whole one. */
static void clean(struct assay_error *err, bool cut)
{
    unsigned char *p = (unsigned char *)err->message;
    size_t size = sizeof err->message, end = 0;
    while (p[end]) {
        size_t n = character_length(p + end);
        if (cut && end + n > size - 4)
            break;
        if (n == 0 || p[end] < 0x20 || p[end] == 0x7F)
            p[end] = p[end] == '\n' || p[end] == '\r' || p[end] == '\t' ? ' ' : '?'; /* libraries' sentences have line breaks */
        end += n ? n : 1;
    }
    if (cut)
        memcpy(p + (end < size - 4 ? end : size - 4), "...", 4);
}

enum assay_status assay_error_set(struct assay_error *err, enum assay_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        err->status = status;
        clean(err, n >= (int)sizeof err->message);
    }
    return status;
}

enum assay_status assay_error_prefix(struct assay_error *err, enum assay_status status, const char *format, ...)
{
    if (err) {
        char before[sizeof err->message], context[sizeof err->message];
        memcpy(before, err->message, sizeof before);
        va_list args;
        va_start(args, format);
        vsnprintf(context, sizeof context, format, args);
        va_end(args);
        assay_error_set(err, status, "%s: %s", context, before);
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
