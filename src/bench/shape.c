/* SPDX-License-Identifier: Apache-2.0 */
/* See shape.h. */
#include "bench/shape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *assay_entry_find(const struct assay_text_list *entries, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < entries->n; i++)
        if (strncmp(entries->items[i], name, length) == 0 && entries->items[i][length] == '=')
            return entries->items[i] + length + 1;
    return NULL;
}

struct assay_open_inputs assay_shape_inputs(const struct assay_graph *graph, struct assay_arena *arena)
{
    struct assay_open_inputs inputs = {assay_arena_array(arena, (size_t)graph->n_inputs, sizeof *inputs.items),
                                       (size_t)graph->n_inputs, graph->name};
    for (size_t i = 0; i < inputs.n; i++)
        inputs.items[i] = (struct assay_open_input){graph, graph->inputs[i], &graph->values[graph->inputs[i]]};
    return inputs;
}

static const char *input_name(const struct assay_open_input *input) { return input->graph->values[input->value].name; }

enum assay_status assay_shape_check_inputs(const struct assay_text_list *entries, const char *option,
                                           const struct assay_open_inputs *inputs, struct assay_error *err)
{
    for (size_t i = 0; i < entries->n; i++) {
        size_t length = strcspn(entries->items[i], "=");
        bool found = false;
        for (size_t k = 0; k < inputs->n && !found; k++) {
            const char *name = input_name(&inputs->items[k]);
            found = strlen(name) == length && strncmp(name, entries->items[i], length) == 0;
        }
        if (!found)
            return assay_error_set(err, ASSAY_INVALID, "--%s '%s': model '%s' has no input '%.*s'; its first is '%s'", option,
                                   entries->items[i], inputs->model, (int)length, entries->items[i],
                                   inputs->n ? input_name(&inputs->items[0]) : "");
    }
    return ASSAY_OK;
}

static enum assay_status parse_dim(const char *text, char **end, int64_t batch, int64_t *value, bool *is_batch,
                                   struct assay_error *err)
{
    if (*text == 'N') {
        *value = batch;
        *is_batch = true;
        *end = (char *)text + 1;
        return ASSAY_OK;
    }
    errno = 0;
    *value = strtoll(text, end, 10);
    if (*end == text || errno || *value < 0 || *value > ASSAY_MAX_DIM)
        return assay_error_set(err, ASSAY_INVALID, "'%s' is no dimension: a number up to %d, or N for the batch", text,
                               ASSAY_MAX_DIM);
    return ASSAY_OK;
}

/* "1x3x640x640" over what the model declares; a scalar is the empty text. */
static enum assay_status apply_shape(const char *input, const char *text, int64_t batch, struct assay_type *type, bool *is_batch,
                                     struct assay_error *err)
{
    int rank = 0;
    char *p = (char *)text;
    while (*p) {
        int64_t value = 0;
        enum assay_status st = rank < ASSAY_MAX_RANK
                                   ? parse_dim(p, &p, batch, &value, is_batch, err)
                                   : assay_error_set(err, ASSAY_INVALID, "it has more than %d dimensions", ASSAY_MAX_RANK);
        if (!st && *p != 'x' && *p != 0)
            st = assay_error_set(err, ASSAY_INVALID, "dimensions are separated by x");
        if (st)
            return assay_error_prefix(err, st, "--shape %s=%s", input, text);
        if (type->rank >= 0 && rank < type->rank && type->dims[rank] >= 0 && type->dims[rank] != value)
            return assay_error_set(err, ASSAY_INVALID, "--shape %s=%s: the model fixes dimension %d at %lld", input, text, rank,
                                   (long long)type->dims[rank]);
        if (type->rank < 0 || rank < type->rank)
            type->dims[rank] = value;
        rank++;
        if (*p == 'x' && p[1] == 0)
            return assay_error_set(err, ASSAY_INVALID, "--shape %s=%s ends in x", input, text);
        p += *p == 'x';
    }
    if (type->rank >= 0 && rank != type->rank)
        return assay_error_set(err, ASSAY_INVALID, "--shape %s=%s has %d dimensions, the model's input has %d", input, text, rank,
                               type->rank);
    type->rank = rank;
    return ASSAY_OK;
}

static bool called_batch(const char *name)
{
    return name && (strcasestr(name, "batch") || strcmp(name, "N") == 0 || strcmp(name, "n") == 0);
}

/* The name of a dimension; NULL if it has none. */
static const char *symbol(const struct assay_open_input *input, int d)
{
    return input->like->dim_names && d < input->like->type.rank ? input->like->dim_names[d] : NULL;
}

enum assay_status assay_shape_check_dims(const struct assay_text_list *dims, const struct assay_open_inputs *inputs,
                                         struct assay_error *err)
{
    for (size_t i = 0; i < dims->n; i++) {
        size_t length = strcspn(dims->items[i], "=");
        bool found = false;
        for (size_t k = 0; k < inputs->n && !found; k++)
            for (int d = 0; d < inputs->items[k].like->type.rank && !found; d++) {
                const char *name = symbol(&inputs->items[k], d);
                found = name && strlen(name) == length && memcmp(name, dims->items[i], length) == 0;
            }
        if (!found)
            return assay_error_set(err, ASSAY_INVALID, "--dim %s: model '%s' has no dimension of that name", dims->items[i],
                                   inputs->model);
    }
    return ASSAY_OK;
}

/* The size that the graph's metadata hints at; -1 if it doesn't. */
static int64_t hinted(const struct assay_graph *graph, const char *name)
{
    const char *hint = graph && name ? assay_graph_metadata(graph, "assay.dim.", name) : NULL;
    int64_t size = hint ? strtoll(hint, NULL, 10) : 0;
    return size > 0 && size <= ASSAY_MAX_DIM ? size : -1;
}

/* Whether the model leaves this dimension to the batch. */
static bool is_of_batch(const struct assay_value *input, int d)
{
    return called_batch(input->dim_names ? input->dim_names[d] : NULL) || (d == 0 && input->type.rank > 1);
}

/* --shape x=2x3 at a batch of 2 is --shape x=Nx3, where the model leaves the first dimension open. */
static bool says_batch(const struct assay_shape_request *request, const struct assay_value *input, const struct assay_type *type)
{
    for (int d = 0; d < input->type.rank; d++)
        if (input->type.dims[d] < 0 && type->dims[d] == request->batch && is_of_batch(input, d))
            return true;
    return false;
}

/* What --shape leaves open: --dim, then the batch, then hints. */
static enum assay_status bind_open(const struct assay_shape_request *request, const struct assay_value *input,
                                   struct assay_type *type, bool *follows_batch, struct assay_error *err)
{
    for (int d = 0; d < type->rank; d++) {
        const char *name = input->dim_names ? input->dim_names[d] : NULL;
        const char *given = name ? assay_entry_find(&request->dims, name) : NULL;
        if (type->dims[d] >= 0)
            continue;
        if (given) {
            char *end;
            errno = 0;
            type->dims[d] = strtoll(given, &end, 10);
            if (end == given || *end || errno || type->dims[d] < 0 || type->dims[d] > ASSAY_MAX_DIM)
                return assay_error_set(err, ASSAY_INVALID, "--dim %s=%s: '%s' is no number up to %d", name, given, given,
                                       ASSAY_MAX_DIM);
        } else if (is_of_batch(input, d)) {
            type->dims[d] = request->batch;
            *follows_batch = true;
        } else {
            type->dims[d] = hinted(request->graph, name);
        }
    }
    return ASSAY_OK;
}

enum assay_status assay_shape_bind(const struct assay_shape_request *request, const struct assay_value *input,
                                   struct assay_type *type, bool *follows_batch, struct assay_error *err)
{
    const char *shape = assay_entry_find(&request->shapes, input->name);
    *type = input->type;
    enum assay_status st = shape ? apply_shape(input->name, shape, request->batch, type, follows_batch, err) : ASSAY_OK;
    if (!st && says_batch(request, input, type))
        *follows_batch = true;
    if (!st)
        st = bind_open(request, input, type, follows_batch, err);
    for (int d = 0; !st && d < input->type.rank; d++)
        if (input->type.dims[d] < 0 && type->dims[d] == 0 && is_of_batch(input, d))
            st =
                assay_error_set(err, ASSAY_INVALID, "the batch of input '%s' is 0: a run needs at least one sample", input->name);
    return st;
}

/* What another input says of the dimension `name`; -1 if none does. */
static int64_t said_elsewhere(const struct assay_open_inputs *inputs, const struct assay_type *types, const char *name)
{
    for (size_t i = 0; i < inputs->n; i++)
        for (int d = 0; d < types[i].rank; d++) {
            const char *other = symbol(&inputs->items[i], d);
            if (other && types[i].dims[d] >= 0 && strcmp(other, name) == 0)
                return types[i].dims[d];
        }
    return -1;
}

enum assay_status assay_shape_bind_all(const struct assay_shape_request *request, const struct assay_open_inputs *inputs,
                                       int64_t length, struct assay_type *types, bool *follows_batch, struct assay_error *err)
{
    struct assay_shape_request said = *request;
    said.graph = NULL;
    for (size_t i = 0; i < inputs->n; i++) {
        const struct assay_open_input *input = &inputs->items[i];
        enum assay_status st = assay_shape_bind(&said, &input->graph->values[input->value], &types[i], follows_batch, err);
        if (st)
            return st;
    }
    for (size_t i = 0; i < inputs->n; i++)
        for (int d = 0; d < types[i].rank; d++) {
            const char *name = symbol(&inputs->items[i], d);
            if (types[i].dims[d] >= 0 || !name)
                continue;
            types[i].dims[d] = said_elsewhere(inputs, types, name);
            if (types[i].dims[d] < 0)
                types[i].dims[d] = hinted(inputs->items[i].graph, name);
            if (types[i].dims[d] < 0 && length > 0 && strstr(name, "sequence"))
                types[i].dims[d] = length;
        }
    return ASSAY_OK;
}

bool assay_shape_is_whole(const struct assay_type *type)
{
    for (int d = 0; d < type->rank; d++)
        if (type->dims[d] < 0)
            return false;
    return type->rank >= 0;
}

const char *assay_shape_hint(const struct assay_type *type, struct assay_arena *arena)
{
    const char *text = "";
    for (int d = 0; d < type->rank; d++)
        text = type->dims[d] >= 0 ? assay_arena_printf(arena, "%s%s%lld", text, d ? "x" : "", (long long)type->dims[d])
                                  : assay_arena_printf(arena, "%s%s?", text, d ? "x" : "");
    return text;
}
