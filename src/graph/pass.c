/* SPDX-License-Identifier: Apache-2.0 */
/* See pass.h: the table of passes, and the rounds in which they run. */
#include "graph/pass.h"

#include "graph/infer.h"
#include "graph/precision.h"

#include <string.h>

/* Fusing one thing can make room for another, but not for ever. */
enum { MAX_ROUNDS = 4 };

extern const struct assay_pass assay_pass_fold;
extern const struct assay_pass assay_pass_quantize;
extern const struct assay_pass assay_pass_algebra;
extern const struct assay_pass assay_pass_common;
extern const struct assay_pass assay_pass_activation;
extern const struct assay_pass assay_pass_norm;
extern const struct assay_pass assay_pass_conv;
extern const struct assay_pass assay_pass_rotary;
extern const struct assay_pass assay_pass_attention;
extern const struct assay_pass assay_pass_linear;
extern const struct assay_pass assay_pass_product;
extern const struct assay_pass assay_pass_elementwise;

static const struct assay_pass *const passes[] = {
    &assay_pass_fold,       &assay_pass_quantize, &assay_pass_algebra, &assay_pass_common,
    &assay_pass_activation, &assay_pass_norm,     &assay_pass_conv,    &assay_pass_rotary,
    &assay_pass_attention,  &assay_pass_linear,   &assay_pass_product, &assay_pass_elementwise,
};

const struct assay_pass *assay_pass_at(int i) { return i >= 0 && i < (int)ASSAY_COUNT(passes) ? passes[i] : NULL; }

static bool is_among(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static enum assay_status check_names(const char *const *names, struct assay_error *err)
{
    for (; names && *names; names++) {
        bool found = false;
        for (size_t i = 0; i < ASSAY_COUNT(passes) && !found; i++)
            found = strcmp(passes[i]->name, *names) == 0;
        if (!found)
            return assay_error_set(err, ASSAY_INVALID, "there is no pass '%s'", *names);
    }
    return ASSAY_OK;
}

static enum assay_status run_all(struct assay_graph *graph, const struct assay_pass_options *o, bool last, int *n_changes,
                                 struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    *n_changes = 0;
    for (size_t i = 0; i < ASSAY_COUNT(passes) && !st; i++) {
        int n = 0;
        if (passes[i]->is_last != last || (o->only && !is_among(o->only, passes[i]->name)) ||
            is_among(o->without, passes[i]->name))
            continue;
        st = passes[i]->run(graph, &n, err);
        *n_changes += n;
        if (!st && o->on_pass)
            o->on_pass(o->context, passes[i], graph, n);
    }
    return st;
}

enum assay_status assay_graph_optimize(struct assay_graph *graph, const struct assay_pass_options *options,
                                       struct assay_error *err)
{
    static const struct assay_pass_options usual = {0};
    const struct assay_pass_options *o = options ? options : &usual;
    enum assay_status st = check_names(o->only, err);
    if (!st)
        st = check_names(o->without, err);
    if (!st)
        st = assay_graph_sort(graph, err);
    if (!st)
        st = assay_graph_infer(graph, err);
    if (!st && o->precision)
        st = assay_graph_check_precision(graph, o->precision, err);
    for (int round = 0, changed = 1; !st && changed && round < MAX_ROUNDS; round++)
        st = run_all(graph, o, false, &changed, err);
    if (!st && o->precision)
        st = assay_graph_set_precision_fused(graph, o->precision, err);
    int changed;
    return st ? st : run_all(graph, o, true, &changed, err);
}
