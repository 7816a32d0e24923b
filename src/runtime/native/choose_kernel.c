/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel a node gets: each table's makers are asked in turn, and where all refuse, the reference kernel has it. */
#include "runtime/native/body.h"
#include "runtime/native/program.h"

#include <string.h>

#define ASSAY_NATIVE_KERNELS(name) extern const struct native_maker native_makers_##name[];
#include "runtime/native_table.def"
#undef ASSAY_NATIVE_KERNELS
static const struct native_maker *const tables[] = {
#define ASSAY_NATIVE_KERNELS(name) native_makers_##name,
#include "runtime/native_table.def"
#undef ASSAY_NATIVE_KERNELS
    NULL};

int native_state_of(const struct native_build *build, int input, int output)
{
    const struct assay_graph *graph = build->graph;
    int in = input < build->n_inputs ? build->node->inputs[input] : -1;
    int out = output < build->n_outputs ? build->node->outputs[output] : -1;
    for (int i = 0; in >= 0 && out >= 0 && i < graph->n_states; i++)
        if (graph->inputs[graph->states[i].input] == in && graph->outputs[graph->states[i].output] == out)
            return i;
    return -1;
}

/* How often nodes and the graph's outputs read a value; bodies count as many. */
static int count_reads(const struct assay_graph *graph, int value)
{
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        for (int k = 0; k < graph->nodes[i]->n_inputs; k++)
            n += graph->nodes[i]->inputs[k] == value;
    for (int i = 0; i < graph->n_outputs; i++)
        n += graph->outputs[i] == value;
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        for (int v = 0; v < body->n_values; v++)
            n += body->values[v].outer == value ? 2 : 0;
    return n;
}

struct native_cache *native_cache_of(struct native_build *build, int input, int output, int64_t rows)
{
    struct native_special *s = build->special;
    int state = native_state_of(build, input, output);
    const struct assay_type *type = state >= 0 ? &build->inputs[input] : NULL;
    if (!type || type->rank != 4 || type->dims[0] < 0 || type->dims[1] < 0 || type->dims[3] < 1 ||
        (type->dtype != ASSAY_F32 && type->dtype != ASSAY_BF16) || count_reads(build->graph, build->node->inputs[input]) != 1 ||
        count_reads(build->graph, build->node->outputs[output]) != 1)
        return NULL;
    s->cache_uses[s->n_cache_uses++] = (struct native_cache_use){state, rows};
    return &build->program->caches[state];
}

static bool offer(const struct native_maker *table, struct native_build *build, bool known)
{
    const struct assay_node *node = build->node;
    int n_cache_uses = build->special->n_cache_uses, n_packs = native_whole(build->program)->n_packs;
    for (const struct native_maker *k = table; k->type; k++) {
        if ((!known && !k->dynamic) || strcmp(k->type, node->type) != 0 || strcmp(k->domain, node->domain) != 0)
            continue;
        memset(build->packed, 0, (size_t)node->n_inputs * sizeof *build->packed);
        if (k->make(build, NULL) == ASSAY_OK)
            return true;
        build->special->n_cache_uses = n_cache_uses;
        native_pack_forget(native_whole(build->program), n_packs); /* what is half made is not to be found */
    }
    return false;
}

/* As if nothing had been answered: all plain, but inputs in the layout that they have. */
static void clear_answer(struct native_build *build)
{
    const struct assay_node *node = build->node;
    build->kernel = (struct native_kernel){.n_parts = 1, .in_place = -1};
    for (int k = 0; k < node->n_inputs; k++) {
        int value = node->inputs[k];
        build->in_layouts[k] = value >= 0 && build->special->slot_of[value][NATIVE_NHWC] >= 0 ? NATIVE_NHWC : NATIVE_PLAIN;
        build->unneeded[k] = build->packed[k] = false;
    }
    for (int k = 0; k < node->n_outputs; k++) {
        build->out_layouts[k] = NATIVE_PLAIN;
        build->unmade[k] = false;
    }
}

static void choose_kernel(struct native_build *build)
{
    const struct assay_node *node = build->node;
    bool known = true;
    for (int k = 0; k < node->n_inputs; k++)
        known &= node->inputs[k] < 0 || assay_type_is_known(&build->inputs[k]);
    for (int k = 0; k < node->n_outputs; k++)
        known &= node->outputs[k] < 0 || assay_type_is_known(&build->outputs[k]);
    for (int i = 0; tables[i]; i++) {
        clear_answer(build);
        if (offer(tables[i], build, known))
            return;
    }
    clear_answer(build);
    for (int k = 0; k < node->n_inputs; k++)
        build->in_layouts[k] = NATIVE_PLAIN;
    build->kernel = native_fallback_kernel(build);
}

static void prepare_build(struct native_program *program, struct native_special *s, const struct assay_node *node,
                          struct native_build *build)
{
    struct assay_arena *arena = &s->arena;
    const struct assay_graph *graph = s->graph;
    int *captures, n_captures = native_captures(arena, graph, node, &captures);
    struct assay_type *in = assay_arena_array(arena, (size_t)node->n_inputs, sizeof *in),
                      *out = assay_arena_array(arena, (size_t)node->n_outputs, sizeof *out);
    const struct assay_tensor **constants = assay_arena_array(arena, (size_t)node->n_inputs, sizeof *constants);
    for (int k = 0; k < node->n_inputs; k++) {
        in[k].rank = -1;
        if (node->inputs[k] < 0)
            continue;
        const struct assay_value *v = &graph->values[node->inputs[k]];
        in[k] = v->type;
        constants[k] = v->constant.data ? &v->constant : NULL;
    }
    for (int k = 0; k < node->n_outputs; k++) {
        out[k].rank = -1;
        if (node->outputs[k] >= 0)
            out[k] = graph->values[node->outputs[k]].type;
    }
    *build = (struct native_build){
        .program = program,
        .graph = graph,
        .node = node,
        .n_inputs = node->n_inputs,
        .n_outputs = node->n_outputs,
        .inputs = in,
        .outputs = out,
        .constants = constants,
        .captures = captures,
        .n_captures = n_captures,
        .in_layouts = assay_arena_array(arena, (size_t)node->n_inputs, sizeof *build->in_layouts),
        .out_layouts = assay_arena_array(arena, (size_t)node->n_outputs, sizeof *build->out_layouts),
        .unneeded = assay_arena_array(arena, (size_t)node->n_inputs, sizeof *build->unneeded),
        .packed = assay_arena_array(arena, (size_t)node->n_inputs, sizeof *build->packed),
        .unmade = assay_arena_array(arena, (size_t)node->n_outputs, sizeof *build->unmade),
        .n_threads = program->n_threads,
        .isa = program->isa,
        .arena = arena,
        .special = s,
    };
}

void native_choose_kernel(struct native_program *program, struct native_special *s, const struct assay_node *node,
                          struct native_build *build)
{
    prepare_build(program, s, node, build);
    choose_kernel(build);
}
