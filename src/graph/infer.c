/* SPDX-License-Identifier: Apache-2.0 */
/* See infer.h: symbolic dimensions and types. Folding is in fold.c, the standard's rules in check.c. */
#include "graph/infer.h"

#include "graph/known.h"

#include <ctype.h>
#include <stdlib.h>

enum {
    SMALL_COUNT = 1024, /* elements of a value whose contents are worth knowing while types are inferred */
    MAX_DEPTH = 8,      /* of bodies within bodies: a rule may infer its body several times, so the work grows exponentially */
};
static const double small_flops = 1e6;

/* Forgets types and inferred contents, so that what is found next depends on inputs and constants alone. Outputs of ops that we
 * do not have keep what the file declares: nothing else would ever tell. */
static void forget(struct assay_graph *graph)
{
    bool *keep = assay_alloc((size_t)graph->n_values);
    for (int i = 0; i < graph->n_nodes; i++)
        for (int k = 0; !graph->nodes[i]->op && k < graph->nodes[i]->n_outputs; k++)
            if (graph->nodes[i]->outputs[k] >= 0)
                keep[graph->nodes[i]->outputs[k]] = true;
    for (int i = 0; i < graph->n_values; i++) {
        struct assay_value *value = &graph->values[i];
        if (value->is_inferred) {
            assay_tensor_release(&value->constant);
            value->is_inferred = false;
        }
        if (!value->is_input && !value->constant.data && !keep[i])
            value->type = (struct assay_type){.rank = -1};
    }
    free(keep);
}

/* Lists the names that a binding may have: "batch, x:2". */
static char *bindable_names(const struct assay_graph *graph, struct assay_arena *arena)
{
    char *list = "";
    for (int i = 0; i < graph->n_inputs && strlen(list) < 256; i++) {
        const struct assay_value *value = &graph->values[graph->inputs[i]];
        for (int d = 0; d < value->type.rank; d++) {
            const char *name = value->dim_names ? value->dim_names[d] : NULL, *comma = *list ? ", " : "";
            if (name)
                list = assay_arena_printf(arena, "%s%s%s", list, comma, name);
            else if (value->type.dims[d] < 0)
                list = assay_arena_printf(arena, "%s%s%s:%d", list, comma, value->name, d);
        }
    }
    return list;
}

/* "x:2": the graph input x and 2. False if `name` is not of that form or there is no such input. */
static bool find_place(const struct assay_graph *graph, const char *name, struct assay_value **value, int *dim)
{
    const char *colon = strrchr(name, ':');
    if (!colon || !isdigit((unsigned char)colon[1]) || (colon[2] && (colon[3] || !isdigit((unsigned char)colon[2]))))
        return false;
    size_t n = (size_t)(colon - name);
    for (int i = 0; i < graph->n_inputs; i++) {
        struct assay_value *input = &graph->values[graph->inputs[i]];
        if (strlen(input->name) == n && memcmp(input->name, name, n) == 0) {
            *value = input;
            *dim = atoi(colon + 1);
            return *dim < input->type.rank;
        }
    }
    return false;
}

/* Sets every dimension of that symbolic name; how many there were. */
static int bind_symbol(struct assay_graph *graph, const struct assay_binding *binding)
{
    int n = 0;
    for (int i = 0; i < graph->n_inputs; i++) {
        struct assay_value *input = &graph->values[graph->inputs[i]];
        for (int d = 0; input->dim_names && d < input->type.rank; d++)
            if (input->dim_names[d] && strcmp(input->dim_names[d], binding->name) == 0) {
                input->type.dims[d] = binding->value;
                n++;
            }
    }
    return n;
}

static enum assay_status bind_one(struct assay_graph *graph, const struct assay_binding *binding, struct assay_error *err)
{
    if (binding->value < 0)
        return assay_error_set(err, ASSAY_INVALID, "dimension %s cannot be %lld: it must not be negative", binding->name,
                               (long long)binding->value);
    if (bind_symbol(graph, binding))
        return ASSAY_OK;
    struct assay_value *input;
    int d;
    if (!find_place(graph, binding->name, &input, &d)) {
        struct assay_arena arena;
        assay_arena_init(&arena);
        const char *names = bindable_names(graph, &arena);
        enum assay_status st = assay_error_set(err, ASSAY_INVALID, "the model's inputs have no dimension '%s'; they have: %s",
                                               binding->name, *names ? names : "none that is open");
        assay_arena_release(&arena);
        return st;
    }
    const char *symbol = input->dim_names ? input->dim_names[d] : NULL;
    if (symbol) {
        /* One place of a named dimension: the other places must follow. */
        bind_symbol(graph, &(struct assay_binding){.name = symbol, .value = binding->value});
        return ASSAY_OK;
    }
    if (input->type.dims[d] >= 0) {
        if (input->type.dims[d] == binding->value)
            return ASSAY_OK;
        return assay_error_set(err, ASSAY_INVALID,
                               "dimension %d of input '%s' is fixed to %lld in the model, so it cannot be %lld", d, input->name,
                               (long long)input->type.dims[d], (long long)binding->value);
    }
    /* Named now, so that it can be bound anew and still counts as open in the content hash. */
    if (!input->dim_names)
        input->dim_names = assay_arena_array(&graph->arena, ASSAY_MAX_RANK, sizeof *input->dim_names);
    input->dim_names[d] = assay_arena_strdup(&graph->arena, binding->name);
    input->type.dims[d] = binding->value;
    return ASSAY_OK;
}

enum assay_status assay_graph_bind(struct assay_graph *graph, const struct assay_binding *bindings, size_t n_bindings,
                                   struct assay_error *err)
{
    for (size_t i = 0; i < n_bindings; i++) {
        enum assay_status st = bind_one(graph, &bindings[i], err);
        if (st)
            return st;
    }
    forget(graph);
    return ASSAY_OK;
}

/* What the rule left open is taken from what the file declares, where that does not contradict it. */
static void merge_type(struct assay_type *found, const struct assay_type *declared)
{
    if (found->dtype == ASSAY_NO_DTYPE)
        found->dtype = declared->dtype;
    if (found->rank < 0) {
        struct assay_type type = *declared;
        type.dtype = found->dtype;
        *found = type;
        return;
    }
    for (int d = 0; found->rank == declared->rank && d < found->rank; d++)
        if (found->dims[d] < 0)
            found->dims[d] = declared->dims[d];
}

/* A call whose arrays live in `scratch`; types and contents as far as the graph knows them. */
static void make_call(struct assay_op_call *call, const struct assay_graph *graph, const struct assay_node *node,
                      struct assay_arena *scratch)
{
    size_t n_in = (size_t)node->n_inputs, n_out = (size_t)node->n_outputs;
    const struct assay_tensor **data = assay_arena_array(scratch, n_in, sizeof *data);
    *call = (struct assay_op_call){
        .node = node,
        .opset = graph->opset,
        .n_inputs = node->n_inputs,
        .n_outputs = node->n_outputs,
        .inputs = assay_arena_array(scratch, n_in, sizeof *call->inputs),
        .data = data,
        .outputs = assay_arena_array(scratch, n_out, sizeof *call->outputs),
        .results = assay_arena_array(scratch, n_out, sizeof *call->results),
        .scratch = scratch,
    };
    for (int i = 0; i < node->n_inputs; i++) {
        call->inputs[i] = (struct assay_type){.rank = -1};
        if (node->inputs[i] < 0)
            continue;
        const struct assay_value *value = &graph->values[node->inputs[i]];
        call->inputs[i] = value->type;
        if (value->constant.data)
            data[i] = &value->constant;
    }
}

/* Shape and Size look at the type alone: a tensor of that type whose bytes nobody reads stands for contents not known. */
static bool reads_type_only(const struct assay_node *node)
{
    return !*node->domain && (strcmp(node->type, "Shape") == 0 || strcmp(node->type, "Size") == 0);
}

bool assay_graph_known_call(struct assay_op_call *call, const struct assay_graph *graph, const struct assay_node *node,
                            struct assay_arena *scratch)
{
    make_call(call, graph, node, scratch);
    if (!node->op || assay_op_is_random(graph, node))
        return false;
    for (int i = 0; i < node->n_attrs; i++)
        if (node->attrs[i].graph)
            return false;
    if (reads_type_only(node) && node->n_inputs == 1 && assay_type_is_known(&call->inputs[0])) {
        struct assay_tensor *stand_in = assay_arena_alloc(scratch, sizeof *stand_in);
        const struct assay_tensor **data = assay_arena_alloc(scratch, sizeof *data);
        assay_tensor_borrow(stand_in, &call->inputs[0], "");
        *data = stand_in;
        call->data = data;
        return true;
    }
    for (int i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] >= 0 && !call->data[i])
            return false;
    return true;
}

/* Keeps the contents of small results that follow from what is known. A kernel that fails here will fail in the run, too: that
 * is the place to complain. */
static void keep_small_results(struct assay_graph *graph, const struct assay_node *node, struct assay_arena *scratch)
{
    struct assay_op_call call;
    if (!assay_graph_known_call(&call, graph, node, scratch) || assay_op_infer(node->op, &call, NULL))
        return;
    for (int i = 0; i < node->n_outputs; i++)
        if (!assay_type_is_known(&call.outputs[i]) || assay_type_count(&call.outputs[i]) > SMALL_COUNT)
            return;
    struct assay_cost cost;
    assay_op_cost(node->op, &call, &cost);
    if (cost.flops > small_flops || assay_op_run(node->op, &call, NULL))
        return;
    for (int i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] < 0) {
            assay_tensor_release(&call.results[i]);
            continue;
        }
        struct assay_value *value = &graph->values[node->outputs[i]];
        value->constant = call.results[i];
        value->type = value->constant.type;
        value->is_inferred = true;
    }
}

static enum assay_status infer_node(struct assay_graph *graph, const struct assay_node *node, struct assay_arena *scratch,
                                    struct assay_error *err)
{
    if (!node->op)
        return ASSAY_OK;
    struct assay_op_call call;
    make_call(&call, graph, node, scratch);
    enum assay_status st = assay_op_infer(node->op, &call, err);
    if (st == ASSAY_UNSUPPORTED)
        return ASSAY_OK;
    if (st)
        return st;
    for (int i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] < 0)
            continue;
        struct assay_value *value = &graph->values[node->outputs[i]];
        if (value->is_inferred) {
            assay_tensor_release(&value->constant);
            value->is_inferred = false;
        }
        merge_type(&call.outputs[i], &value->type);
        value->type = call.outputs[i];
    }
    keep_small_results(graph, node, scratch);
    return ASSAY_OK;
}

/* What leaves a graph is copied, stacked and compared by elements that have addresses. */
static enum assay_status check_results(const struct assay_graph *graph, struct assay_error *err)
{
    for (int i = 0; i < graph->n_outputs; i++) {
        const struct assay_value *value = &graph->values[graph->outputs[i]];
        if (assay_dtype_is_packed(value->type.dtype))
            return assay_error_set(err, ASSAY_UNSUPPORTED,
                                   "output '%s' has elements of 4 bits, which only DequantizeLinear may read", value->name);
    }
    return ASSAY_OK;
}

enum assay_status assay_graph_infer(struct assay_graph *graph, struct assay_error *err)
{
    struct assay_arena scratch;
    assay_arena_init(&scratch);
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < graph->n_nodes && !st; i++) {
        st = infer_node(graph, graph->nodes[i], &scratch, err);
        assay_arena_clear(&scratch);
    }
    assay_arena_release(&scratch);
    return st ? st : check_results(graph, err);
}

void assay_graph_refresh_captures(struct assay_graph *body)
{
    for (int i = 0; i < body->n_values; i++) {
        struct assay_value *value = &body->values[i];
        if (value->outer < 0)
            continue;
        const struct assay_value *outer = &body->outer->values[value->outer];
        assay_tensor_release(&value->constant);
        value->type = outer->type;
        value->is_inferred = outer->constant.data != NULL;
        if (value->is_inferred)
            assay_tensor_share(&value->constant, &outer->constant);
    }
}

static void set_body_input(struct assay_value *value, const struct assay_type *type, const struct assay_tensor *data)
{
    enum assay_dtype declared = value->type.dtype;
    value->type = *type;
    if (value->type.dtype == ASSAY_NO_DTYPE)
        value->type.dtype = declared;
    if (data) {
        assay_tensor_share(&value->constant, data);
        value->type = data->type;
        value->is_inferred = true;
    }
}

enum assay_status assay_graph_infer_body(struct assay_graph *body, int n_inputs, const struct assay_type *inputs,
                                         const struct assay_tensor *const *data, int n_outputs, struct assay_type *outputs,
                                         struct assay_error *err)
{
    int depth = 0;
    for (const struct assay_graph *graph = body; graph->outer; graph = graph->outer)
        depth++;
    if (depth > MAX_DEPTH)
        return assay_error_set(err, ASSAY_INVALID, "its bodies are nested more than %d deep", MAX_DEPTH);
    if (n_inputs != body->n_inputs || n_outputs != body->n_outputs)
        return assay_error_set(err, ASSAY_INVALID, "its body has %d inputs and %d outputs, where %d and %d belong",
                               body->n_inputs, body->n_outputs, n_inputs, n_outputs);
    forget(body);
    for (int i = 0; i < n_inputs; i++)
        set_body_input(&body->values[body->inputs[i]], &inputs[i], data ? data[i] : NULL);
    assay_graph_refresh_captures(body);
    enum assay_status st = assay_graph_infer(body, err);
    for (int i = 0; i < n_outputs && !st; i++)
        outputs[i] = body->values[body->outputs[i]].type;
    return st;
}
