/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of ops: one node with its inputs, run through assay_op_run as a runtime would.
 *
 *     struct fixture f;
 *     fixture_init(&f, "Add");
 *     fixture_input(&f, ASSAY_F32, "2,1", VALUES(1, 2));
 *     fixture_input(&f, ASSAY_F32, "2", VALUES(10, 20));
 *     CHECK_OK(fixture_run(&f), f.err);
 *     CHECK_RESULT(&f, 0, ASSAY_F32, "2,2", 0, 11, 21, 12, 22);
 *     fixture_release(&f);
 */
#ifndef ASSAY_GRAPH_OPS_FIXTURE_H
#define ASSAY_GRAPH_OPS_FIXTURE_H

#include "base/test.h"
#include "graph/op.h"

enum { FIXTURE_ROOM = 12 };

struct fixture {
    struct assay_arena scratch;
    struct assay_node node;
    struct assay_attr attrs[FIXTURE_ROOM];
    int input_numbers[FIXTURE_ROOM], output_numbers[FIXTURE_ROOM];
    struct assay_type inputs[FIXTURE_ROOM], outputs[FIXTURE_ROOM];
    struct assay_tensor tensors[FIXTURE_ROOM], results[FIXTURE_ROOM];
    const struct assay_tensor *data[FIXTURE_ROOM];
    struct assay_op_call call;
    struct assay_error err;
};

#define VALUES(...)                                                                                                              \
    (const double[]) { __VA_ARGS__ }
#define N_VALUES(...) (sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

/* A node of one output; an op of another domain has its domain set in f->node. */
static inline void fixture_init(struct fixture *f, const char *type)
{
    memset(f, 0, sizeof *f);
    assay_arena_init(&f->scratch);
    f->node = (struct assay_node){.name = "", .type = type, .domain = "", .n_outputs = 1};
    f->node.inputs = f->input_numbers;
    f->node.outputs = f->output_numbers;
    f->node.attrs = f->attrs;
}

static inline void fixture_release(struct fixture *f)
{
    for (int i = 0; i < FIXTURE_ROOM; i++) {
        assay_tensor_release(&f->tensors[i]);
        assay_tensor_release(&f->results[i]);
    }
    assay_arena_release(&f->scratch);
}

/* "2,3" -> rank 2; "" is a scalar; "?" is an unknown dimension. */
static inline struct assay_type fixture_type(enum assay_dtype dtype, const char *dims)
{
    struct assay_type type = {.dtype = dtype};
    for (const char *at = dims; *at;) {
        char *end = (char *)at + 1;
        type.dims[type.rank++] = *at == '?' ? -1 : strtoll(at, &end, 10);
        at = *end == ',' ? end + 1 : end;
    }
    return type;
}

/* The next input, its elements from a list of doubles. */
static inline void fixture_input(struct fixture *f, enum assay_dtype dtype, const char *dims, const double *values)
{
    int i = f->node.n_inputs++;
    struct assay_type type = fixture_type(dtype, dims);
    CHECK_OK(assay_tensor_alloc(&f->tensors[i], &type, &f->err), f->err);
    for (int64_t k = 0; k < assay_type_count(&type); k++)
        assay_tensor_set_real(&f->tensors[i], k, values[k]);
    f->input_numbers[i] = i;
    f->inputs[i] = type;
    f->data[i] = &f->tensors[i];
}

/* The next input, its elements as they lie in memory: for numbers that a double doesn't hold. */
static inline void fixture_input_bytes(struct fixture *f, enum assay_dtype dtype, const char *dims, const void *bytes)
{
    int i = f->node.n_inputs++;
    struct assay_type type = fixture_type(dtype, dims);
    CHECK_OK(assay_tensor_alloc(&f->tensors[i], &type, &f->err), f->err);
    memcpy(f->tensors[i].data, bytes, (size_t)assay_type_bytes(&type));
    f->input_numbers[i] = i;
    f->inputs[i] = type;
    f->data[i] = &f->tensors[i];
}

/* The next input is one that the node doesn't give. */
static inline void fixture_no_input(struct fixture *f)
{
    int i = f->node.n_inputs++;
    f->input_numbers[i] = -1;
    f->inputs[i] = (struct assay_type){.rank = -1};
}

/* The next input is of a type of which more or less is known, and of unknown contents: for fixture_infer. */
static inline void fixture_unknown_input(struct fixture *f, enum assay_dtype dtype, const char *dims)
{
    int i = f->node.n_inputs++;
    f->input_numbers[i] = i;
    f->inputs[i] = fixture_type(dtype, dims);
}

static inline struct assay_attr *fixture_attr(struct fixture *f, const char *name, enum assay_attr_kind kind)
{
    struct assay_attr *attr = &f->attrs[f->node.n_attrs++];
    *attr = (struct assay_attr){.name = name, .kind = kind, .n = 1};
    return attr;
}

static inline void fixture_int(struct fixture *f, const char *name, int64_t value)
{
    fixture_attr(f, name, ASSAY_ATTR_INT)->i = value;
}

static inline void fixture_float(struct fixture *f, const char *name, float value)
{
    fixture_attr(f, name, ASSAY_ATTR_FLOAT)->f = value;
}

static inline void fixture_string(struct fixture *f, const char *name, const char *value)
{
    struct assay_attr *attr = fixture_attr(f, name, ASSAY_ATTR_STRING);
    attr->s = value;
    attr->n = strlen(value);
}

/* The values stay the caller's. */
static inline void fixture_ints(struct fixture *f, const char *name, int64_t *values, size_t n)
{
    struct assay_attr *attr = fixture_attr(f, name, ASSAY_ATTR_INTS);
    attr->ints = values;
    attr->n = n;
}

static inline const struct assay_op *fixture_call(struct fixture *f)
{
    for (int i = 0; i < f->node.n_outputs; i++) {
        f->output_numbers[i] = f->output_numbers[i] < 0 ? -1 : FIXTURE_ROOM + i;
        f->outputs[i] = (struct assay_type){.rank = -1};
    }
    const struct assay_op *op = assay_op_find(f->node.domain, f->node.type);
    CHECK(op != NULL);
    f->node.op = op;
    f->call = (struct assay_op_call){
        .node = &f->node,
        .opset = ASSAY_OPSET,
        .n_inputs = f->node.n_inputs,
        .n_outputs = f->node.n_outputs,
        .inputs = f->inputs,
        .data = f->data,
        .outputs = f->outputs,
        .results = f->results,
        .scratch = &f->scratch,
    };
    return op;
}

/* May be called again with changed inputs or attributes: earlier results are released. */
static inline enum assay_status fixture_run(struct fixture *f)
{
    const struct assay_op *op = fixture_call(f);
    for (int i = 0; i < FIXTURE_ROOM; i++)
        assay_tensor_release(&f->results[i]);
    return assay_op_run(op, &f->call, &f->err);
}

static inline enum assay_status fixture_infer(struct fixture *f)
{
    const struct assay_op *op = fixture_call(f);
    return assay_op_infer(op, &f->call, &f->err);
}

/* NaN is near NaN, and an infinity near itself. */
static inline void fixture_check(const struct fixture *f, int i, enum assay_dtype dtype, const char *dims, double tolerance,
                                 const double *wanted, size_t n, const char *file, int line)
{
    const struct assay_tensor *got = &f->results[i];
    struct assay_type type = fixture_type(dtype, dims);
    char left[128], right[128];
    if (!got->data || !assay_type_equal(&got->type, &type)) {
        fprintf(stderr, "%s:%d: result %d is %s, wanted %s\n", file, line, i,
                got->data ? assay_type_text(&got->type, left, sizeof left) : "none", assay_type_text(&type, right, sizeof right));
        longjmp(assay_test_exit, ASSAY_TEST_FAILED);
    }
    CHECK_INT(n, assay_type_count(&type));
    for (size_t k = 0; k < n; k++) {
        double x = assay_tensor_real(got, (int64_t)k);
        if (x == wanted[k] || (isnan(x) && isnan(wanted[k])) || fabs(x - wanted[k]) <= tolerance)
            continue;
        fprintf(stderr, "%s:%d: result %d at %zu is %.17g, wanted %.17g within %g\n", file, line, i, k, x, wanted[k], tolerance);
        longjmp(assay_test_exit, ASSAY_TEST_FAILED);
    }
}
#define CHECK_RESULT(fixture, i, dtype, dims, tolerance, ...)                                                                    \
    fixture_check(fixture, i, dtype, dims, tolerance, VALUES(__VA_ARGS__), N_VALUES(__VA_ARGS__), __FILE__, __LINE__)

/* The error's status and a part of its sentence. */
#define CHECK_FAILS(call, wanted_status, f, part)                                                                                \
    do {                                                                                                                         \
        CHECK_INT(call, wanted_status);                                                                                          \
        CHECK_CONTAINS((f).err.message, part);                                                                                   \
    } while (0)

#endif
