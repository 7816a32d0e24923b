/* SPDX-License-Identifier: Apache-2.0 */
/* See schedule.h. */
#include "train/schedule.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [ASSAY_SCHEDULE_CONSTANT] = "constant",
    [ASSAY_SCHEDULE_LINEAR] = "linear",
    [ASSAY_SCHEDULE_COSINE] = "cosine",
};

/* Steps beyond this are no number that a run can reach, and sums of two of them still fit. */
static const int64_t most_steps = (int64_t)1 << 53;

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool read_steps(const char *text, size_t length, int64_t *steps)
{
    int64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
        if (value > most_steps)
            return false;
    }
    *steps = value;
    return length > 0;
}

/* A plain decimal number in [0, most]. */
static bool read_real(const char *text, size_t length, double most, double *value)
{
    char copy[64], *end;
    if (length == 0 || length >= sizeof copy || strspn(text, "0123456789.e-") < length)
        return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    *value = strtod(copy, &end);
    return *end == 0 && *value >= 0 && *value <= most;
}

static bool read_warmup(const char *text, size_t length, struct assay_schedule *schedule)
{
    if (length == 0 || text[length - 1] != '%')
        return read_steps(text, length, &schedule->warmup_steps);
    return read_real(text, length - 1, 100, &schedule->warmup_percent);
}

/* "key=value", up to a ':' or the end. */
static enum assay_status read_option(const char *option, size_t length, struct assay_schedule *schedule, const char *whole,
                                     struct assay_error *err)
{
    const char *equals = memchr(option, '=', length);
    size_t key = equals ? (size_t)(equals - option) : length;
    const char *value = equals ? equals + 1 : option + length;
    size_t value_length = length - (size_t)(value - option);
    bool is_fine;
    if (is_word(option, key, "warmup"))
        is_fine = read_warmup(value, value_length, schedule);
    else if (is_word(option, key, "min"))
        is_fine = schedule->kind != ASSAY_SCHEDULE_CONSTANT && read_real(value, value_length, 1, &schedule->min);
    else if (is_word(option, key, "steps"))
        is_fine = schedule->kind != ASSAY_SCHEDULE_CONSTANT && read_steps(value, value_length, &schedule->decay_steps) &&
                  schedule->decay_steps > 0;
    else
        return assay_error_set(err, ASSAY_INVALID,
                               "schedule '%s': '%.*s' is not one of warmup=STEPS, warmup=SHARE%%, min=FACTOR, "
                               "steps=STEPS",
                               whole, (int)(length < 64 ? length : 64), option);
    if (is_fine)
        return ASSAY_OK;
    if (schedule->kind == ASSAY_SCHEDULE_CONSTANT && !is_word(option, key, "warmup"))
        return assay_error_set(err, ASSAY_INVALID, "schedule '%s': a constant one has no '%.*s'", whole,
                               (int)(key < 64 ? key : 64), option);
    return assay_error_set(err, ASSAY_INVALID, "schedule '%s': '%.*s' wants %s", whole, (int)(length < 64 ? length : 64), option,
                           is_word(option, key, "min")     ? "a factor from 0 to 1"
                           : is_word(option, key, "steps") ? "a number of steps above 0"
                                                           : "a number of steps or a share such as 5%");
}

enum assay_status assay_schedule_parse(const char *text, struct assay_schedule *schedule, struct assay_error *err)
{
    *schedule = (struct assay_schedule){0};
    size_t length = strcspn(text, ":"), kind = 0;
    while (kind < ASSAY_COUNT(names) && !is_word(text, length, names[kind]))
        kind++;
    if (kind == ASSAY_COUNT(names))
        return assay_error_set(err, ASSAY_INVALID,
                               "'%s' is no schedule; choose constant, linear or cosine, as in cosine:warmup=100:min=0.1", text);
    struct assay_schedule read = {.kind = (enum assay_schedule_kind)kind};
    for (const char *at = text + length; *at == ':';) {
        const char *option = at + 1;
        at = option + strcspn(option, ":");
        enum assay_status st = read_option(option, (size_t)(at - option), &read, text, err);
        if (st)
            return st;
    }
    *schedule = read;
    return ASSAY_OK;
}

/* "%.6g" where that is the number itself, else all its digits. */
static void write_real(char *text, size_t size, double value)
{
    snprintf(text, size, "%.6g", value);
    if (strtod(text, NULL) != value)
        snprintf(text, size, "%.17g", value);
}

char *assay_schedule_text(const struct assay_schedule *schedule, char text[ASSAY_SCHEDULE_TEXT_SIZE])
{
    size_t size = ASSAY_SCHEDULE_TEXT_SIZE, at = (size_t)snprintf(text, size, "%s", names[schedule->kind]);
    char real[32];
    if (schedule->warmup_percent > 0) {
        write_real(real, sizeof real, schedule->warmup_percent);
        at += (size_t)snprintf(text + at, size - at, ":warmup=%s%%", real);
    } else if (schedule->warmup_steps > 0) {
        at += (size_t)snprintf(text + at, size - at, ":warmup=%lld", (long long)schedule->warmup_steps);
    }
    if (schedule->decay_steps > 0)
        at += (size_t)snprintf(text + at, size - at, ":steps=%lld", (long long)schedule->decay_steps);
    if (schedule->min > 0) {
        write_real(real, sizeof real, schedule->min);
        snprintf(text + at, size - at, ":min=%s", real);
    }
    return text;
}

bool assay_schedule_follows_length(const struct assay_schedule *schedule)
{
    return schedule->decay_steps == 0 && (schedule->kind != ASSAY_SCHEDULE_CONSTANT || schedule->warmup_percent > 0);
}

double assay_schedule_factor(const struct assay_schedule *schedule, int64_t step, int64_t n_steps)
{
    double t = (double)step, n = (double)(schedule->decay_steps > 0 ? schedule->decay_steps : n_steps);
    double warmup = schedule->warmup_percent > 0 ? floor(schedule->warmup_percent * n / 100) : (double)schedule->warmup_steps;
    if (t < warmup)
        return (t + 1) / (warmup + 1);
    double p = n > warmup ? fmin((t - warmup) / (n - warmup), 1) : 1;
    switch (schedule->kind) {
    case ASSAY_SCHEDULE_LINEAR:
        return 1 - (1 - schedule->min) * p;
    case ASSAY_SCHEDULE_COSINE:
        return schedule->min + (1 - schedule->min) * 0.5 * (1 + cos(M_PI * p));
    default:
        return 1;
    }
}
