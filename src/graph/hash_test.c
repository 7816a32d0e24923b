/* SPDX-License-Identifier: Apache-2.0 */
/* What the content hash of a graph sees, and what it does not. */
#include "graph/testing.h"

struct variant {
    const char *prefix;  /* of all names */
    bool reorder;        /* inputs of equal rank stay; independent nodes and attributes change places */
    bool constant_node;  /* the second constant as a Constant node */
    int changed_byte;    /* of the first constant; -1 = none */
    int changed_attr;    /* 0 none, 1 int, 2 float, 3 string, 4 tensor, 5 ints, 6 floats, 7 strings, 8 in the body, 9 one more */
    bool twice;          /* the same node computed twice */
    bool swap_inputs;    /* of a node */
    bool other_dtype;    /* of a graph input */
    bool trailing_input; /* a missing optional input at the end */
};

static char *name_of(const struct variant *v, const char *name, char *text)
{
    snprintf(text, 32, "%s%s", v->prefix, name);
    return text;
}

static void set_attrs(struct assay_graph *graph, struct assay_node *node, const struct variant *v)
{
    double number = v->changed_attr == 4 ? 2 : 1;
    struct assay_tensor tensor = testing_tensor(ASSAY_F32, &number, 1);
    int c = v->changed_attr;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == v->reorder) {
            assay_node_set_int(graph, node, "i", c == 1 ? 2 : 1);
            assay_node_set_float(graph, node, "f", c == 2 ? 2 : 1);
            assay_node_set_string(graph, node, "s", c == 3 ? "b" : "a");
        } else {
            assay_node_set_tensor(graph, node, "t", &tensor);
            assay_node_set_ints(graph, node, "is", (const int64_t[]){1, c == 5 ? 3 : 2}, 2);
            assay_node_set_floats(graph, node, "fs", (const float[]){1, c == 6 ? 3 : 2}, 2);
            assay_node_set_strings(graph, node, "ss", (const char *const[]){"p", c == 7 ? "r" : "q"}, 2);
        }
    }
    if (c == 9)
        assay_node_set_int(graph, node, "more", 0);
    assay_tensor_release(&tensor);
}

static void set_body(struct assay_graph *graph, struct assay_node *node, int captured, const struct variant *v)
{
    char text[32];
    struct assay_graph *body = assay_graph_open_body(graph, name_of(v, "body", text));
    int inside = testing_constant(body, name_of(v, "k", text), ASSAY_F32, (const double[]){v->changed_attr == 8 ? 2 : 1}, 1);
    int sum = testing_node(body, "Add", NUMBERS(assay_graph_capture(body, captured), inside), name_of(v, "sum", text));
    assay_graph_add_output(body, sum);
    assay_node_set_graph(graph, node, "body", body);
}

static void hash_variant(const struct variant *v, char hash[ASSAY_HASH_TEXT_SIZE])
{
    char text[32];
    struct assay_graph *graph = assay_graph_open(name_of(v, "g", text));
    int64_t four = 4;
    int x = testing_input(graph, name_of(v, "x", text), v->other_dtype ? ASSAY_F16 : ASSAY_F32, 1, &four);
    struct assay_tensor bytes = testing_tensor(ASSAY_F32, (const double[]){1, 2, 3, 4}, 4);
    if (v->changed_byte >= 0)
        ((unsigned char *)bytes.data)[v->changed_byte] ^= 1;
    int c = assay_graph_add_constant(graph, name_of(v, "c", text), &bytes);
    assay_tensor_release(&bytes);
    int d;
    if (v->constant_node) {
        struct assay_tensor value = testing_tensor(ASSAY_F32, (const double[]){7}, 1);
        d = testing_node(graph, "Constant", 0, NULL, name_of(v, "d", text));
        assay_node_set_tensor(graph, testing_last(graph), "value", &value);
        assay_tensor_release(&value);
    } else {
        d = testing_constant(graph, name_of(v, "d", text), ASSAY_F32, (const double[]){7}, 1);
    }
    int made[2];
    for (int i = 0; i < 2; i++) {
        int which = v->reorder ? !i : i, pair[] = {x, which ? d : c};
        if (v->swap_inputs && which == 0)
            pair[0] = c, pair[1] = x;
        made[which] = testing_node(graph, "Sub", 2, pair, name_of(v, "made", text));
    }
    if (v->twice)
        made[1] = testing_node(graph, "Sub", NUMBERS(x, d), name_of(v, "again", text));
    int inputs[] = {made[0], made[1], -1};
    int out = testing_node(graph, "Custom", v->trailing_input ? 3 : 2, inputs, name_of(v, "out", text));
    set_attrs(graph, testing_last(graph), v);
    set_body(graph, testing_last(graph), made[0], v);
    assay_graph_add_output(graph, out);
    assay_graph_hash(graph, hash);
    assay_graph_close(graph);
}

static const struct variant plain = {.prefix = "a", .changed_byte = -1};

static bool is_same(struct variant v)
{
    char a[ASSAY_HASH_TEXT_SIZE], b[ASSAY_HASH_TEXT_SIZE];
    hash_variant(&plain, a);
    hash_variant(&v, b);
    CHECK_INT(strlen(b), 64);
    return strcmp(a, b) == 0;
}

ASSAY_TEST(names_and_orders_and_spellings_do_not_count)
{
    struct variant v = plain;
    CHECK(is_same(v));
    v.prefix = "other_";
    CHECK(is_same(v));
    v.reorder = true;
    CHECK(is_same(v));
    v.constant_node = true;
    CHECK(is_same(v));
    v.trailing_input = true;
    CHECK(is_same(v));
}

ASSAY_TEST(every_byte_of_a_constant_counts)
{
    for (int i = 0; i < 16; i++) {
        struct variant v = plain;
        v.changed_byte = i;
        CHECK(!is_same(v));
    }
}

ASSAY_TEST(every_kind_of_attribute_counts_also_in_a_body)
{
    for (int i = 1; i <= 9; i++) {
        struct variant v = plain;
        v.changed_attr = i;
        CHECK(!is_same(v));
    }
}

ASSAY_TEST(structure_counts)
{
    struct variant v = plain;
    v.twice = true;
    CHECK(!is_same(v));
    v = plain;
    v.swap_inputs = true;
    CHECK(!is_same(v));
    v = plain;
    v.other_dtype = true;
    CHECK(!is_same(v));
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(names_and_orders_and_spellings_do_not_count), ASSAY_TEST_ENTRY(every_byte_of_a_constant_counts),
                ASSAY_TEST_ENTRY(every_kind_of_attribute_counts_also_in_a_body), ASSAY_TEST_ENTRY(structure_counts))
