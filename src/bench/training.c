/* SPDX-License-Identifier: Apache-2.0 */
/* See training.h. */
#include "bench/training.h"

#include "graph/emit.h"
#include "model/analysis.h"

#include <math.h>
#include <string.h>

bool assay_case_trains(const struct assay_case *c) { return c->mode && strcmp(c->mode, "training") == 0; }

/* ---- losses for graphs that have none */

struct loss_maker {
    struct assay_emit e;
    int scores;
};

/* The value before a Softmax that made `value`, else itself. */
static int before_softmax(const struct assay_graph *graph, int value)
{
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i]->n_outputs == 1 && graph->nodes[i]->outputs[0] == value &&
            strcmp(graph->nodes[i]->type, "Softmax") == 0)
            return graph->nodes[i]->inputs[0];
    return value;
}

static int add_input(struct assay_emit *e, const char *name, const struct assay_type *type, const char **dim_names)
{
    int value = assay_graph_add_value(e->graph, name, type);
    e->graph->values[value].dim_names = dim_names;
    assay_graph_add_input(e->graph, value);
    return value;
}

static int make_cross_entropy(struct loss_maker *m)
{
    struct assay_emit *e = &m->e;
    struct assay_graph *graph = e->graph;
    int scores = before_softmax(graph, m->scores), axis;
    struct assay_type type = *e_type(e, scores), labels = {.dtype = ASSAY_I64};
    if (type.rank < 2)
        return e_fail(e, ASSAY_UNSUPPORTED, "cross-entropy needs scores of 2 dimensions or more, [n, classes]");
    axis = type.rank == 3 ? 2 : 1;
    const char **names = assay_arena_array(&graph->arena, ASSAY_MAX_RANK, sizeof *names);
    for (int d = 0; d < type.rank; d++)
        if (d != axis) {
            const char *const *of = graph->values[scores].dim_names;
            names[labels.rank] = of && of[d] ? of[d] : labels.rank == 0 ? "batch" : NULL;
            labels.dims[labels.rank++] = type.dims[d];
        }
    int input = add_input(e, "labels", &labels, names);
    if (type.dims[axis] > 0)
        assay_graph_add_metadata(graph, assay_arena_printf(&graph->arena, "assay.input.%s", graph->values[input].name),
                                 assay_arena_printf(&graph->arena, "tokens:%lld", (long long)type.dims[axis]));
    if (axis == 2)
        scores = e_transpose(e, scores, E_INTS(0, 2, 1));
    int loss = e_op(e, "SoftmaxCrossEntropyLoss", E_VALUES(scores, input));
    e_set_text(e, "reduction", "mean");
    return loss;
}

static int make_mse(struct loss_maker *m)
{
    struct assay_emit *e = &m->e;
    struct assay_type type = *e_type(e, m->scores);
    if (type.rank < 0)
        return e_fail(e, ASSAY_UNSUPPORTED, "the shape of the output is not known, so neither is the target's");
    int difference = e_sub(e, m->scores, add_input(e, "target", &type, e->graph->values[m->scores].dim_names));
    int loss = e_op(e, "ReduceMean", E_VALUES(e_mul(e, difference, difference)));
    e_set_int(e, "keepdims", 0);
    return loss;
}

static const struct loss_kind {
    const char *name;
    int (*make)(struct loss_maker *);
} loss_kinds[] = {{"cross-entropy", make_cross_entropy}, {"mse", make_mse}};

/* NULL: `loss` ends in no kind; an output's name may have a colon itself, as in "logits:0". */
static const struct loss_kind *find_kind(const char *loss, size_t *name_length)
{
    const char *colon = strrchr(loss, ':');
    *name_length = strlen(loss);
    for (size_t i = 0; colon && i < ASSAY_COUNT(loss_kinds); i++)
        if (strcmp(colon + 1, loss_kinds[i].name) == 0) {
            *name_length = (size_t)(colon - loss);
            return &loss_kinds[i];
        }
    return NULL;
}

enum assay_status assay_training_check_loss(const char *loss, struct assay_error *err)
{
    size_t length;
    const char *colon = strrchr(loss, ':');
    bool is_word = colon && colon[1] && strspn(colon + 1, "abcdefghijklmnopqrstuvwxyz-") == strlen(colon + 1);
    find_kind(loss, &length);
    if (length == 0 || (is_word && length == strlen(loss)))
        return assay_error_set(err, ASSAY_INVALID,
                               "--loss '%s' is not OUTPUT, OUTPUT:cross-entropy or OUTPUT:mse, OUTPUT being a name of the model",
                               loss);
    return ASSAY_OK;
}

static const char *output_names(const struct assay_graph *graph, struct assay_arena *arena)
{
    enum { MOST = 8 };
    const char *text = "";
    for (int i = 0; i < graph->n_outputs && i < MOST; i++)
        text = assay_arena_printf(arena, "%s%s%s", text, i ? ", " : "", graph->values[graph->outputs[i]].name);
    return graph->n_outputs > MOST ? assay_arena_printf(arena, "%s …", text) : text;
}

static int find_output(const struct assay_graph *graph, const char *name, size_t length)
{
    for (int i = 0; i < graph->n_outputs; i++) {
        const char *output = graph->values[graph->outputs[i]].name;
        if (strlen(output) == length && strncmp(output, name, length) == 0)
            return graph->outputs[i];
    }
    return -1;
}

static enum assay_status add_loss(struct assay_graph *graph, const char *loss, const char **output, struct assay_error *err)
{
    size_t length;
    const struct loss_kind *kind = find_kind(loss, &length);
    struct loss_maker m = {.e = assay_emit_make(graph, "loss", err), .scores = find_output(graph, loss, length)};
    if (m.scores < 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "--loss: the model has no output '%.*s'; there are: %s", (int)length, loss,
                               output_names(graph, &graph->arena));
    *output = graph->values[m.scores].name;
    if (!kind)
        return ASSAY_OK;
    enum assay_status st = assay_graph_infer(graph, err);
    if (st)
        return st;
    int value = kind->make(&m);
    st = assay_emit_finish(&m.e);
    if (st)
        return assay_error_prefix(err, ASSAY_UNSUPPORTED, "--loss %s", loss);
    assay_graph_rename(graph, value, "loss");
    assay_graph_add_output(graph, value);
    *output = graph->values[value].name;
    return ASSAY_OK;
}

enum assay_status assay_training_open(const char *path, const char *loss, struct assay_graph **graph, const char **output,
                                      struct assay_model_info *info, struct assay_error *err)
{
    const struct assay_model_options options = {.training = true};
    enum assay_status st = assay_model_open(path, &options, graph, info, err);
    if (st)
        return st;
    if (loss)
        st = add_loss(*graph, loss, output, err);
    else if (find_output(*graph, "loss", 4) >= 0)
        *output = "loss";
    else
        st = assay_error_set(
            err, ASSAY_UNSUPPORTED,
            "the model has no output 'loss' to minimise: give --loss OUTPUT:cross-entropy (or OUTPUT:mse, or OUTPUT), "
            "with one of its outputs: %s",
            output_names(*graph, &(*graph)->arena));
    if (st) {
        assay_graph_close(*graph);
        *graph = NULL;
    }
    return st;
}

enum assay_status assay_training_open_bound(const struct assay_case *c, const struct assay_binding *bindings, size_t n_bindings,
                                            struct assay_graph **graph, const char **output, struct assay_error *err)
{
    enum assay_status st = assay_training_open(c->model_path, c->loss, graph, output, NULL, err);
    if (st)
        return st;
    st = assay_graph_bind(*graph, bindings, n_bindings, err);
    if (!st)
        st = assay_graph_infer(*graph, err);
    if (st) {
        assay_graph_close(*graph);
        *graph = NULL;
    }
    return st;
}

/* ---- the step */

/* An Adam moves each element by the rate, whatever its gradient; all of them by the rate times the root of their number. */
double assay_training_rate(const struct assay_training_step *step)
{
    return step->optimizer.kind == ASSAY_OPTIMIZER_SGD ? 1e-4 : 1e-2 / sqrt(fmax(1, (double)step->parameters));
}

enum assay_dtype assay_training_precision(const struct assay_case *c)
{
    return assay_case_converts(c) ? assay_dtype_from_word(c->precision) : ASSAY_NO_DTYPE;
}

enum assay_status assay_training_options(const struct assay_case *c, const char *loss, enum assay_dtype precision,
                                         struct assay_step_options *options, struct assay_error *err)
{
    *options =
        (struct assay_step_options){.loss = loss, .precision = precision, .loss_scale = precision == ASSAY_F16, .update = true};
    return assay_optimizer_parse(c->optimizer ? c->optimizer : "adamw", &options->optimizer, err);
}

enum assay_status assay_training_cost(const struct assay_graph *graph, const char *loss, struct assay_case *c,
                                      struct assay_error *err)
{
    struct assay_step_options options;
    struct assay_training_step *step = NULL;
    struct assay_analysis analysis;
    c->flops = c->bytes = NAN;
    enum assay_status st = assay_training_options(c, loss, assay_training_precision(c), &options, err);
    if (!st)
        st = assay_training_step_make(graph, &options, &step, err);
    if (st)
        return st;
    assay_analysis_init(&analysis, step->graph);
    if (!analysis.n_unknown) {
        c->flops = analysis.flops;
        c->bytes = analysis.bytes;
    }
    assay_analysis_release(&analysis);
    assay_training_step_close(step);
    return ASSAY_OK;
}

const char *assay_training_phase(const struct assay_graph *step, const char *node)
{
    if (strncmp(node, "update/", 7) == 0)
        return "update";
    if (strncmp(node, "gradient/", 9) == 0 || strstr(node, "/gradient/"))
        return "backward";
    for (int i = 0; i < step->n_nodes; i++) {
        const char *name = step->nodes[i]->name;
        size_t length = strlen(name);
        if (length && strncmp(node, name, length) == 0 && (node[length] == 0 || node[length] == '/'))
            return "forward";
    }
    return *node ? NULL : "forward"; /* only a file's nodes have no name */
}
