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

/* ---- what an op cost: types come as [{"float":[1,3,224,224]}, …] */

static int64_t element_bytes(const char *type)
{
    static const struct {
        const char *type;
        int64_t bytes;
    } known[] = {{"float", 4},  {"float16", 2}, {"bfloat16", 2}, {"double", 8}, {"int64", 8}, {"uint64", 8}, {"int32", 4},
                 {"uint32", 4}, {"int16", 2},   {"uint16", 2},   {"int8", 1},   {"uint8", 1}, {"bool", 1}};
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        if (strcmp(known[i].type, type) == 0)
            return known[i].bytes;
    return 0;
}

/* Elements of one tensor of the list, with the last and the first dimension (1 of a scalar); 0 if it is not there. */
static double count_elements(const json_t *types, size_t index, double *first, double *last, double *bytes)
{
    const char *type;
    json_t *dims, *dim;
    double count = 0;
    *first = *last = 1;
    *bytes = 0;
    json_object_foreach(json_array_get(types, index), type, dims)
    {
        size_t d;
        count = 1;
        json_array_foreach(dims, d, dim)
        {
            *last = json_number_value(dim);
            *first = d ? *first : *last;
            count *= *last;
        }
        *bytes = count * (double)element_bytes(type);
    }
    return count;
}

static bool contains(const char *type, const char *what) { return strstr(type, what) != NULL; }

/* Inputs are read and outputs written, but a table only where it is looked up. Products and convolutions by their shapes, in
 * whatever form they were fused; of other ops one for each element. */
static void add_cost(struct assay_op_time *time, const json_t *args)
{
    const json_t *in = json_object_get(args, "input_type_shape"), *out = json_object_get(args, "output_type_shape");
    bool is_lookup = strncmp(time->type, "Gather", 6) == 0;
    double first, last, bytes, made = count_elements(out, 0, &first, &last, &bytes), weight_first, k, x_first;
    for (size_t i = is_lookup; i < json_array_size(in); i++) {
        count_elements(in, i, &first, &last, &bytes);
        time->bytes += bytes;
    }
    for (size_t i = 0; i < json_array_size(out); i++) {
        count_elements(out, i, &first, &last, &bytes);
        time->bytes += is_lookup ? 2 * bytes : bytes;
    }
    count_elements(in, 0, &x_first, &k, &bytes);
    bool is_quantized = bytes > 0 && contains(time->type, "QLinear");
    size_t weight_at = is_quantized ? 3 : 1;
    double weight = count_elements(in, weight_at, &weight_first, &last, &bytes);
    bool is_product = contains(time->type, "MatMul") || contains(time->type, "Gemm");
    if (is_product && weight == 0) { /* of a constant that was packed the trace says nothing */
        double columns = 1;
        count_elements(out, 0, &first, &columns, &bytes);
        time->bytes += made > 0 ? k * columns * bytes / made : 0;
    }
    if (contains(time->type, "Conv") && weight_first > 0)
        time->flops = 2 * made * weight / weight_first;
    else if (is_product)
        time->flops = 2 * made * k;
    else
        time->flops = made;
    if (is_quantized || contains(time->type, "Integer"))
        time->dtype = ASSAY_U8;
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
    add_cost(time, json_object_get(event, "args"));
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
