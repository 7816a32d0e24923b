/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of families: what a config with seeded random weights computes, and what it is refused for. */
#ifndef ASSAY_MODEL_FAMILIES_TESTING_H
#define ASSAY_MODEL_FAMILIES_TESTING_H

#include "base/test.h"
#include "graph/testing.h"
#include "model/model.h"

#include <string.h>

/* Builds the graph of a config.json's text under these options (of seeded weights) and runs it on data[0..2], each i64[1,
 * length]; its first output, n numbers. */
static inline void testing_logits(const char *text, const struct assay_model_options *options, const int64_t *const data[3],
                                  int64_t length, double *logits, int n)
{
    struct assay_error err = {0};
    struct assay_graph *graph;
    json_t *config;
    CHECK_OK(assay_json_parse(text, strlen(text), "config", &config, &err), err);
    CHECK_OK(assay_model_build(config, "config", options, &graph, NULL, &err), err);
    struct assay_tensor inputs[3], output;
    struct assay_type shape = assay_type_make(ASSAY_I64, 2, (const int64_t[]){1, length});
    for (int i = 0; i < 3; i++)
        assay_tensor_borrow(&inputs[i], &shape, data[i]);
    CHECK_OK(testing_run(graph, inputs, &output, &err), err);
    CHECK_INT(assay_tensor_count(&output), n);
    for (int i = 0; i < n; i++)
        logits[i] = assay_tensor_real(&output, i);
    assay_tensor_release(&output);
    assay_graph_close(graph);
    json_decref(config);
}

/* The output of that name (the caller's to release) of a config.json's text under these options (of seeded weights). `set` gives
 * each input its data, which is released then. */
static inline void testing_output(const char *text, const struct assay_model_options *options,
                                  void (*set)(const void *context, const char *name, struct assay_tensor *input),
                                  const void *context, const char *output, struct assay_tensor *result)
{
    struct assay_error err = {0};
    struct assay_graph *graph;
    struct assay_tensor inputs[8], outputs[8];
    json_t *config;
    CHECK_OK(assay_json_parse(text, strlen(text), "config", &config, &err), err);
    CHECK_OK(assay_model_build(config, "config", options, &graph, NULL, &err), err);
    CHECK(graph->n_inputs <= 8 && graph->n_outputs <= 8);
    for (int i = 0; i < graph->n_inputs; i++)
        set(context, graph->values[graph->inputs[i]].name, &inputs[i]);
    CHECK_OK(testing_run(graph, inputs, outputs, &err), err);
    *result = (struct assay_tensor){0};
    for (int i = 0; i < graph->n_outputs; i++) {
        if (strcmp(graph->values[graph->outputs[i]].name, output) == 0)
            assay_tensor_share(result, &outputs[i]);
        assay_tensor_release(&outputs[i]);
    }
    CHECK(result->data);
    for (int i = 0; i < graph->n_inputs; i++)
        assay_tensor_release(&inputs[i]);
    assay_graph_close(graph);
    json_decref(config);
}

/* That building this config fails with a sentence that has `said` in it. */
static inline void testing_refusal(const char *text, const char *said)
{
    struct assay_model_options options = {.weights = ASSAY_WEIGHTS_DECLARED};
    struct assay_error err = {0};
    struct assay_graph *graph;
    json_t *config;
    CHECK_OK(assay_json_parse(text, strlen(text), "config", &config, &err), err);
    CHECK(assay_model_build(config, "config", &options, &graph, NULL, &err) != ASSAY_OK);
    CHECK_CONTAINS(err.message, said);
    json_decref(config);
}

/* Largest difference of n numbers. */
static inline double testing_distance(const double *a, const double *b, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++)
        most = fmax(most, fabs(a[i] - b[i]));
    return most;
}

#endif
