/* SPDX-License-Identifier: Apache-2.0 */
/* A config.json from anywhere: read it and build its model in every phase; weights are declared only. A graph or a sentence. */
#include "fuzz.h"
#include "model/model.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const all[] = {"*"};
    struct assay_error err = {0};
    json_t *config;
    if (assay_json_parse((const char *)data, size, "fuzz", &config, &err))
        return 0;
    for (enum assay_model_phase phase = ASSAY_PHASE_WHOLE; phase <= ASSAY_PHASE_DECODE; phase++) {
        struct assay_model_options options = {.phase = phase, .weights = ASSAY_WEIGHTS_DECLARED, .outputs = all, .n_outputs = 1};
        struct assay_graph *graph;
        enum assay_status st = assay_model_build(config, "fuzz", &options, &graph, NULL, &err);
        ASSAY_ASSERT(st ? *err.message && !graph : graph != NULL);
        assay_graph_close(graph);
    }
    json_decref(config);
    return 0;
}
