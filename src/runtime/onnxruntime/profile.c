/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX Runtime's trace: a JSON array of Chrome trace events. Of interest are cat "Session" name "model_run" (one a run) and cat
 * "Node" name "NODE_kernel_time", with args.op_name; ts and dur are microseconds.
 */
#include "base/fs.h"
#include "base/json.h"
#include "runtime/onnxruntime/library.h"

#include <stdlib.h>
#include <string.h>

struct model_run {
    double start_us, end_us;
};

static const char *member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static size_t find_runs(const json_t *events, struct model_run *runs)
{
    size_t n = 0, i;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        if (strcmp(member(event, "name"), "model_run") != 0)
            continue;
        double ts = json_number_value(json_object_get(event, "ts")), dur = json_number_value(json_object_get(event, "dur"));
        runs[n++] = (struct model_run){ts, ts + dur};
    }
    return n;
}

/* The graph's node of that name, -1 if the runtime made it up. */
static int find_node(const struct assay_graph *graph, const char *name)
{
    for (int i = 0; i < graph->n_nodes; i++)
        if (*graph->nodes[i]->name && strcmp(graph->nodes[i]->name, name) == 0)
            return i;
    return -1;
}

static bool read_event(const json_t *event, const struct model_run *runs, size_t n_runs, struct assay_arena *arena,
                       const struct assay_graph *graph, struct assay_op_time *time)
{
    static const char suffix[] = "_kernel_time";
    const char *name = member(event, "name");
    size_t length = strlen(name), tail = sizeof suffix - 1;
    if (strcmp(member(event, "cat"), "Node") != 0 || length < tail || strcmp(name + length - tail, suffix) != 0)
        return false;
    double ts = json_number_value(json_object_get(event, "ts")), dur = json_number_value(json_object_get(event, "dur"));
    size_t run = 0;
    while (run < n_runs && !(ts >= runs[run].start_us && ts <= runs[run].end_us))
        run++;
    if (run == n_runs)
        return false;
    char *node = assay_arena_strndup(arena, name, length - tail);
    *time = (struct assay_op_time){
        .run = (int)run,
        .name = node,
        .type = assay_arena_strdup(arena, member(json_object_get(event, "args"), "op_name")),
        .node = find_node(graph, node),
        .start_ns = (int64_t)((ts - runs[run].start_us) * 1000),
        .wall_ns = (int64_t)(dur * 1000),
    };
    return true;
}

enum assay_status assay_ort_read_profile(const char *path, struct assay_arena *arena, const struct assay_graph *graph,
                                         struct assay_op_time **times, int *n_times, struct assay_error *err)
{
    json_t *events = NULL;
    enum assay_status st = assay_json_read(path, &events, err);
    struct assay_error ignored;
    assay_fs_remove(path, &ignored);
    if (st)
        return st;
    size_t n_events = json_array_size(events), i;
    struct model_run *runs = assay_alloc(n_events * sizeof *runs);
    *times = assay_arena_array(arena, n_events, sizeof **times);
    *n_times = 0;
    size_t n_runs = find_runs(events, runs);
    json_t *event;
    json_array_foreach(events, i, event) if (read_event(event, runs, n_runs, arena, graph, &(*times)[*n_times]))++ *n_times;
    free(runs);
    json_decref(events);
    return ASSAY_OK;
}
