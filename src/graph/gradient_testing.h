/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of gradients: any graph of f64 inputs, differentiated, against central differences of the same graph.
 *
 *     struct probe p;
 *     probe_init(&p, seed);
 *     int x = probe_input(&p, "2,3", -1, 1), y = probe_input(&p, "3", 0.5, 2);
 *     probe_output(&p, e_mul(&p.e, x, y));
 *     probe_check(&p);
 *     probe_release(&p);
 *
 * The loss is the sum of all outputs' elements times random numbers. Where ops of the domain "assay" were emitted, the graph is
 * also expanded into standard ops, which must give the same gradients.
 */
#ifndef ASSAY_GRAPH_GRADIENT_TESTING_H
#define ASSAY_GRAPH_GRADIENT_TESTING_H

#include "graph/gradient.h"
#include "graph/testing.h"

#include <math.h>

enum { PROBE_ROOM = 24, PROBE_ELEMENTS = 60 };

struct probe {
    struct assay_graph *graph;
    struct assay_emit e;
    struct assay_error err;
    struct assay_rng rng;
    uint64_t seed;
    int inputs[PROBE_ROOM], n_inputs; /* f64 inputs, in the order of the graph's */
    struct assay_tensor tensors[PROBE_ROOM];
    int losses[PROBE_ROOM], n_losses;
    double tolerance; /* of the largest gradient of the tensor; 1e-6 unless set */
};

static inline void probe_init(struct probe *p, uint64_t seed)
{
    *p = (struct probe){.graph = assay_graph_open("probe"), .seed = seed, .tolerance = 1e-6};
    p->e = assay_emit_make(p->graph, "", &p->err);
    assay_rng_init(&p->rng, seed, assay_rng_stream("probe"));
}

static inline void probe_release(struct probe *p)
{
    for (int i = 0; i < p->n_inputs; i++)
        assay_tensor_release(&p->tensors[i]);
    assay_graph_close(p->graph);
}

static inline double probe_random(struct probe *p, double low, double high)
{
    return low + (high - low) * ((double)assay_rng_below(&p->rng, 1u << 30) / (1u << 30));
}

static inline struct assay_type probe_type(enum assay_dtype dtype, const char *dims)
{
    struct assay_type type = {.dtype = dtype};
    for (char *at = (char *)dims; *at; at += *at == ',')
        type.dims[type.rank++] = strtoll(at, &at, 10);
    return type;
}

static inline struct assay_tensor probe_noise(struct probe *p, const struct assay_type *type, double low, double high)
{
    struct assay_tensor tensor;
    CHECK_OK(assay_tensor_alloc(&tensor, type, &p->err), p->err);
    for (int64_t i = 0; i < assay_tensor_count(&tensor); i++)
        assay_tensor_set_real(&tensor, i, probe_random(p, low, high));
    return tensor;
}

/* An f64 input of that shape ("2,3"; "" = a scalar), of random numbers, whose gradient is checked. */
static inline int probe_input(struct probe *p, const char *dims, double low, double high)
{
    struct assay_type type = probe_type(ASSAY_F64, dims);
    int value = assay_graph_add_value(p->graph, "x", &type);
    assay_graph_add_input(p->graph, value);
    p->tensors[p->n_inputs] = probe_noise(p, &type, low, high);
    p->inputs[p->n_inputs++] = value;
    return value;
}

/* A constant of given numbers: indices, lengths, masks. */
static inline int probe_constant(struct probe *p, enum assay_dtype dtype, const char *dims, const double *numbers)
{
    struct assay_type type = probe_type(dtype, dims);
    struct assay_tensor tensor;
    CHECK_OK(assay_tensor_alloc(&tensor, &type, &p->err), p->err);
    for (int64_t i = 0; i < assay_tensor_count(&tensor); i++)
        assay_tensor_set_real(&tensor, i, numbers[i]);
    int value = assay_graph_add_constant(p->graph, "c", &tensor);
    assay_tensor_release(&tensor);
    return value;
}

/* An output that the loss looks at. */
static inline void probe_output(struct probe *p, int value)
{
    struct assay_type type = *e_type(&p->e, value);
    CHECK_OK(p->e.status, p->err);
    struct assay_tensor weights = probe_noise(p, &type, -1, 1);
    int factor = assay_graph_add_constant(p->graph, "weights", &weights);
    assay_tensor_release(&weights);
    int product = e_mul(&p->e, value, factor);
    int sum = e_op(&p->e, "ReduceSum", E_VALUES(product));
    e_set_int(&p->e, "keepdims", 0);
    p->losses[p->n_losses++] = sum;
}

static inline double probe_loss(struct probe *p, const struct assay_graph *graph)
{
    struct assay_tensor outputs[PROBE_ROOM + 1] = {0};
    CHECK_OK(testing_run(graph, p->tensors, outputs, &p->err), p->err);
    double loss = assay_tensor_real(&outputs[0], 0);
    for (int i = 0; i <= PROBE_ROOM; i++)
        assay_tensor_release(&outputs[i]);
    return loss;
}

/* Central differences of the loss by the elements of input i, at most PROBE_ELEMENTS of them, against its gradient. */
static inline void probe_compare(struct probe *p, const struct assay_graph *forward, int i, const struct assay_tensor *gradient)
{
    int64_t n = assay_tensor_count(&p->tensors[i]), step = n / PROBE_ELEMENTS + 1;
    double worst = 0, largest = 1e-3;
    double *x = p->tensors[i].data;
    for (int64_t k = 0; k < n; k += step) {
        double at = x[k], h = 1e-5 * fmax(1, fabs(at));
        x[k] = at + h;
        double above = probe_loss(p, forward);
        x[k] = at - h;
        double below = probe_loss(p, forward), got = gradient ? assay_tensor_real(gradient, k) : 0;
        x[k] = at;
        largest = fmax(largest, fabs((above - below) / (2 * h)));
        worst = fmax(worst, fabs((above - below) / (2 * h) - got));
    }
    if (!(worst <= p->tolerance * largest)) {
        printf("seed %llu, input %d: off by %.3g, the largest being %.3g\n", (unsigned long long)p->seed, i, worst, largest);
        CHECK(worst <= p->tolerance * largest);
    }
}

static inline void probe_check(struct probe *p)
{
    CHECK_OK(assay_emit_finish(&p->e), p->err);
    int loss = p->n_losses == 1 ? p->losses[0] : e_op(&p->e, "Sum", p->n_losses, p->losses), gradients[PROBE_ROOM];
    CHECK_OK(assay_emit_finish(&p->e), p->err);
    assay_graph_add_output(p->graph, loss);
    CHECK_OK(assay_graph_sort(p->graph, &p->err), p->err);
    struct assay_graph *forward = assay_graph_clone(p->graph);
    CHECK_OK(assay_graph_differentiate(p->graph, loss, -1, p->n_inputs, p->inputs, gradients, &p->err), p->err);
    for (int i = 0; i < p->n_inputs; i++)
        if (gradients[i] >= 0)
            assay_graph_add_output(p->graph, gradients[i]);
    struct assay_graph *standard = assay_graph_clone(p->graph);
    CHECK_OK(assay_graph_expand(standard, NULL, &p->err), p->err);
    struct assay_tensor own[PROBE_ROOM + 1] = {0}, expanded[PROBE_ROOM + 1] = {0};
    CHECK_OK(testing_run(p->graph, p->tensors, own, &p->err), p->err);
    CHECK_OK(testing_run(standard, p->tensors, expanded, &p->err), p->err);
    for (int i = 0, k = 1; i < p->n_inputs; i++)
        probe_compare(p, forward, i, gradients[i] >= 0 ? &own[k++] : NULL);
    for (int k = 0; k < p->graph->n_outputs; k++) {
        struct assay_difference d = assay_tensor_compare(&expanded[k], &own[k], 0, 0);
        CHECK(d.same_type && d.max_rel < 1e-9);
        assay_tensor_release(&own[k]);
        assay_tensor_release(&expanded[k]);
    }
    assay_graph_close(forward);
    assay_graph_close(standard);
}

#endif
