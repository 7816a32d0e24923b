/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "graph/gradient_testing.h"

#include <string.h>

enum { MOST_STEPS = 7, MOST_LABELS = 3, MOST_CLASSES = 4, MOST_BATCH = 3 };

struct sample {
    int64_t steps, batch, classes, labels, blank;
    double targets[MOST_BATCH * MOST_LABELS], steps_of[MOST_BATCH], labels_of[MOST_BATCH];
};

static int64_t below(struct probe *p, int64_t n) { return (int64_t)assay_rng_below(&p->rng, (uint64_t)n); }

/* Steps enough for the labels, repeated ones too; what fills the rows of targets is -100. */
static struct sample draw(struct probe *p)
{
    struct sample s = {
        .batch = 1 + below(p, MOST_BATCH), .classes = 2 + below(p, MOST_CLASSES - 1), .labels = below(p, MOST_LABELS + 1)};
    s.steps = 2 * MOST_LABELS - 1 + below(p, MOST_STEPS - 2 * MOST_LABELS + 2);
    s.blank = below(p, s.classes);
    for (int64_t i = 0; i < s.batch; i++) {
        s.labels_of[i] = (double)below(p, s.labels + 1);
        s.steps_of[i] = (double)(2 * MOST_LABELS - 1 + below(p, s.steps - 2 * MOST_LABELS + 2));
        for (int64_t k = 0; k < s.labels; k++)
            s.targets[i * s.labels + k] =
                k >= (int64_t)s.labels_of[i] ? -100 : (double)((s.blank + 1 + below(p, s.classes - 1)) % s.classes);
    }
    return s;
}

static const char *dims(char *text, size_t size, int64_t a, int64_t b, int64_t c)
{
    if (c >= 0)
        snprintf(text, size, "%lld,%lld,%lld", (long long)a, (long long)b, (long long)c);
    else if (b >= 0)
        snprintf(text, size, "%lld,%lld", (long long)a, (long long)b);
    else
        snprintf(text, size, "%lld", (long long)a);
    return text;
}

static int emit(struct probe *p, const struct sample *s, int log_probs, bool zero_infinity)
{
    char text[64];
    int targets = probe_constant(p, ASSAY_I64, dims(text, sizeof text, s->batch, s->labels, -1), s->targets);
    int steps = probe_constant(p, ASSAY_I64, dims(text, sizeof text, s->batch, -1, -1), s->steps_of);
    int labels = probe_constant(p, ASSAY_I64, dims(text, sizeof text, s->batch, -1, -1), s->labels_of);
    int loss = e_own(&p->e, "CTCLoss", E_VALUES(log_probs, targets, steps, labels));
    e_set_int(&p->e, "blank", s->blank);
    e_set_int(&p->e, "zero_infinity", zero_infinity);
    return loss;
}

ASSAY_TEST(gradients_agree_with_differences_and_with_standard_ops)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct probe p;
        char text[64];
        probe_init(&p, seed);
        struct sample s = draw(&p);
        int x = probe_input(&p, dims(text, sizeof text, s.steps, s.batch, s.classes), -2, 2);
        int log_probs = x;
        if (seed % 2) {
            log_probs = e_unary(&p.e, "LogSoftmax", x);
            e_set_int(&p.e, "axis", 2);
        }
        probe_output(&p, emit(&p, &s, log_probs, seed % 3 == 0));
        probe_check(&p);
        probe_release(&p);
    }
}

/* ---- the definition: all sequences of classes, of which those count that spell the targets */

static bool spells(const struct sample *s, int64_t i, const int64_t *path)
{
    int64_t n = 0, last = -1;
    for (int64_t t = 0; t < (int64_t)s->steps_of[i]; t++) {
        if (path[t] != last && path[t] != s->blank &&
            (n >= (int64_t)s->labels_of[i] || path[t] != (int64_t)s->targets[i * s->labels + n++]))
            return false;
        last = path[t];
    }
    return n == (int64_t)s->labels_of[i];
}

static double loss_by_definition(const struct sample *s, int64_t i, const struct assay_tensor *log_probs)
{
    int64_t n = (int64_t)s->steps_of[i], path[MOST_STEPS + 2] = {0};
    double sum = 0;
    for (;;) {
        double logarithm = 0;
        for (int64_t t = 0; t < n; t++)
            logarithm += assay_tensor_real(log_probs, (t * s->batch + i) * s->classes + path[t]);
        sum += spells(s, i, path) ? exp(logarithm) : 0;
        int64_t t = 0;
        while (t < n && ++path[t] == s->classes)
            path[t++] = 0;
        if (t == n)
            return -log(sum);
    }
}

static void run(const struct sample *s, const struct assay_tensor *log_probs, bool zero_infinity, struct assay_tensor *results)
{
    struct probe p;
    probe_init(&p, 1);
    int x = assay_graph_add_value(p.graph, "log_probs", &log_probs->type);
    int loss = emit(&p, s, x, zero_infinity);
    struct assay_node *node = e_last(&p.e);
    CHECK(loss >= 0 && node);
    struct assay_tensor in[4] = {*log_probs};
    const struct assay_tensor *data[4];
    struct assay_type inputs[4], outputs[2];
    for (int i = 0; i < 4; i++) {
        data[i] = i ? &p.graph->values[node->inputs[i]].constant : &in[0];
        inputs[i] = data[i]->type;
    }
    struct assay_arena scratch;
    assay_arena_init(&scratch);
    struct assay_op_call call = {.node = node,
                                 .opset = 17,
                                 .n_inputs = 4,
                                 .n_outputs = 2,
                                 .inputs = inputs,
                                 .data = data,
                                 .outputs = outputs,
                                 .results = results,
                                 .scratch = &scratch};
    CHECK_OK(assay_op_run(assay_op_find("assay", "CTCLoss"), &call, &p.err), p.err);
    assay_arena_release(&scratch);
    probe_release(&p);
}

ASSAY_TEST(the_loss_is_that_of_all_ways_to_spell_the_targets)
{
    for (uint64_t seed = 100; seed < 115; seed++) {
        struct probe p;
        probe_init(&p, seed);
        struct sample s = draw(&p);
        struct assay_type type = assay_type_make(ASSAY_F64, 3, (const int64_t[]){s.steps, s.batch, s.classes});
        struct assay_tensor log_probs = probe_noise(&p, &type, -3, 0), results[2] = {{{0}}, {{0}}};
        run(&s, &log_probs, false, results);
        for (int64_t i = 0; i < s.batch; i++) {
            double wanted = loss_by_definition(&s, i, &log_probs), got = assay_tensor_real(&results[0], i);
            /* sums of a thousand terms in double */
            CHECK(isinf(wanted) ? isinf(got) : fabs(got - wanted) <= 1e-10 * fmax(1, fabs(wanted)));
        }
        assay_tensor_release(&results[0]);
        assay_tensor_release(&results[1]);
        assay_tensor_release(&log_probs);
        probe_release(&p);
    }
}

ASSAY_TEST(a_target_too_long_for_its_steps_is_infinite_or_nothing)
{
    struct sample s = {
        .steps = 3, .batch = 2, .classes = 3, .labels = 2, .targets = {1, 1, 1, 2}, .steps_of = {2, 3}, .labels_of = {2, 2}};
    struct assay_type type = assay_type_make(ASSAY_F64, 3, (const int64_t[]){3, 2, 3});
    for (int zero_infinity = 0; zero_infinity < 2; zero_infinity++) {
        struct probe p;
        probe_init(&p, 1);
        struct assay_tensor log_probs = probe_noise(&p, &type, -3, 0), results[2] = {{{0}}, {{0}}};
        run(&s, &log_probs, zero_infinity, results);
        double loss = assay_tensor_real(&results[0], 0), gradient = assay_tensor_real(&results[1], 0);
        CHECK(zero_infinity ? loss == 0 && gradient == 0 : isinf(loss) && isnan(gradient));
        CHECK(isfinite(assay_tensor_real(&results[0], 1)) && isfinite(assay_tensor_real(&results[1], 3)));
        for (int i = 0; i < 2; i++)
            assay_tensor_release(&results[i]);
        assay_tensor_release(&log_probs);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(gradients_agree_with_differences_and_with_standard_ops),
                ASSAY_TEST_ENTRY(the_loss_is_that_of_all_ways_to_spell_the_targets),
                ASSAY_TEST_ENTRY(a_target_too_long_for_its_steps_is_infinite_or_nothing))
