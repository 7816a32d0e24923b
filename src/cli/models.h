/* SPDX-License-Identifier: Apache-2.0 */
/* What `assay models` reads of each model, and the ways it shows it: for cmd_models.c and models_*.c. */
#ifndef ASSAY_CLI_MODELS_H
#define ASSAY_CLI_MODELS_H

#include "cli/cli.h"
#include "model/analysis.h"
#include "model/memory.h"
#include "model/model.h"

enum { ASSAY_MODELS_BATCHES = 4, ASSAY_MODELS_MAX_DIM = 1 << 30 };

/* One model's figures; all of it in the arena of the command line, but the analysis and the JSON, which are the model's own. */
struct assay_models_item {
    const char *path, *name;
    struct assay_error err; /* why there is nothing else */
    enum assay_status status;
    struct assay_analysis analysis;
    char id[ASSAY_HASH_TEXT_SIZE];
    const char *producer, *architecture, *cost_why; /* cost_why: NULL, or why FLOPs and bytes are absent */
    int opset;
    json_t *inputs, *outputs; /* arrays of objects */
    const char *inputs_text;
    const char *shape_text; /* "input_ids=1x128 …" */
    json_t *nodes;          /* what each costs; NULL where only people read */
    int64_t batch;
    struct assay_memory_use use; /* at that batch */
    const char *peak_node;       /* "Softmax 'name'"; NULL = none */
    int64_t cache_token_bytes;   /* 0 = nothing is cached */
    struct {
        int64_t batch;
        struct assay_memory_need items[ASSAY_MEMORY_MAX_NEEDS];
        int n;
    } needs[ASSAY_MODELS_BATCHES]; /* at the batch asked for, then others */
    int n_needs;
};

struct assay_models {
    struct assay_cli *cli;
    struct assay_models_item *items;
    size_t n, room;
    bool *used; /* [shapes, dims]: whether any model had a use for the entry */
};

/* Fills items with paths from the arguments. */
enum assay_status assay_models_find(struct assay_models *models, struct assay_error *err);
/* Reads one; what is wrong is in its status. */
void assay_models_read(struct assay_models *models, struct assay_models_item *item);
void assay_models_release(struct assay_models *models);
/* The model as the options --phase and --precision want it; shapes stay free. weights as in model.h. */
enum assay_status assay_models_open(const struct assay_cli *cli, const char *path, enum assay_model_weights weights,
                                    struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err);

/* The same but for --precision; and that: ASSAY_NO_DTYPE = the model's own. */
enum assay_status assay_models_open_as_is(const struct assay_cli *cli, const char *path, enum assay_model_weights weights,
                                          struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err);
enum assay_dtype assay_models_precision(const struct assay_cli *cli);

enum assay_status assay_models_print(const struct assay_models *models, struct assay_error *err);
enum assay_status assay_models_print_ops(const struct assay_models_item *item, enum assay_format format, struct assay_error *err);
enum assay_status assay_models_print_memory(const struct assay_models_item *item, enum assay_format format,
                                            struct assay_error *err);
/* What the native runtime's passes make of the model: a line a pass, or with --pass the graph before and after. */
enum assay_status assay_models_print_passes(struct assay_cli *cli, const char *path, struct assay_error *err);
enum assay_status assay_models_print_known(enum assay_format format, struct assay_error *err);
/* What a table has no room for, on stderr. False if a model could not be read. */
bool assay_models_tell(const struct assay_models *models);
/* Draws a model under this machine's measured ceilings; measured points come from the lake. */
enum assay_status assay_models_roofline(struct assay_cli *cli, const struct assay_models_item *item, const char *file,
                                        struct assay_error *err);

#endif
