/* SPDX-License-Identifier: Apache-2.0 */
/* See builder.h: scope, inputs, outputs, parameters. Ops are in builder_ops.c, layers in builder_layers.c. */
#include "model/builder.h"

#include "graph/gradient.h"

#include "graph/infer.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct b_alias {
    const char *alias, *target;
};

/* What the next run gets as its input. */
struct b_state {
    const char *input, *output;
    int value;
};

enum {
    POOL_COUNT = 1 << 18, /* random numbers that weights are cut from: timing doesn't depend on them */
    MOST_PARAMETERS = 1 << 16,
};
static const int64_t most_bytes = (int64_t)1 << 42; /* of one parameter */

static bool matches(const char *pattern, const char *name)
{
    const char *star = strchr(pattern, '*');
    if (!star)
        return strcmp(pattern, name) == 0;
    size_t n_before = (size_t)(star - pattern), n_behind = strlen(star + 1), n = strlen(name);
    return n >= n_before + n_behind && strncmp(pattern, name, n_before) == 0 && strcmp(name + n - n_behind, star + 1) == 0;
}

/* ---- life */

void assay_builder_init(struct assay_builder *b, const char *name, const struct assay_model_options *options,
                        struct assay_checkpoint *checkpoint, struct assay_error *err)
{
    *b = (struct assay_builder){.options = options, .checkpoint = checkpoint};
    b->emit = assay_emit_make(assay_graph_open(name), b->scope, err);
    assay_arena_init(&b->arena);
}

void assay_builder_release(struct assay_builder *b)
{
    assay_graph_close(b->emit.graph);
    assay_tensor_release(&b->zeros);
    free(b->random_pool);
    assay_arena_release(&b->arena);
    *b = (struct assay_builder){0};
}

int b_fail(struct assay_builder *b, enum assay_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int none = e_fail_args(&b->emit, status, format, args);
    va_end(args);
    return none;
}

/* Of what the sentence names in full. */
static int fail_plainly(struct assay_builder *b, enum assay_status status, const char *format, ...) ASSAY_PRINTF(3, 4);
static int fail_plainly(struct assay_builder *b, enum assay_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    b->emit.scope = "";
    int none = e_fail_args(&b->emit, status, format, args);
    b->emit.scope = b->scope;
    va_end(args);
    return none;
}

/* Tensors of the checkpoint that nothing was made of. */
static void check_surplus(struct assay_builder *b)
{
    const char *first = NULL;
    size_t n = 0;
    for (size_t i = 0; b->checkpoint && !b->options->allow_surplus && i < b->checkpoint->n; i++) {
        const char *name = b->checkpoint->entries[i]->name;
        bool known = b->checkpoint->used[i];
        for (size_t k = 0; k < b->n_ignored && !known; k++)
            known = matches(b->ignored[k], name);
        if (!known && n++ == 0)
            first = name;
    }
    if (n == 1)
        b_fail(b, ASSAY_INVALID, "the weights have a tensor '%s' that this architecture does not use", first);
    else if (n > 1)
        b_fail(b, ASSAY_INVALID, "the weights have %zu tensors that this architecture does not use, '%s' the first of them", n,
               first);
}

static void add_main_output(struct assay_builder *b, int value, const char *name);

static int position_of(const int *list, int n, int value)
{
    for (int i = 0; i < n; i++)
        if (list[i] == value)
            return i;
    return -1;
}

/* Behind the other main outputs; pairs are declared when every output has its place. */
static void add_states(struct assay_builder *b)
{
    for (size_t i = 0; i < b->n_states; i++)
        add_main_output(b, b->states[i].value, b->states[i].output);
    struct assay_graph *g = b->emit.graph;
    for (size_t i = 0; i < b->n_states && !b->emit.status; i++)
        assay_graph_add_state(g, position_of(g->outputs, g->n_outputs, assay_graph_find(g, b->states[i].output)),
                              position_of(g->inputs, g->n_inputs, assay_graph_find(g, b->states[i].input)));
}

/* Each input that the options name must be there. */
static void check_inputs(struct assay_builder *b)
{
    for (size_t i = 0; b->options->inputs && i < b->options->n_inputs; i++) {
        int value = assay_graph_find(b->emit.graph, b->options->inputs[i]);
        if (value < 0 || !b->emit.graph->values[value].is_input)
            b_fail(b, ASSAY_INVALID, "this architecture offers no input '%s'", b->options->inputs[i]);
    }
}

static void check_outputs(struct assay_builder *b)
{
    if (b->emit.graph->n_outputs == 0)
        b_fail(b, ASSAY_INVALID, "none of the outputs asked for is one that this architecture offers");
    for (size_t i = 0; i < b->options->n_outputs; i++) {
        const char *name = b->options->outputs[i];
        int value = assay_graph_find(b->emit.graph, name);
        if (!strchr(name, '*') && (value < 0 || !b->emit.graph->values[value].is_output))
            b_fail(b, ASSAY_INVALID, "this architecture offers no output '%s'", name);
    }
}

static void check_loss(struct assay_builder *b)
{
    int loss = b->options->training ? assay_graph_find(b->emit.graph, "loss") : 0;
    if (loss < 0 || (b->options->training && !b->emit.graph->values[loss].is_output))
        b_fail(b, ASSAY_UNSUPPORTED, "this architecture has no loss, so it cannot be trained");
}

/* Texts have USUAL_TOKENS where nobody says how many. How many a decoder with a cache takes at once, and after how many, is the
 * asker's to say. */
static void hint_lengths(struct assay_builder *b)
{
    enum { USUAL_TOKENS = 128 };
    static const char *const lengths[] = {"sequence", "decoder_sequence"};
    int64_t most = b->text_positions > 0 && b->text_positions < USUAL_TOKENS ? b->text_positions : USUAL_TOKENS;
    if (b->options->phase == ASSAY_PHASE_DECODE)
        return;
    for (size_t i = 0; i < ASSAY_COUNT(lengths); i++)
        for (int k = 0; k < b->emit.graph->n_inputs; k++) {
            const struct assay_value *v = &b->emit.graph->values[b->emit.graph->inputs[k]];
            for (int d = 0; v->dim_names && d < v->type.rank; d++)
                if (v->dim_names[d] && strcmp(v->dim_names[d], lengths[i]) == 0 &&
                    !assay_graph_metadata(b->emit.graph, "assay.dim.", lengths[i]))
                    b_hint_dim(b, lengths[i], most);
        }
}

enum assay_status assay_builder_finish(struct assay_builder *b, struct assay_graph **graph)
{
    *graph = NULL;
    ASSAY_ASSERT(b->emit.status || b->depth == 0);
    add_states(b);
    hint_lengths(b);
    check_inputs(b);
    check_outputs(b);
    check_surplus(b);
    check_loss(b);
    if (b->emit.status)
        return b->emit.status;
    assay_graph_sweep(b->emit.graph);
    b->emit.status = assay_graph_sort(b->emit.graph, b->emit.err);
    if (!b->emit.status)
        b->emit.status = assay_graph_infer(b->emit.graph, b->emit.err);
    if (!b->emit.status)
        b->emit.status = assay_graph_check(b->emit.graph, b->emit.err);
    if (b->emit.status)
        return b->emit.status;
    *graph = b->emit.graph;
    b->emit.graph = NULL;
    return ASSAY_OK;
}

/* ---- scope */

void b_enter(struct assay_builder *b, const char *format, ...)
{
    size_t end = strlen(b->scope);
    ASSAY_ASSERT(b->depth < B_MAX_DEPTH);
    b->scope_ends[b->depth++] = end;
    va_list args;
    va_start(args, format);
    char text[B_MAX_SCOPE];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool dot = end > 0 && *text;
    ASSAY_ASSERT(end + dot + strlen(text) < B_MAX_SCOPE);
    snprintf(b->scope + end, B_MAX_SCOPE - end, "%s%s", dot ? "." : "", text);
}

void b_leave(struct assay_builder *b)
{
    ASSAY_ASSERT(b->depth > 0);
    size_t end = b->scope_ends[--b->depth];
    /* A failure's sentence has been made by now; the scope may go on changing. */
    b->scope[end] = 0;
}

static const char *full_name(const struct assay_builder *b, const char *name, struct assay_arena *arena)
{
    return *b->scope ? assay_arena_printf(arena, "%s.%s", b->scope, name) : name;
}

/* ---- inputs */

static bool is_listed(const char *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

static int add_input(struct assay_builder *b, const char *name, enum assay_dtype dtype, const char *dims)
{
    if (b->emit.status)
        return -1;
    struct assay_type type = {.dtype = dtype};
    const char *symbols[ASSAY_MAX_RANK] = {0};
    char *list = assay_arena_strdup(&b->arena, dims), *rest = NULL;
    for (char *word = strtok_r(list, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        ASSAY_ASSERT(type.rank < ASSAY_MAX_RANK);
        bool number = isdigit((unsigned char)*word);
        type.dims[type.rank] = number ? strtoll(word, NULL, 10) : -1;
        symbols[type.rank++] = number ? NULL : word;
    }
    int value = assay_graph_add_value(b->emit.graph, name, &type);
    struct assay_value *v = &b->emit.graph->values[value];
    v->dim_names = assay_arena_array(&b->emit.graph->arena, ASSAY_MAX_RANK, sizeof *v->dim_names);
    for (int i = 0; i < type.rank; i++)
        v->dim_names[i] = symbols[i] ? assay_arena_strdup(&b->emit.graph->arena, symbols[i]) : NULL;
    assay_graph_add_input(b->emit.graph, value);
    return value;
}

int b_input(struct assay_builder *b, const char *name, enum assay_dtype dtype, const char *dims)
{
    if (b->options->inputs && !is_listed(b->options->inputs, b->options->n_inputs, name))
        return b_fail(b, ASSAY_INVALID, "this architecture needs the input '%s', which is not among those asked for", name);
    return add_input(b, name, dtype, dims);
}

int b_host_input(struct assay_builder *b, const char *name, enum assay_dtype dtype, const char *dims)
{
    return add_input(b, name, dtype, dims);
}

int b_input_optional(struct assay_builder *b, const char *name, bool by_default, enum assay_dtype dtype, const char *dims)
{
    bool wanted = b->options->inputs ? is_listed(b->options->inputs, b->options->n_inputs, name) : by_default;
    return wanted ? add_input(b, name, dtype, dims) : -1;
}

void b_hint_input(struct assay_builder *b, const char *name, const char *format, ...)
{
    char kind[128];
    va_list args;
    va_start(args, format);
    vsnprintf(kind, sizeof kind, format, args);
    va_end(args);
    assay_graph_add_metadata(b->emit.graph, assay_arena_printf(&b->arena, "assay.input.%s", name), kind);
}

void b_hint_dim(struct assay_builder *b, const char *name, int64_t size)
{
    const char *text = assay_arena_printf(&b->arena, "%lld", (long long)size);
    assay_graph_add_metadata(b->emit.graph, assay_arena_printf(&b->arena, "assay.dim.%s", name), text);
}

bool b_flag(const struct assay_builder *b, const char *name) { return is_listed(b->options->flags, b->options->n_flags, name); }

/* ---- outputs */

static bool is_wanted(const struct assay_builder *b, const char *name)
{
    for (size_t i = 0; i < b->options->n_outputs; i++)
        if (matches(b->options->outputs[i], name))
            return true;
    return false;
}

/* The value under that name; what already has a name that matters gets an Identity behind it. */
static void add_output(struct assay_builder *b, int value, const char *name)
{
    if (b->emit.status || value < 0)
        return;
    const struct assay_value *v = &b->emit.graph->values[value];
    if (v->is_output || v->is_input || v->constant.data)
        value = b_unary(b, "Identity", value);
    if (value < 0)
        return;
    int taken = assay_graph_find(b->emit.graph, name);
    if (taken >= 0 && taken != value) {
        b_fail(b, ASSAY_INVALID, "two values are named '%s'", name);
        return;
    }
    /* Its former name is its node's, so no other node may get it. */
    const char *former = assay_arena_strdup(&b->arena, b->emit.graph->values[value].name);
    assay_graph_rename(b->emit.graph, value, name);
    assay_graph_add_value(b->emit.graph, former, NULL);
    assay_graph_add_output(b->emit.graph, value);
}

/* Main outputs come before the others. */
static void add_main_output(struct assay_builder *b, int value, const char *name)
{
    int n_before = b->emit.graph->n_outputs;
    add_output(b, value, name);
    if (b->emit.graph->n_outputs == n_before)
        return;
    int *outputs = b->emit.graph->outputs, added = outputs[n_before];
    memmove(outputs + b->n_main + 1, outputs + b->n_main, (size_t)(n_before - b->n_main) * sizeof *outputs);
    outputs[b->n_main++] = added;
}

static const char *format_name(struct assay_builder *b, const char *format, va_list args)
{
    char text[256];
    vsnprintf(text, sizeof text, format, args);
    return assay_arena_strdup(&b->arena, text);
}

void b_output(struct assay_builder *b, int value, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *name = format_name(b, format, args);
    va_end(args);
    if (!b->options->only_those_outputs || is_wanted(b, name))
        add_main_output(b, value, name);
}

void b_output_optional(struct assay_builder *b, int value, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *name = format_name(b, format, args);
    va_end(args);
    if (is_wanted(b, name))
        add_output(b, value, name);
}

bool b_wants(struct assay_builder *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *name = format_name(b, format, args);
    va_end(args);
    return is_wanted(b, name);
}

/* Of what earlier runs left, and this one is to leave for the next. */
static int extend(struct assay_builder *b, int64_t i, const char *part, int64_t heads, int64_t head_dim, int x)
{
    const char *input = assay_arena_printf(&b->arena, "past_key_values.%lld.%s", (long long)i, part);
    const char *dims = assay_arena_printf(&b->arena, "batch %lld past_sequence %lld", (long long)heads, (long long)head_dim);
    x = b_concat(b, 2, B_VALUES(add_input(b, input, ASSAY_F32, dims), x));
    b->states = assay_arena_grow(&b->arena, b->states, b->n_states, b->n_states + 1, sizeof *b->states);
    b->states[b->n_states++] = (struct b_state){input, assay_arena_printf(&b->arena, "present.%lld.%s", (long long)i, part), x};
    return x;
}

void b_cache(struct assay_builder *b, int64_t i, int64_t heads, int64_t head_dim, int *key, int *value)
{
    *key = extend(b, i, "key", heads, head_dim, *key);
    *value = extend(b, i, "value", heads, head_dim, *value);
}

/* ---- parameters */

void b_tie(struct assay_builder *b, const char *alias, const char *target)
{
    b->aliases = assay_arena_grow(&b->arena, b->aliases, b->n_aliases, b->n_aliases + 1, sizeof *b->aliases);
    b->aliases[b->n_aliases++] = (struct b_alias){assay_arena_strdup(&b->arena, alias), assay_arena_strdup(&b->arena, target)};
}

void b_ignore(struct assay_builder *b, const char *pattern)
{
    b->ignored = assay_arena_grow(&b->arena, b->ignored, b->n_ignored, b->n_ignored + 1, sizeof *b->ignored);
    b->ignored[b->n_ignored++] = assay_arena_strdup(&b->arena, pattern);
}

/* In checkpoints made from TensorFlow's, norms have gamma and beta. */
static int64_t find_legacy(const struct assay_checkpoint *checkpoint, const char *name, struct assay_arena *arena)
{
    static const struct {
        const char *now, *then;
    } pairs[] = {{".weight", ".gamma"}, {".bias", ".beta"}};
    size_t n = strlen(name);
    for (size_t i = 0; i < ASSAY_COUNT(pairs); i++) {
        size_t m = strlen(pairs[i].now);
        if (n > m && strcmp(name + n - m, pairs[i].now) == 0)
            return assay_checkpoint_find(checkpoint, assay_arena_printf(arena, "%.*s%s", (int)(n - m), name, pairs[i].then));
    }
    return -1;
}

static int64_t find_tensor(struct assay_builder *b, const char *name)
{
    int64_t index = assay_checkpoint_find(b->checkpoint, name);
    return index >= 0 ? index : find_legacy(b->checkpoint, name, &b->arena);
}

bool b_has(const struct assay_builder *b, const char *name, bool otherwise)
{
    if (!b->checkpoint)
        return otherwise;
    struct assay_arena arena;
    assay_arena_init(&arena);
    const char *full = full_name(b, name, &arena);
    bool found = assay_checkpoint_find(b->checkpoint, full) >= 0 || find_legacy(b->checkpoint, full, &arena) >= 0;
    assay_arena_release(&arena);
    return found;
}

static void load(struct assay_builder *b, const char *name, const struct assay_type *type, struct assay_tensor *tensor)
{
    int64_t index = find_tensor(b, name);
    /* The name that the checkpoint kept of a tied pair is not always the one that Transformers writes. */
    for (size_t i = 0; i < b->n_aliases && index < 0; i++)
        if (strcmp(b->aliases[i].target, name) == 0)
            index = find_tensor(b, b->aliases[i].alias);
    if (index < 0) {
        fail_plainly(b, ASSAY_INVALID, "the weights have no tensor '%s'", name);
        return;
    }
    struct assay_tensor found;
    assay_checkpoint_take(b->checkpoint, index, &found);
    struct assay_type wanted = *type;
    wanted.dtype = found.type.dtype;
    if (!assay_type_equal(&found.type, &wanted)) {
        char a[200], c[200];
        fail_plainly(b, ASSAY_INVALID, "tensor '%s' is %s in the weights, but the config makes it %s", name,
                     assay_type_text(&found.type, a, sizeof a), assay_type_text(&wanted, c, sizeof c));
    } else if (!assay_dtype_is_float(found.type.dtype)) {
        fail_plainly(b, ASSAY_UNSUPPORTED, "tensor '%s' is of dtype %s, not a floating-point one", name,
                     assay_dtype_word(found.type.dtype));
    } else if (found.type.dtype == ASSAY_F32) {
        assay_tensor_share(tensor, &found);
    } else {
        struct assay_error err;
        if (assay_tensor_convert(tensor, &found, ASSAY_F32, &err))
            fail_plainly(b, err.status, "%s", err.message);
    }
    assay_tensor_release(&found);
}

struct mapped {
    void *data;
    size_t size_bytes;
};

static void release_map(void *context)
{
    struct mapped *map = context;
    munmap(map->data, map->size_bytes);
    free(map);
}

/* All declared weights borrow one map of zeros, of which no page is ever made. */
static void declare(struct assay_builder *b, const struct assay_type *type, struct assay_tensor *tensor)
{
    int64_t size = assay_type_bytes(type);
    if (!b->zeros.data || assay_tensor_bytes(&b->zeros) < size) {
        size_t room = (size_t)(size > 0 ? size : 1);
        void *data = mmap(NULL, room, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (data == MAP_FAILED) {
            fail_plainly(b, ASSAY_NO_MEMORY, "no address space for a tensor of %lld bytes", (long long)size);
            return;
        }
        struct mapped *map = assay_alloc(sizeof *map);
        *map = (struct mapped){data, room};
        struct assay_type bytes = assay_type_make(ASSAY_U8, 1, (const int64_t[]){(int64_t)room});
        assay_tensor_release(&b->zeros);
        assay_tensor_adopt(&b->zeros, &bytes, data, release_map, map);
    }
    assay_tensor_share(tensor, &b->zeros);
    tensor->type = *type;
}

/* How a parameter is made where there is no checkpoint, by its name and rank: norms 1, biases 0, matrices uniform with the
 * variance 1/fan_in that keeps the scale of what goes through, embeddings and tokens with a deviation of 0.02. */
static void scale_of(const char *name, const struct assay_type *type, float *scale, float *offset)
{
    const char *last = strrchr(name, '.');
    last = last ? last + 1 : name;
    bool is_weight = strcmp(last, "weight") == 0 || strcmp(last, "weight_g") == 0, is_table = strstr(name, "embed") != NULL;
    *scale = *offset = 0;
    if (strcmp(last, "running_var") == 0 || (is_weight && type->rank <= 1)) {
        *offset = 1;
    } else if (strcmp(last, "weight_g") == 0) {
        *offset = 1;
    } else if (type->rank >= 2 && !is_table) {
        double fan_in = (double)assay_type_count(type) / (double)(type->dims[0] > 0 ? type->dims[0] : 1);
        *scale = (float)sqrt(3.0 / (fan_in > 0 ? fan_in : 1));
    } else if (type->rank >= 2 || is_table) {
        *scale = (float)(0.02 * sqrt(3.0));
    }
}

static void fill_pool(struct assay_builder *b)
{
    struct assay_rng rng;
    assay_rng_init(&rng, b->options->seed, assay_rng_stream("weights"));
    b->random_pool = assay_alloc(POOL_COUNT * sizeof *b->random_pool);
    for (int i = 0; i < POOL_COUNT; i++)
        b->random_pool[i] = (float)(2 * assay_rng_uniform(&rng) - 1);
}

static void randomize(struct assay_builder *b, const char *name, const struct assay_type *type, struct assay_tensor *tensor)
{
    struct assay_error err;
    /* A system that lends more memory than it has would end the program later, without a sentence. */
    int64_t memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    b->random_bytes += assay_type_bytes(type);
    if (b->random_bytes > memory_bytes) {
        fail_plainly(b, ASSAY_NO_MEMORY, "its random weights would take more than the %.3g GiB of memory that are here",
                     (double)memory_bytes / (1 << 30));
        return;
    }
    if (assay_tensor_alloc(tensor, type, &err)) {
        fail_plainly(b, err.status, "%s: %s", name, err.message);
        return;
    }
    float scale, offset, *to = tensor->data;
    scale_of(name, type, &scale, &offset);
    scale *= b->random_gain ? (float)b->random_gain : 1;
    if (!b->random_pool)
        fill_pool(b);
    size_t at = (size_t)(assay_rng_stream(name) % POOL_COUNT);
    for (int64_t i = 0, n = assay_type_count(type); i < n; i++) {
        to[i] = offset + scale * b->random_pool[at];
        at = at + 1 == POOL_COUNT ? 0 : at + 1;
    }
}

/* A tied name's own place in the checkpoint counts as used. */
static const char *resolve(struct assay_builder *b, const char *name)
{
    for (size_t i = 0; i < b->n_aliases; i++) {
        if (strcmp(b->aliases[i].alias, name) != 0)
            continue;
        int64_t index = b->checkpoint ? assay_checkpoint_find(b->checkpoint, name) : -1;
        if (index >= 0)
            b->checkpoint->used[index] = true;
        return b->aliases[i].target;
    }
    return name;
}

static bool is_frozen(const struct assay_builder *b, const char *name)
{
    for (size_t i = 0; i < b->n_frozen; i++)
        if (matches(b->frozen[i], name))
            return true;
    return false;
}

static int parameter(struct assay_builder *b, const char *name, size_t rank, const int64_t *dims, bool counts)
{
    if (b->emit.status)
        return -1;
    name = resolve(b, full_name(b, name, &b->arena));
    struct assay_type type = assay_type_make(ASSAY_F32, (int)rank, dims);
    int known = assay_graph_find(b->emit.graph, name);
    if (known >= 0) {
        struct assay_type had = b->emit.graph->values[known].type;
        return assay_type_equal(&had, &type) ? known : fail_plainly(b, ASSAY_INVALID, "'%s' is used with two shapes", name);
    }
    for (size_t i = 0; i < rank; i++)
        if (dims[i] < 0)
            return fail_plainly(b, ASSAY_INVALID, "the config makes dimension %zu of '%s' negative", i, name);
    int64_t size = assay_type_bytes(&type);
    if (size < 0 || size > most_bytes || b->emit.graph->n_values > 8 * MOST_PARAMETERS)
        return fail_plainly(b, ASSAY_INVALID, "the config makes '%s' larger than any model that is known", name);
    struct assay_tensor tensor = {0};
    if (b->checkpoint)
        load(b, name, &type, &tensor);
    else if (b->options->weights >= ASSAY_WEIGHTS_FILE_OR_DECLARED)
        declare(b, &type, &tensor);
    else
        randomize(b, name, &type, &tensor);
    int value = -1;
    if (!b->emit.status) {
        value = assay_graph_add_constant(b->emit.graph, name, &tensor);
        b->n_parameters += counts ? assay_type_count(&type) : 0;
        if (counts && b->options->training)
            assay_graph_add_metadata(b->emit.graph, assay_arena_printf(&b->arena, "%s%s", ASSAY_TRAINING_PARAMETER, name),
                                     is_frozen(b, name) ? "frozen" : "trained");
    }
    assay_tensor_release(&tensor);
    return value;
}

int b_param(struct assay_builder *b, const char *name, size_t rank, const int64_t *dims)
{
    return parameter(b, name, rank, dims, true);
}

int b_buffer(struct assay_builder *b, const char *name, size_t rank, const int64_t *dims)
{
    return parameter(b, name, rank, dims, false);
}

/* ---- training: what needs the builder's insides; the rest is in builder_training.c */

void b_freeze(struct assay_builder *b, const char *pattern)
{
    const char *full = assay_arena_strdup(&b->arena, full_name(b, pattern, &b->arena));
    b->frozen = assay_arena_grow(&b->arena, b->frozen, b->n_frozen, b->n_frozen + 1, sizeof *b->frozen);
    b->frozen[b->n_frozen++] = full;
}

void b_update(struct assay_builder *b, int buffer, int next)
{
    if (!b->options->training || b->emit.status)
        return;
    const char *name = b->emit.graph->values[buffer].name, *output = assay_arena_printf(&b->arena, "next.%s", name);
    add_output(b, next, output);
    assay_graph_add_metadata(b->emit.graph, assay_arena_printf(&b->arena, "%s%s", ASSAY_TRAINING_UPDATE, output), name);
}
