/* SPDX-License-Identifier: Apache-2.0 */
/* See inputs.h. */
#include "bench/inputs.h"

#include "base/rng.h"
#include "graph/onnx.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- guessing */

static bool name_has(const char *name, const char *part) { return strcasestr(name, part) != NULL; }

/* The number of rows of the constant table that `value` indexes through a Gather, 0 if there is none. */
static int64_t table_rows(const struct assay_graph *graph, int value)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        if (strcmp(node->type, "Gather") != 0 || node->n_inputs < 2 || node->inputs[1] != value || node->inputs[0] < 0)
            continue;
        const struct assay_tensor *table = &graph->values[node->inputs[0]].constant;
        if (table->data && table->type.rank == 2 && assay_node_int(node, "axis", 0) == 0)
            return table->type.dims[0];
    }
    return 0;
}

const char *assay_input_guess(const struct assay_graph *graph, int value, struct assay_arena *arena)
{
    const struct assay_value *v = &graph->values[value];
    const char *hint = assay_graph_metadata(graph, "assay.input.", v->name);
    if (hint && strncmp(hint, "file", 4) != 0) /* no model chooses which files are read */
        return assay_arena_strdup(arena, hint);
    if (v->type.dtype == ASSAY_BOOL || name_has(v->name, "mask"))
        return "mask";
    bool is_picture =
        v->type.rank == 4 && (v->type.dims[1] == 3 || v->type.dims[1] == 1 || v->type.dims[3] == 3 || v->type.dims[3] == 1);
    if (v->type.dtype == ASSAY_U8 && is_picture)
        return "image";
    if (assay_dtype_is_integer(v->type.dtype)) {
        if (name_has(v->name, "token_type") || name_has(v->name, "segment"))
            return "zeros";
        if (name_has(v->name, "position"))
            return "range";
        int64_t rows = table_rows(graph, value);
        return rows > 0 ? assay_arena_printf(arena, "tokens:%lld", (long long)rows) : v->type.rank == 0 ? "ones" : "tokens:2";
    }
    if (is_picture)
        return "image";
    if (name_has(v->name, "audio") || name_has(v->name, "wave") || name_has(v->name, "speech"))
        return "audio";
    if (name_has(v->name, "state") || name_has(v->name, "past") || name_has(v->name, "hidden"))
        return "zeros";
    return "normal";
}

/* ---- making; each fills doubles in order and stores them in the tensor's dtype */

struct maker {
    struct assay_tensor *tensor;
    struct assay_rng rng;
    int64_t n, last; /* elements; length of the last dimension */
    double number;   /* after the colon of the kind */
    double second;   /* after another colon */
};

static void make_normal(struct maker *m)
{
    for (int64_t i = 0; i < m->n; i++)
        assay_tensor_set_real(m->tensor, i, assay_rng_normal(&m->rng));
}

static void make_uniform(struct maker *m)
{
    for (int64_t i = 0; i < m->n; i++)
        assay_tensor_set_real(m->tensor, i, assay_rng_uniform(&m->rng));
}

static void make_tokens(struct maker *m)
{
    for (int64_t i = 0; i < m->n; i++)
        assay_tensor_set_real(m->tensor, i, (double)assay_rng_below(&m->rng, (uint64_t)m->number));
}

static void make_prompt(struct maker *m)
{
    for (int64_t i = 0; i < m->n; i++) {
        double token = (double)assay_rng_below(&m->rng, (uint64_t)m->number - 1);
        assay_tensor_set_real(m->tensor, i, i % m->last == 0 ? m->second : token + (token >= m->second));
    }
}

static void make_constant(struct maker *m)
{
    for (int64_t i = 0; i < m->n; i++)
        assay_tensor_set_real(m->tensor, i, m->number);
}

static void make_range(struct maker *m)
{
    for (int64_t i = 0; i < m->n; i++)
        assay_tensor_set_real(m->tensor, i, (double)(i % m->last));
}

/* Bilinear interpolation of an 8 × 8 grid of random levels over each plane, plus 5 % noise; integers get 0 to 255. */
static void make_image(struct maker *m)
{
    enum { GRID = 8 };
    const struct assay_type *type = &m->tensor->type;
    int64_t width = m->last, height = type->rank > 1 ? type->dims[type->rank - 2] : 1;
    double scale = assay_dtype_is_float(type->dtype) ? 1 : 127.5, shift = scale == 1 ? 0 : scale;
    for (int64_t plane = 0; plane < m->n / (width * height); plane++) {
        double grid[GRID + 1][GRID + 1];
        for (int y = 0; y <= GRID; y++)
            for (int x = 0; x <= GRID; x++)
                grid[y][x] = 1.9 * assay_rng_uniform(&m->rng) - 0.95;
        for (int64_t i = 0; i < width * height; i++) {
            double fy = (double)(i / width) / (double)height * GRID, fx = (double)(i % width) / (double)width * GRID;
            int y = (int)fy, x = (int)fx;
            fy -= y, fx -= x;
            double level = (grid[y][x] * (1 - fx) + grid[y][x + 1] * fx) * (1 - fy) +
                           (grid[y + 1][x] * (1 - fx) + grid[y + 1][x + 1] * fx) * fy;
            level += 0.05 * (2 * assay_rng_uniform(&m->rng) - 1);
            assay_tensor_set_real(m->tensor, plane * width * height + i, level * scale + shift);
        }
    }
}

/* For each row of the last dimension: four sines of random pitch (80 Hz to 4 kHz at 16 kHz) and phase, amplitude 0.2 each, and
 * noise. */
static void make_audio(struct maker *m)
{
    for (int64_t row = 0; row < m->n / m->last; row++) {
        double step[4], phase[4];
        for (int k = 0; k < 4; k++) {
            step[k] = 2 * M_PI * 80 * pow(50, assay_rng_uniform(&m->rng)) / 16000;
            phase[k] = 2 * M_PI * assay_rng_uniform(&m->rng);
        }
        for (int64_t i = 0; i < m->last; i++) {
            double x = 0.1 * (2 * assay_rng_uniform(&m->rng) - 1);
            for (int k = 0; k < 4; k++)
                x += 0.2 * sin(step[k] * (double)i + phase[k]);
            assay_tensor_set_real(m->tensor, row * m->last + i, x);
        }
    }
}

static const struct input_kind {
    const char *name;
    void (*make)(struct maker *);
    int n_numbers; /* "name:NUMBER", "name:NUMBER:NUMBER" */
    double number; /* otherwise */
    bool floats_only;
} kinds[] = {
    {"normal", make_normal, 0, 0, true},      {"uniform", make_uniform, 0, 0, true}, {"image", make_image, 0, 0, false},
    {"audio", make_audio, 0, 0, true},        {"tokens", make_tokens, 1, 0, false},  {"prompt", make_prompt, 2, 0, false},
    {"mask", make_constant, 0, 1, false},     {"zeros", make_constant, 0, 0, false}, {"ones", make_constant, 0, 1, false},
    {"constant", make_constant, 1, 0, false}, {"range", make_range, 0, 0, false},
};

static enum assay_status from_file(const struct assay_case_input *input, const char *path, struct assay_tensor *tensor,
                                   struct assay_error *err)
{
    enum assay_status st = assay_onnx_load_tensor(path, tensor, err);
    if (st)
        return st;
    if (assay_type_equal(&tensor->type, &input->type))
        return ASSAY_OK;
    char has[128], wants[128];
    st = assay_error_set(err, ASSAY_INVALID, "%s holds %s, but input '%s' takes %s", path,
                         assay_type_text(&tensor->type, has, sizeof has), input->name,
                         assay_type_text(&input->type, wants, sizeof wants));
    assay_tensor_release(tensor);
    return st;
}

enum assay_status assay_input_make(const struct assay_case_input *input, uint64_t seed, struct assay_tensor *tensor,
                                   struct assay_error *err)
{
    const char *colon = strchr(input->kind, ':');
    size_t length = colon ? (size_t)(colon - input->kind) : strlen(input->kind);
    if (colon && strncmp(input->kind, "file", length) == 0)
        return from_file(input, colon + 1, tensor, err);
    const struct input_kind *kind = NULL;
    for (size_t i = 0; i < ASSAY_COUNT(kinds); i++)
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, input->kind, length) == 0)
            kind = &kinds[i];
    if (!kind || (kind->n_numbers > 0) != (colon != NULL))
        return assay_error_set(err, ASSAY_INVALID,
                               "input '%s': '%s' is no kind of input; there are normal, uniform, image, audio, tokens:N, "
                               "prompt:N:I, mask, zeros, ones, constant:X, range and file:PATH",
                               input->name, input->kind);
    struct maker m = {
        .tensor = tensor, .number = kind->number, .last = input->type.rank ? input->type.dims[input->type.rank - 1] : 1};
    if (colon) {
        char *end;
        m.number = strtod(colon + 1, &end);
        bool fine = end != colon + 1 && isfinite(m.number);
        if (fine && kind->n_numbers == 2) {
            const char *second = *end == ':' ? end + 1 : "";
            m.second = strtod(second, &end);
            fine = end != second && m.second >= 0 && m.second < m.number && m.number >= 2;
        }
        if (!fine || *end || ((kind->make == make_tokens || kind->make == make_prompt) && !(m.number >= 1 && m.number <= 0x1p53)))
            return assay_error_set(err, ASSAY_INVALID, "input '%s': '%s' is no number that %s takes", input->name, colon + 1,
                                   kind->name);
    }
    if (kind->floats_only && !assay_dtype_is_float(input->type.dtype))
        return assay_error_set(err, ASSAY_INVALID, "input '%s' is %s, which cannot be '%s'", input->name,
                               assay_dtype_word((int)input->type.dtype), kind->name);
    enum assay_status st = assay_tensor_alloc(tensor, &input->type, err);
    if (st)
        return st;
    m.n = assay_tensor_count(tensor);
    assay_rng_init(&m.rng, seed, assay_rng_stream(input->name));
    if (m.n)
        kind->make(&m);
    return ASSAY_OK;
}
