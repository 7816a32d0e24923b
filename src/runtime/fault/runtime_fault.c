/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime that fails on purpose: it decorates another one and makes the n-th call of one function fail, so that every error
 * path above runtimes can be visited by a test. Options (--option NAME=VALUE):
 *
 *   inner   the runtime underneath [reference]
 *   call    compile, bind, run or output [run]
 *   n       which call of it, from 1 [1]
 *   kind    unsupported, no_memory, mismatch (outputs are disturbed), crash (SIGSEGV), abort, exit, hang, or eat (memory without
 *           end) [crash]
 */
#include "runtime/registry.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const kinds[] = {"unsupported", "no_memory", "mismatch", "crash", "abort", "exit", "hang", "eat"};
static const char *const calls[] = {"compile", "bind", "run", "output"};

struct assay_program {
    const struct assay_runtime *inner;
    struct assay_program *program; /* inner's */
    const char *call, *kind;
    int64_t n, n_calls;
    struct assay_tensor disturbed;
};

static void list(struct assay_platform_list *platforms)
{
    assay_platform_add(platforms, &(struct assay_platform){.name = "cpu/fault",
                                                           .device = "cpu",
                                                           .runtime = "fault",
                                                           .variant = "",
                                                           .version = "1",
                                                           .available = true,
                                                           .is_test = true,
                                                           .reason = ""});
}

static noreturn void eat_memory(void)
{
    enum { STEP = 16 << 20 };
    for (;;) {
        char *p = malloc(STEP);
        if (p)
            memset(p, 1, STEP);
        usleep(2000);
    }
}

/* Fails if this is the call that is to fail. */
static enum assay_status strike(struct assay_program *p, const char *call, struct assay_error *err)
{
    if (strcmp(p->call, call) != 0 || ++p->n_calls != p->n)
        return ASSAY_OK;
    if (strcmp(p->kind, "unsupported") == 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "fault: %s number %lld is unsupported, as asked", call, (long long)p->n);
    if (strcmp(p->kind, "no_memory") == 0)
        return assay_error_set(err, ASSAY_NO_MEMORY, "fault: no memory for %s number %lld, as asked", call, (long long)p->n);
    if (strcmp(p->kind, "crash") == 0)
        raise(SIGSEGV);
    if (strcmp(p->kind, "abort") == 0)
        abort();
    if (strcmp(p->kind, "exit") == 0)
        _exit(3);
    if (strcmp(p->kind, "eat") == 0)
        eat_memory();
    if (strcmp(p->kind, "hang") == 0)
        for (;;)
            pause();
    return ASSAY_OK; /* mismatch: see output */
}

static void release(struct assay_program *p)
{
    if (!p)
        return;
    p->inner->release(p->program);
    assay_tensor_release(&p->disturbed);
    free(p);
}

static enum assay_status known(const char *what, const char *value, const char *const *words, size_t n, struct assay_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(value, words[i]) == 0)
            return ASSAY_OK;
    return assay_error_set(err, ASSAY_INVALID, "fault: no %s is called '%s'", what, value);
}

static enum assay_status read_options(struct assay_program *p, const struct assay_compile_options *options,
                                      struct assay_error *err)
{
    const char *inner = "reference";
    for (size_t i = 0; i < options->n_options; i++) {
        const struct assay_option *o = &options->options[i];
        if (strcmp(o->name, "inner") == 0)
            inner = o->value;
        else if (strcmp(o->name, "call") == 0)
            p->call = o->value;
        else if (strcmp(o->name, "kind") == 0)
            p->kind = o->value;
        else if (strcmp(o->name, "n") == 0 && strspn(o->value, "0123456789") == strlen(o->value))
            p->n = atoll(o->value);
        else if (strcmp(o->name, "n") == 0)
            return assay_error_set(err, ASSAY_INVALID, "fault: '%s' is no number of a call", o->value);
        else
            return assay_error_set(err, ASSAY_INVALID, "fault: there is no option '%s'; there are inner, call, n, kind", o->name);
    }
    p->inner = assay_runtime_find(inner);
    if (!p->inner || strcmp(inner, "fault") == 0)
        return assay_error_set(err, ASSAY_INVALID, "fault: there is no inner runtime '%s'", inner);
    enum assay_status st = known("kind", p->kind, kinds, ASSAY_COUNT(kinds), err);
    return st ? st : known("call", p->call, calls, ASSAY_COUNT(calls), err);
}

static enum assay_status compile(const struct assay_graph *graph, const struct assay_compile_options *options,
                                 struct assay_program **program, struct assay_error *err)
{
    struct assay_program *p = assay_alloc(sizeof *p);
    *p = (struct assay_program){.call = "run", .kind = "crash", .n = 1};
    enum assay_status st = read_options(p, options, err);
    if (st) {
        free(p);
        return st;
    }
    struct assay_compile_options inner = *options;
    inner.n_options = 0;
    st = strike(p, "compile", err);
    if (!st)
        st = p->inner->compile(graph, &inner, &p->program, err);
    if (st) {
        free(p);
        return st;
    }
    *program = p;
    return ASSAY_OK;
}

static enum assay_status bind(struct assay_program *p, const struct assay_tensor *inputs, struct assay_error *err)
{
    enum assay_status st = strike(p, "bind", err);
    return st ? st : p->inner->bind(p->program, inputs, err);
}

static enum assay_status run(struct assay_program *p, struct assay_error *err)
{
    enum assay_status st = strike(p, "run", err);
    return st ? st : p->inner->run(p->program, err);
}

static enum assay_status output(struct assay_program *p, int index, struct assay_tensor *tensor, struct assay_error *err)
{
    enum assay_status st = strike(p, "output", err);
    if (!st)
        st = p->inner->output(p->program, index, tensor, err);
    if (st || strcmp(p->kind, "mismatch") != 0 || assay_tensor_count(tensor) == 0)
        return st;
    assay_tensor_release(&p->disturbed);
    st = assay_tensor_copy(&p->disturbed, tensor, err);
    if (st)
        return st;
    assay_tensor_set_real(&p->disturbed, 0, assay_tensor_real(&p->disturbed, 0) == 0 ? 1 : 0);
    assay_tensor_borrow(tensor, &p->disturbed.type, p->disturbed.data);
    return ASSAY_OK;
}

const struct assay_runtime assay_runtime_fault = {
    .name = "fault",
    .list = list,
    .compile = compile,
    .bind = bind,
    .run = run,
    .output = output,
    .release = release,
};
