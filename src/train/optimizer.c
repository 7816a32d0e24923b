/* SPDX-License-Identifier: Apache-2.0 */
/* See optimizer.h. */
#include "train/optimizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [ASSAY_OPTIMIZER_SGD] = "sgd",
    [ASSAY_OPTIMIZER_ADAM] = "adam",
    [ASSAY_OPTIMIZER_ADAMW] = "adamw",
};
enum { N_KINDS = sizeof names / sizeof *names };

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

/* The number that an option sets; NULL if this kind has no such option. */
static double *place_of(struct assay_optimizer *o, const char *key, size_t length)
{
    bool is_sgd = o->kind == ASSAY_OPTIMIZER_SGD;
    if (is_word(key, length, "weight-decay"))
        return &o->weight_decay;
    if (is_sgd)
        return is_word(key, length, "momentum") ? &o->momentum : NULL;
    return is_word(key, length, "beta1")     ? &o->beta1
           : is_word(key, length, "beta2")   ? &o->beta2
           : is_word(key, length, "epsilon") ? &o->epsilon
                                             : NULL;
}

static enum assay_status read_option(struct assay_optimizer *o, const char *option, size_t length, struct assay_error *err)
{
    const char *equals = memchr(option, '=', length);
    size_t key = equals ? (size_t)(equals - option) : length;
    int shown = (int)(length < 64 ? length : 64);
    if (o->kind == ASSAY_OPTIMIZER_SGD && is_word(option, length, "nesterov")) {
        o->nesterov = true;
        return ASSAY_OK;
    }
    double *place = place_of(o, option, key);
    if (!place)
        return assay_error_set(err, ASSAY_INVALID, "optimizer: '%.*s' is not one of %s", shown, option,
                               o->kind == ASSAY_OPTIMIZER_SGD ? "momentum=M, nesterov, weight-decay=W"
                                                              : "beta1=B, beta2=B, epsilon=E, weight-decay=W");
    char number[32] = "", *end = number;
    size_t n = equals ? length - key - 1 : 0;
    if (n > 0 && n < sizeof number) {
        memcpy(number, equals + 1, n);
        *place = strtod(number, &end);
    }
    bool is_beta = place == &o->beta1 || place == &o->beta2 || place == &o->momentum;
    if (end == number || *end || !(*place >= 0) || *place > 1e6 || (is_beta && *place >= 1))
        return assay_error_set(err, ASSAY_INVALID, "optimizer: '%.*s' wants a number from 0 to %s", shown, option,
                               is_beta ? "below 1" : "1e6");
    return ASSAY_OK;
}

enum assay_status assay_optimizer_parse(const char *text, struct assay_optimizer *optimizer, struct assay_error *err)
{
    struct assay_optimizer o = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    size_t length = strcspn(text, ":");
    int kind = 0;
    while (kind < N_KINDS && !is_word(text, length, names[kind]))
        kind++;
    if (kind == N_KINDS)
        return assay_error_set(err, ASSAY_INVALID, "there is no optimizer '%.*s'; there are sgd, adam and adamw",
                               (int)(length < 64 ? length : 64), text);
    o.kind = (enum assay_optimizer_kind)kind;
    if (o.kind == ASSAY_OPTIMIZER_ADAMW)
        o.weight_decay = 0.01;
    for (text += length; *text; text += length) {
        length = strcspn(++text, ":");
        enum assay_status st = read_option(&o, text, length, err);
        if (st)
            return st;
    }
    if (o.nesterov && o.momentum == 0)
        return assay_error_set(err, ASSAY_INVALID, "optimizer: nesterov wants a momentum above 0");
    *optimizer = o;
    return ASSAY_OK;
}

char *assay_optimizer_text(const struct assay_optimizer *o, char text[ASSAY_OPTIMIZER_TEXT_SIZE])
{
    if (o->kind == ASSAY_OPTIMIZER_SGD)
        snprintf(text, ASSAY_OPTIMIZER_TEXT_SIZE, "sgd:momentum=%g%s:weight-decay=%g", o->momentum,
                 o->nesterov ? ":nesterov" : "", o->weight_decay);
    else
        snprintf(text, ASSAY_OPTIMIZER_TEXT_SIZE, "%s:beta1=%g:beta2=%g:epsilon=%g:weight-decay=%g", names[o->kind], o->beta1,
                 o->beta2, o->epsilon, o->weight_decay);
    return text;
}
