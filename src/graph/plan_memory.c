/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See plan_memory.h. Offsets are found "greedy by size" (Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net
 * Inference, 2020; the planner of TensorFlow Lite): the largest buffer first, each into the smallest gap that fits between those
 * placed already that are alive at the same time, else behind them.
 */
#include "graph/plan_memory.h"

#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

enum {
    ALIGNMENT = 64,
    /* The search looks at each pair of buffers. Beyond so many they are placed in the order of execution, which has only those in
     * view that are alive, and no more of them than SCAN_LIMIT. */
    BY_SIZE_LIMIT = 8192,
    SCAN_LIMIT = 1024,
};

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* -1 if not known. */
static int64_t size_of(const struct assay_type *type, int64_t float_bytes)
{
    int64_t n = type->dtype == ASSAY_F32 ? float_bytes : (int64_t)assay_dtype_size(type->dtype);
    if (!assay_type_is_known(type))
        return -1;
    if (assay_dtype_is_packed(type->dtype))
        return assay_type_bytes(type);
    for (int d = 0; d < type->rank; d++)
        if (__builtin_mul_overflow(n, type->dims[d], &n))
            return -1;
    return n;
}

/* ---- what is known before the run */

static bool is_fixed(const struct assay_graph *graph, int value, int n_steps)
{
    enum { MOST_INPUTS = 4 };
    while (value >= 0 && graph->values[value].outer >= 0) {
        value = graph->values[value].outer;
        graph = graph->outer;
    }
    if (value < 0 || graph->values[value].constant.data)
        return true;
    int producer = graph->values[value].producer;
    if (producer < 0 || producer >= graph->n_nodes)
        return false;
    const struct assay_node *node = graph->nodes[producer];
    bool is_op = node->op && !*node->domain && !assay_op_is_random(graph, node);
    if (strcmp(node->type, "Constant") == 0 && is_op)
        return true;
    if (n_steps == 0 || !is_op || node->n_inputs < 1 || node->n_inputs > MOST_INPUTS ||
        strcmp(node->type, "DequantizeLinear") == 0)
        return false;
    for (int i = 0; i < node->n_attrs; i++)
        if (node->attrs[i].graph)
            return false;
    for (int i = 0; i < node->n_inputs; i++)
        if (!is_fixed(graph, node->inputs[i], n_steps - 1))
            return false;
    return true;
}

bool assay_graph_is_fixed(const struct assay_graph *graph, int value)
{
    enum { MOST_STEPS = 3 };
    return is_fixed(graph, value, MOST_STEPS);
}

/* ---- which buffers there are */

struct planner {
    struct assay_memory_plan *plan;
    const struct assay_graph *graph;
    int64_t alignment, float_bytes;
    bool in_place, folds;
    int room;
};

static int add_buffer(struct planner *p, int value, int node, int64_t size_bytes)
{
    struct assay_memory_plan *plan = p->plan;
    if (plan->n_buffers == p->room) {
        p->room = 2 * p->room + 64;
        plan->buffers = assay_realloc(plan->buffers, (size_t)p->room * sizeof *plan->buffers);
    }
    plan->buffers[plan->n_buffers] =
        (struct assay_memory_buffer){.value = value, .first = node, .last = node, .size_bytes = size_bytes};
    return plan->n_buffers++;
}

/* Whether the node's first output is its first input's bytes under another shape. */
static bool is_view(const struct assay_graph *graph, const struct assay_node *node)
{
    if (!node->op || !(node->op->flags & ASSAY_OP_VIEW) || node->n_inputs < 1 || node->n_outputs < 1 || node->inputs[0] < 0 ||
        node->outputs[0] < 0)
        return false;
    const struct assay_type *from = &graph->values[node->inputs[0]].type, *to = &graph->values[node->outputs[0]].type;
    return from->dtype == to->dtype && assay_type_count(from) == assay_type_count(to);
}

static void use(struct planner *p, int value, int node)
{
    int buffer = value < 0 ? -1 : p->plan->buffer_of[value];
    if (buffer >= 0 && p->plan->buffers[buffer].last < node)
        p->plan->buffers[buffer].last = node;
}

static void use_captures(struct planner *p, const struct assay_graph *body, int node)
{
    for (int i = 0; i < body->n_values; i++)
        if (body->values[i].outer >= 0)
            use(p, body->values[i].outer, node);
}

/* One body of a node runs at a time. */
static int64_t bodies_need(struct planner *p, const struct assay_node *node, int index)
{
    const struct assay_memory_plan_options options = {p->folds, p->in_place, p->alignment, p->float_bytes};
    int64_t most = 0;
    for (int i = 0; i < node->n_attrs; i++) {
        const struct assay_graph *body = node->attrs[i].graph;
        struct assay_memory_plan inner;
        if (!body)
            continue;
        use_captures(p, body, index);
        assay_graph_plan_memory(&inner, body, &options);
        most = inner.arena_bytes > most ? inner.arena_bytes : most;
        p->plan->n_unknown += inner.n_unknown;
        assay_memory_plan_release(&inner);
    }
    return most;
}

static void add_outputs(struct planner *p, const struct assay_node *node, int index)
{
    const struct assay_graph *graph = p->graph;
    bool is_constant = strcmp(node->type, "Constant") == 0 && !*node->domain;
    for (int k = 0; k < node->n_outputs; k++) {
        int value = node->outputs[k];
        if (value < 0 || is_constant || graph->values[value].constant.data || (p->folds && assay_graph_is_fixed(graph, value)))
            continue;
        if (k == 0 && is_view(graph, node)) {
            p->plan->buffer_of[value] = p->plan->buffer_of[node->inputs[0]];
            continue;
        }
        int64_t size_bytes = size_of(&graph->values[value].type, p->float_bytes);
        if (size_bytes < 0)
            p->plan->n_unknown++;
        else
            p->plan->buffer_of[value] = add_buffer(p, value, index, size_bytes);
    }
}

static void find_buffers(struct planner *p)
{
    const struct assay_graph *graph = p->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 0; k < node->n_inputs; k++)
            use(p, node->inputs[k], i);
        int64_t inner = bodies_need(p, node, i);
        if (inner > 0)
            add_buffer(p, -1, i, inner);
        add_outputs(p, node, i);
    }
    for (int i = 0; i < graph->n_outputs; i++)
        use(p, graph->outputs[i], graph->n_nodes);
}

/* ---- writing over inputs */

/* Ops whose element n depends on no element of their inputs but those that are broadcast to n. */
static bool is_elementwise(const struct assay_node *node)
{
    static const char *const types[] = {"Abs",        "Add",
                                        "Ceil",       "Clip",
                                        "Cos",        "Div",
                                        "Elu",        "Erf",
                                        "Exp",        "Floor",
                                        "Gelu",       "HardSigmoid",
                                        "HardSwish",  "LeakyRelu",
                                        "Log",        "Max",
                                        "Mean",       "Min",
                                        "Mish",       "Mul",
                                        "Neg",        "Not",
                                        "PRelu",      "Pow",
                                        "Reciprocal", "Relu",
                                        "Round",      "Selu",
                                        "Sigmoid",    "Sign",
                                        "Sin",        "Softplus",
                                        "Softsign",   "Sqrt",
                                        "Sub",        "Sum",
                                        "Tanh",       "ThresholdedRelu"};
    if (*node->domain)
        return false;
    for (size_t i = 0; i < ASSAY_COUNT(types); i++)
        if (strcmp(types[i], node->type) == 0)
            return true;
    return false;
}

/* The buffer that node `index` may write its output into; -1 = none. to[] leads from a buffer to the one that it became. */
static int buffer_to_reuse(const struct planner *p, const struct assay_node *node, int index, const int *to)
{
    const struct assay_value *values = p->graph->values;
    if (!is_elementwise(node) || node->n_outputs != 1 || node->outputs[0] < 0 || p->plan->buffer_of[node->outputs[0]] < 0)
        return -1;
    const struct assay_type *type = &values[node->outputs[0]].type;
    for (int k = 0; k < node->n_inputs; k++) {
        int value = node->inputs[k], buffer = value < 0 ? -1 : p->plan->buffer_of[value];
        if (buffer < 0 || values[value].type.dtype != type->dtype)
            continue;
        buffer = to[buffer];
        /* An input that is a part of its buffer does not occur: views are of the whole. */
        if (p->plan->buffers[buffer].last == index && assay_type_count(&values[value].type) == assay_type_count(type))
            return buffer;
    }
    return -1;
}

static void share_in_place(struct planner *p)
{
    struct assay_memory_plan *plan = p->plan;
    int *to = assay_alloc(((size_t)plan->n_buffers + 1) * sizeof *to), n = 0;
    for (int i = 0; i < plan->n_buffers; i++)
        to[i] = i;
    for (int i = 0; i < p->graph->n_nodes; i++) {
        const struct assay_node *node = p->graph->nodes[i];
        int over = buffer_to_reuse(p, node, i, to);
        if (over < 0)
            continue;
        int own = plan->buffer_of[node->outputs[0]];
        to[own] = over;
        plan->buffers[over].last = plan->buffers[own].last;
    }
    /* A buffer is never made after the one that it became, so places of those that stay are known in time. */
    for (int i = 0; i < plan->n_buffers; i++) {
        if (to[i] == i) {
            plan->buffers[n] = plan->buffers[i];
            to[i] = n++;
        } else {
            to[i] = to[to[i]];
        }
    }
    plan->n_buffers = n;
    for (int i = 0; i < p->graph->n_values; i++)
        if (plan->buffer_of[i] >= 0)
            plan->buffer_of[i] = to[plan->buffer_of[i]];
    free(to);
}

/* ---- the peak */

static void find_peak(struct planner *p)
{
    struct assay_memory_plan *plan = p->plan;
    size_t n = (size_t)p->graph->n_nodes + 2;
    int64_t *begins = assay_alloc(n * sizeof *begins), *ends = assay_alloc(n * sizeof *ends), alive = 0;
    for (int i = 0; i < plan->n_buffers; i++) {
        begins[plan->buffers[i].first] = add(begins[plan->buffers[i].first], plan->buffers[i].size_bytes);
        ends[plan->buffers[i].last + 1] = add(ends[plan->buffers[i].last + 1], plan->buffers[i].size_bytes);
    }
    for (int i = 0; i <= p->graph->n_nodes; i++) {
        alive = add(alive - ends[i], begins[i]);
        if (alive > plan->peak_bytes) {
            plan->peak_bytes = alive;
            plan->peak_node = i;
        }
    }
    free(begins);
    free(ends);
}

/* ---- offsets */

static int by_size(const void *a, const void *b)
{
    const struct assay_memory_buffer *x = *(const struct assay_memory_buffer *const *)a,
                                     *y = *(const struct assay_memory_buffer *const *)b;
    if (x->size_bytes != y->size_bytes)
        return x->size_bytes < y->size_bytes ? 1 : -1;
    return x < y ? -1 : x > y;
}

static int64_t align(int64_t offset, int64_t alignment)
{
    return offset > INT64_MAX - alignment ? INT64_MAX & -alignment : (offset + alignment - 1) & -alignment;
}

/* A list, by offset, of buffers that have their place. */
struct placed {
    struct assay_memory_buffer *buffer;
    struct placed *next;
};
struct placed_list {
    struct placed head, *tail; /* tail: the last item, or the head */
};

/* Places one buffer; `is_in_order`: those placed before it were made before it, so what is dead by now can go from the list. */
static void place(struct planner *p, struct placed_list *list, struct placed *item, bool is_in_order)
{
    struct assay_memory_buffer *buffer = item->buffer;
    int64_t end = 0, best_gap = INT64_MAX, need = align(buffer->size_bytes, p->alignment);
    struct placed *at = &list->head, *before = &list->head;
    int n_seen = 0;
    bool found = false;
    while (at->next) {
        struct assay_memory_buffer *other = at->next->buffer;
        if (is_in_order && other->last < buffer->first) {
            at->next = at->next->next;
            list->tail = at->next ? list->tail : at;
            continue;
        }
        if (other->first <= buffer->last && buffer->first <= other->last) {
            int64_t gap = other->offset - end;
            if (gap >= need && gap < best_gap) {
                found = true;
                best_gap = gap;
                buffer->offset = end;
            }
            int64_t other_end = add(other->offset, align(other->size_bytes, p->alignment));
            end = other_end > end ? other_end : end;
        }
        if (is_in_order && ++n_seen >= SCAN_LIMIT)
            break;
        at = at->next;
    }
    if (!found)
        buffer->offset = is_in_order && at->next && p->plan->arena_bytes > end ? p->plan->arena_bytes : end;
    if (list->tail->buffer && list->tail->buffer->offset < buffer->offset)
        before = list->tail;
    while (before->next && before->next->buffer->offset < buffer->offset)
        before = before->next;
    item->next = before->next;
    before->next = item;
    list->tail = item->next ? list->tail : item;
    int64_t own_end = add(buffer->offset, need);
    if (own_end > p->plan->arena_bytes)
        p->plan->arena_bytes = own_end;
}

static void find_offsets(struct planner *p)
{
    size_t n = (size_t)p->plan->n_buffers;
    struct assay_memory_buffer **order = assay_alloc((n + 1) * sizeof *order);
    struct placed *items = assay_alloc((n + 1) * sizeof *items);
    struct placed_list list = {.tail = &list.head};
    bool is_in_order = n > BY_SIZE_LIMIT;
    for (size_t i = 0; i < n; i++)
        order[i] = &p->plan->buffers[i];
    if (!is_in_order)
        qsort(order, n, sizeof *order, by_size);
    for (size_t i = 0; i < n; i++) {
        if (order[i]->size_bytes == 0)
            continue;
        items[i].buffer = order[i];
        place(p, &list, &items[i], is_in_order);
    }
    free(order);
    free(items);
}

void assay_graph_plan_memory(struct assay_memory_plan *plan, const struct assay_graph *graph,
                             const struct assay_memory_plan_options *options)
{
    struct planner p = {
        .plan = plan,
        .graph = graph,
        .alignment = options && options->alignment ? options->alignment : ALIGNMENT,
        .float_bytes = options && options->float_bytes ? options->float_bytes : 4,
        .in_place = options && options->in_place,
        .folds = options && options->folds,
    };
    *plan = (struct assay_memory_plan){.buffer_of = assay_alloc(((size_t)graph->n_values + 1) * sizeof *plan->buffer_of),
                                       .peak_node = -1};
    for (int i = 0; i < graph->n_values; i++)
        plan->buffer_of[i] = -1;
    find_buffers(&p);
    if (p.in_place)
        share_in_place(&p);
    find_peak(&p);
    find_offsets(&p);
}

void assay_memory_plan_release(struct assay_memory_plan *plan)
{
    if (!plan)
        return;
    free(plan->buffers);
    free(plan->buffer_of);
    *plan = (struct assay_memory_plan){0};
}

int64_t assay_memory_place(struct assay_memory_buffer *buffers, int n, int64_t alignment)
{
    struct assay_memory_plan plan = {.buffers = buffers, .n_buffers = n};
    struct planner p = {.plan = &plan, .alignment = alignment};
    find_offsets(&p);
    return plan.arena_bytes;
}
