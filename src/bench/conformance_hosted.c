/* SPDX-License-Identifier: Apache-2.0 */
/* See conformance_hosted.h. */
#include "bench/conformance_hosted.h"

#include "base/fs.h"
#include "graph/infer.h"
#include "train/detr_matching.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 64 };

static const char merged_name[] = "merged.position_ids";

struct assay_hosted {
    struct assay_hosted_source source;
    struct assay_graph *model; /* for inference, bound */
    struct assay_tensor *data; /* [its inputs]; borrowed */
    struct assay_tensor merged;
    /* DETR's */
    bool matches;
    struct assay_detr_costs costs;
    struct assay_detr_image *images;
    int64_t n_images;
    struct assay_detr_targets targets;
    struct assay_forward *forward;
};

/* ---- the model for inference */

static bool has_input(const struct assay_graph *graph, const char *name)
{
    int value = assay_graph_find(graph, name);
    return value >= 0 && graph->values[value].is_input;
}

static enum assay_status open_model(struct assay_hosted *h, struct assay_error *err)
{
    static const char *const outputs[] = {"auxiliary_outputs.*", "merged.*"};
    const struct assay_hosted_source *s = &h->source;
    struct assay_model_options options = {.outputs = outputs, .n_outputs = ASSAY_COUNT(outputs)};
    const char **inputs = assay_arena_array(s->arena, s->options->n_inputs + 1, sizeof *inputs);
    for (size_t i = 0; i < s->options->n_inputs; i++)
        if (assay_safetensors_find(s->in, s->options->inputs[i]))
            inputs[options.n_inputs++] = s->options->inputs[i];
    options.inputs = inputs;
    enum assay_status st = assay_model_open(s->path, &options, &h->model, NULL, err);
    if (st)
        return st;
    h->data = assay_arena_array(s->arena, (size_t)h->model->n_inputs + 1, sizeof *h->data);
    for (int i = 0; i < h->model->n_inputs; i++) {
        struct assay_value *v = &h->model->values[h->model->inputs[i]];
        h->data[i] = *assay_safetensors_find(s->in, v->name);
        v->type = h->data[i].type;
    }
    st = assay_graph_bind(h->model, NULL, 0, err);
    return st ? st : assay_graph_infer(h->model, err);
}

static int find_output(const struct assay_graph *graph, const char *name)
{
    for (int i = 0; i < graph->n_outputs; i++)
        if (strcmp(graph->values[graph->outputs[i]].name, name) == 0)
            return i;
    return -1;
}

/* Its output of that name, of the parameters in the file. */
static enum assay_status run_model(struct assay_hosted *h, const char *name, struct assay_tensor *result, struct assay_error *err)
{
    const struct assay_runtime *runtime = h->source.runtime;
    struct assay_program *program = NULL;
    struct assay_tensor output;
    int index = find_output(h->model, name);
    if (index < 0)
        return assay_error_set(err, ASSAY_INVALID, "the model gives no output '%s', which training needs", name);
    enum assay_status st = runtime->compile(h->model, h->source.compile, &program, err);
    if (!st)
        st = runtime->bind(program, h->data, err);
    if (!st)
        st = runtime->run(program, err);
    if (!st)
        st = runtime->output(program, index, &output, err);
    if (!st)
        st = assay_tensor_copy(result, &output, err);
    runtime->release(program);
    return st;
}

/* ---- DETR */

static const struct assay_tensor *label(const struct assay_hosted *h, int64_t i, const char *part)
{
    return assay_safetensors_find(h->source.wanted, assay_arena_printf(h->source.arena, "labels.%lld.%s", (long long)i, part));
}

static enum assay_status read_images(struct assay_hosted *h, struct assay_error *err)
{
    json_t *config = NULL;
    enum assay_status st = assay_json_read(assay_path_join(h->source.arena, h->source.path, "config.json"), &config, err);
    if (st)
        return st;
    h->costs = assay_detr_costs_of(config);
    json_decref(config);
    while (label(h, h->n_images, "class_labels") && label(h, h->n_images, "boxes"))
        h->n_images++;
    h->images = assay_arena_array(h->source.arena, (size_t)h->n_images + 1, sizeof *h->images);
    for (int64_t i = 0; i < h->n_images; i++)
        h->images[i] = (struct assay_detr_image){label(h, i, "class_labels"), label(h, i, "boxes"), label(h, i, "masks")};
    return h->n_images ? ASSAY_OK : assay_error_set(err, ASSAY_INVALID, "there are no labels.0.class_labels and labels.0.boxes");
}

/* The outputs of each layer with a loss, the last one first. */
static int find_layers(const struct assay_hosted *h, int *scores, int *boxes)
{
    int n = 0;
    scores[0] = find_output(h->model, "logits");
    boxes[0] = find_output(h->model, "pred_boxes");
    while (scores[n] >= 0 && boxes[n] >= 0 && ++n < MOST_LAYERS) {
        scores[n] = find_output(h->model, assay_arena_printf(h->source.arena, "auxiliary_outputs.%d.logits", n - 1));
        boxes[n] = find_output(h->model, assay_arena_printf(h->source.arena, "auxiliary_outputs.%d.pred_boxes", n - 1));
    }
    return n;
}

static enum assay_status match(struct assay_hosted *h, const struct assay_tensor *scores, const struct assay_tensor *boxes, int n,
                               struct assay_error *err)
{
    assay_detr_targets_release(&h->targets);
    return assay_detr_match(&h->costs, scores, boxes, n, h->images, h->n_images, &h->targets, err);
}

static enum assay_status zeros(struct assay_tensor *tensor, const struct assay_graph *graph, int output, struct assay_error *err)
{
    enum assay_status st = assay_tensor_alloc(tensor, &graph->values[graph->outputs[output]].type, err);
    if (!st)
        memset(tensor->data, 0, (size_t)assay_tensor_bytes(tensor));
    return st;
}

/* Matched with nothing, for the shapes. */
static enum assay_status match_nothing(struct assay_hosted *h, struct assay_error *err)
{
    int at_scores[MOST_LAYERS + 1], at_boxes[MOST_LAYERS + 1], n = find_layers(h, at_scores, at_boxes);
    struct assay_tensor scores[MOST_LAYERS] = {{{0}}}, boxes[MOST_LAYERS] = {{{0}}};
    enum assay_status st = n ? ASSAY_OK : assay_error_set(err, ASSAY_INVALID, "the model predicts no boxes");
    for (int i = 0; i < n && !st; i++) {
        st = zeros(&scores[i], h->model, at_scores[i], err);
        if (!st)
            st = zeros(&boxes[i], h->model, at_boxes[i], err);
    }
    if (!st)
        st = match(h, scores, boxes, n, err);
    for (int i = 0; i < n; i++) {
        assay_tensor_release(&scores[i]);
        assay_tensor_release(&boxes[i]);
    }
    return st;
}

/* ---- */

enum assay_status assay_hosted_open(const struct assay_hosted_source *source, const struct assay_graph *graph,
                                    struct assay_hosted **hosted, struct assay_error *err)
{
    bool matches = has_input(graph, "target_classes"), merges = has_input(graph, merged_name);
    *hosted = NULL;
    if (!matches && !merges)
        return ASSAY_OK;
    struct assay_hosted *h = assay_alloc(sizeof *h);
    *h = (struct assay_hosted){.source = *source, .matches = matches};
    enum assay_status st = open_model(h, err);
    if (!st && merges)
        st = run_model(h, merged_name, &h->merged, err);
    if (!st && matches)
        st = read_images(h, err);
    if (!st && matches)
        st = match_nothing(h, err);
    if (st)
        assay_hosted_close(h);
    else
        *hosted = h;
    return st;
}

void assay_hosted_close(struct assay_hosted *hosted)
{
    if (!hosted)
        return;
    assay_forward_close(hosted->forward);
    assay_graph_close(hosted->model);
    assay_tensor_release(&hosted->merged);
    assay_detr_targets_release(&hosted->targets);
    free(hosted);
}

const struct assay_tensor *assay_hosted_find(const struct assay_hosted *hosted, const char *name)
{
    if (!hosted)
        return NULL;
    const struct {
        const char *name;
        const struct assay_tensor *tensor;
    } all[] = {{merged_name, &hosted->merged},
               {"target_classes", &hosted->targets.target_classes},
               {"target_boxes", &hosted->targets.target_boxes},
               {"target_count", &hosted->targets.target_count},
               {"target_masks", &hosted->targets.target_masks}};
    for (size_t i = 0; i < ASSAY_COUNT(all); i++)
        if (strcmp(all[i].name, name) == 0 && all[i].tensor->data)
            return all[i].tensor;
    return NULL;
}

enum assay_status assay_hosted_begin(struct assay_hosted *hosted, const struct assay_training_step *step, struct assay_error *err)
{
    if (!hosted || !hosted->matches)
        return ASSAY_OK;
    assay_forward_close(hosted->forward);
    hosted->forward = NULL;
    return assay_forward_open(hosted->model, step, hosted->source.runtime, hosted->source.compile, &hosted->forward, err);
}

enum assay_status assay_hosted_update(struct assay_hosted *hosted, struct assay_training_session *session,
                                      struct assay_error *err)
{
    if (!hosted || !hosted->matches)
        return ASSAY_OK;
    int at_scores[MOST_LAYERS + 1], at_boxes[MOST_LAYERS + 1], n = find_layers(hosted, at_scores, at_boxes);
    struct assay_tensor scores[MOST_LAYERS], boxes[MOST_LAYERS];
    enum assay_status st = assay_forward_run(hosted->forward, session, hosted->data, err);
    for (int i = 0; i < n && !st; i++) {
        st = assay_forward_output(hosted->forward, at_scores[i], &scores[i], err);
        if (!st)
            st = assay_forward_output(hosted->forward, at_boxes[i], &boxes[i], err);
    }
    return st ? st : match(hosted, scores, boxes, n, err);
}
