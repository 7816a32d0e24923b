/* SPDX-License-Identifier: Apache-2.0 */
/* assay models --passes and --pass: what the passes of the native runtime make of one model (graph/pass.h). */
#include "cli/models.h"
#include "graph/infer.h"
#include "graph/pass.h"

#include <stdlib.h>
#include <string.h>

struct watch {
    struct assay_table table;
    const struct assay_pass *first; /* that ran: the second time around, passes without changes are not worth a line */
    bool is_round_two;
    int n_nodes;
};

static void on_pass(void *context, const struct assay_pass *pass, const struct assay_graph *graph, int n_changes)
{
    struct watch *watch = context;
    struct assay_table *table = &watch->table;
    watch->is_round_two |= pass == watch->first;
    watch->first = watch->first ? watch->first : pass;
    if (!watch->is_round_two || n_changes) {
        assay_table_row(table);
        assay_table_text(table, 0, pass->name);
        assay_table_int(table, 1, n_changes);
        assay_table_int(table, 2, watch->n_nodes);
        assay_table_int(table, 3, graph->n_nodes);
        assay_table_text(table, 4, pass->about);
    }
    watch->n_nodes = graph->n_nodes;
}

static enum assay_status print_table(struct assay_cli *cli, struct assay_graph *graph, struct assay_error *err)
{
    struct watch watch = {.n_nodes = graph->n_nodes};
    static const struct assay_table_heading headings[] = {{"pass", "pass", false},
                                                          {"changes", "n_changes", true},
                                                          {"nodes before", "n_before", true},
                                                          {"after", "n_after", true},
                                                          {"what becomes what", "about", false}};
    struct assay_table *table = &watch.table;
    assay_table_init(table);
    assay_table_columns(table, headings, ASSAY_COUNT(headings));
    struct assay_pass_options options = {.precision = assay_models_precision(cli), .on_pass = on_pass, .context = &watch};
    enum assay_status st = assay_graph_optimize(graph, &options, err);
    if (!st)
        st = assay_table_print(table, assay_cli_format(cli), stdout, err);
    assay_table_release(table);
    return st;
}

static void print_graph(const char *title, const struct assay_graph *graph)
{
    char *text = assay_graph_text(graph);
    printf("# %s: %d nodes\n%s", title, graph->n_nodes, text);
    free(text);
}

static enum assay_status print_graphs(const struct assay_cli *cli, struct assay_graph *graph, const char *name,
                                      struct assay_error *err)
{
    const char *only[] = {name, NULL};
    struct assay_pass_options options = {.only = strcmp(name, "all") == 0 ? NULL : only,
                                         .precision = assay_models_precision(cli)};
    enum assay_status st = assay_graph_infer(graph, err);
    if (st)
        return st;
    struct assay_graph *before = assay_graph_clone(graph);
    st = assay_graph_optimize(graph, &options, err);
    if (!st) {
        print_graph("before", before);
        print_graph("after", graph);
    }
    assay_graph_close(before);
    return st;
}

enum assay_status assay_models_print_passes(struct assay_cli *cli, const char *path, struct assay_error *err)
{
    struct assay_graph *graph = NULL;
    struct assay_model_info info;
    enum assay_status st = assay_models_open_as_is(cli, path, ASSAY_WEIGHTS_FILE_OR_DECLARED, &graph, &info, err);
    if (st)
        return st;
    st = assay_graph_sort(graph, err);
    if (!st && assay_cli_given(cli, "pass"))
        st = print_graphs(cli, graph, assay_cli_text(cli, "pass", "all"), err);
    else if (!st)
        st = print_table(cli, graph, err);
    assay_graph_close(graph);
    return st;
}
