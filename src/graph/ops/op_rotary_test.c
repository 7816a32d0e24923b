/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding. Oracle: turning complex numbers. */
#include "graph/gradient_testing.h"
#include "graph/passes/testing.h"

#include <math.h>

enum { BATCH = 2, HEADS = 3, LENGTH = 4, D = 6 };

/* Angle of pair i at a place. */
static double angle(int b, int t, int i) { return 0.3 * b + 0.7 * t + 0.11 * i; }

static int table(struct assay_graph *g, const char *name, int half, bool by_position, double (*f)(double))
{
    double values[BATCH * LENGTH * D];
    for (int b = 0; b < BATCH; b++)
        for (int t = 0; t < LENGTH; t++)
            for (int i = 0; i < half; i++)
                values[(b * LENGTH + t) * half + i] = f(angle(b, t, i));
    int flat = testing_constant(g, name, ASSAY_F32, values, BATCH * LENGTH * half);
    return by_position ? testing_reshape(g, flat, DIMS(BATCH * LENGTH, half))
                       : testing_reshape(g, flat, DIMS(BATCH, LENGTH, half));
}

static void check(bool flat, bool interleaved, int turned, bool by_position)
{
    struct assay_graph *g = assay_graph_open("g");
    struct assay_error err;
    int half = (turned ? turned : D) / 2;
    int x = flat ? testing_input(g, "x", ASSAY_F32, DIMS(BATCH, LENGTH, HEADS * D))
                 : testing_input(g, "x", ASSAY_F32, DIMS(BATCH, HEADS, LENGTH, D));
    int c = table(g, "cos", half, by_position, cos), s = table(g, "sin", half, by_position, sin);
    int places = testing_reshape(g, testing_constant(g, "places", ASSAY_I64, (const double[]){0, 1, 2, 3, 4, 5, 6, 7}, 8),
                                 DIMS(BATCH, LENGTH));
    assay_graph_add_output(g, testing_node(g, "RotaryEmbedding", by_position ? 4 : 3, (int[]){x, c, s, places}, "y"));
    assay_node_set_int(g, testing_last(g), "interleaved", interleaved);
    assay_node_set_int(g, testing_last(g), "rotary_embedding_dim", turned);
    assay_node_set_int(g, testing_last(g), "num_heads", HEADS);
    struct assay_tensor in = testing_noise(&g->values[x].type, 3), out;
    CHECK_OK(testing_run(g, &in, &out, &err), err);
    for (int b = 0; b < BATCH; b++)
        for (int h = 0; h < HEADS; h++)
            for (int t = 0; t < LENGTH; t++) {
                int at = flat ? ((b * LENGTH + t) * HEADS + h) * D : ((b * HEADS + h) * LENGTH + t) * D;
                for (int i = 0; i < half; i++) {
                    int first = at + (interleaved ? 2 * i : i), second = interleaved ? first + 1 : first + half;
                    double re = assay_tensor_real(&in, first), im = assay_tensor_real(&in, second), a = angle(b, t, i);
                    CHECK_NEAR(assay_tensor_real(&out, first), re * cos(a) - im * sin(a), 1e-6);
                    CHECK_NEAR(assay_tensor_real(&out, second), im * cos(a) + re * sin(a), 1e-6);
                }
                for (int i = 2 * half; i < D; i++)
                    CHECK_NEAR(assay_tensor_real(&out, at + i), assay_tensor_real(&in, at + i), 0);
            }
    assay_tensor_release(&in);
    assay_tensor_release(&out);
    assay_graph_close(g);
}

ASSAY_TEST(pairs_are_turned_by_their_angles)
{
    for (int which = 0; which < 16; which++)
        check(which & 1, which & 2, which & 4 ? 4 : 0, which & 8);
}

ASSAY_TEST(what_does_not_fit_is_refused)
{
    struct assay_graph *g = assay_graph_open("g");
    struct assay_error err;
    int x = testing_input(g, "x", ASSAY_F32, DIMS(2, 3, 10)), c = testing_input(g, "c", ASSAY_F32, DIMS(2, 3, 3));
    assay_graph_add_output(g, testing_node(g, "RotaryEmbedding", NUMBERS(x, c, c), "y"));
    CHECK_INT(assay_graph_infer(g, &err), ASSAY_INVALID);
    assay_node_set_int(g, testing_last(g), "num_heads", 2); /* 5 numbers do not pair */
    CHECK_INT(assay_graph_infer(g, &err), ASSAY_INVALID);
    assay_node_set_int(g, testing_last(g), "rotary_embedding_dim", 4);
    CHECK_INT(assay_graph_infer(g, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "angles");
    assay_graph_close(g);
}

ASSAY_TEST(rotations_have_gradients)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct probe p;
        probe_init(&p, seed);
        bool flat = seed & 1, by_position = seed & 2, part = seed & 4;
        double cosines[24], sines[24], positions[] = {3, 1, 0, 0, 2, 3};
        for (int i = 0; i < 24; i++) {
            cosines[i] = cos(i * 0.7);
            sines[i] = sin(i * 0.7);
        }
        const char *table = part ? by_position ? "4,1" : "2,3,1" : by_position ? "4,2" : "2,3,2";
        int x = probe_input(&p, flat ? "2,3,8" : "2,2,3,4", -1, 1);
        int cosine = probe_constant(&p, ASSAY_F64, table, cosines), sine = probe_constant(&p, ASSAY_F64, table, sines);
        int places = by_position ? probe_constant(&p, ASSAY_I64, "2,3", positions) : -1;
        int y = e_op(&p.e, "RotaryEmbedding", E_VALUES(x, cosine, sine, places));
        e_set_int(&p.e, "num_heads", flat ? 2 : 0);
        e_set_int(&p.e, "interleaved", (int64_t)(seed / 3 % 2));
        e_set_int(&p.e, "rotary_embedding_dim", part ? 2 : 0);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(pairs_are_turned_by_their_angles), ASSAY_TEST_ENTRY(what_does_not_fit_is_refused),
                ASSAY_TEST_ENTRY(rotations_have_gradients))
