/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that load ONNX share: where a model comes from, how much it may still take, and the tensors' part of the work.
 * Only for onnx_*.c.
 */
#ifndef ASSAY_GRAPH_ONNX_READ_H
#define ASSAY_GRAPH_ONNX_READ_H

#include "graph/graph.h"
#include "graph/names.h"
#include "graph/onnx_wire.h"

struct assay_onnx_reader {
    const char *where;  /* the file's name, for sentences */
    const char *folder; /* of external data; NULL = none allowed */
    struct assay_arena scratch;
    struct assay_onnx_file *files; /* mapped external data */
    /* What may still be allocated for things that the file can ask for with few bytes: dense copies of sparse tensors, copies of
     * misaligned data, inlined functions. */
    int64_t left_bytes;
    struct assay_onnx_function *functions;
    size_t n_functions;
    struct assay_names function_names; /* "domain::name" -> index in functions */
    int depth;
    struct assay_error *err;
};

enum {
    ASSAY_ONNX_MAX_DEPTH = 64,        /* of bodies and functions within one another */
    ASSAY_ONNX_MAX_ATTRIBUTES = 4096, /* of one node */
};

/* ---- onnx_external.c */

/* `size_bytes` is there to read: a larger one may ask for more. */
void assay_onnx_reader_init(struct assay_onnx_reader *reader, const char *where, const char *folder, size_t size_bytes,
                            struct assay_error *err);
void assay_onnx_reader_release(struct assay_onnx_reader *reader);
/* ASSAY_NO_MEMORY, naming `what`, when the file asks for more than its size justifies. */
enum assay_status assay_onnx_charge(struct assay_onnx_reader *reader, int64_t bytes, const char *what);

/* Contents that are in another file: shared with its map where alignment allows. */
enum assay_status assay_onnx_read_external(struct assay_onnx_reader *reader, const Onnx__TensorProto *proto, const char *what,
                                           const struct assay_type *type, struct assay_tensor *tensor);

/* ---- onnx_tensor.c */

/* Makes every byte 0 or 1. */
void assay_onnx_tidy_bools(void *data, int64_t n);

/* A TensorProto's contents. Large raw data is moved out of the message if `may_move`. `what` ("initializer 'w'") is for
 * sentences. Strings and element types that we do not have are ASSAY_UNSUPPORTED. */
enum assay_status assay_onnx_read_tensor(struct assay_onnx_reader *reader, Onnx__TensorProto *proto, bool may_move,
                                         const char *what, struct assay_tensor *tensor);
/* The dense form of a SparseTensorProto. */
enum assay_status assay_onnx_read_sparse(struct assay_onnx_reader *reader, Onnx__SparseTensorProto *proto, const char *what,
                                         struct assay_tensor *tensor);

/* Where names are looked up. A body has a graph of its own and sees the scope around it; an inlined function has the graph that
 * it is inlined into, and sees nothing outside. */
struct assay_onnx_scope {
    struct assay_graph *graph;
    struct assay_onnx_scope *outer;     /* NULL: none to be seen */
    struct assay_names names;           /* -> value numbers; -1: an input that the function's caller left out */
    int opset;                          /* that the nodes are written in */
    const struct assay_onnx_call *call; /* the function whose inlined contents this is a part of, or NULL */
};

/* The call of a function that is being inlined. */
struct assay_onnx_call {
    const struct assay_onnx_call *outer; /* the call whose function the calling node stands in, or NULL */
    const struct assay_onnx_function *function;
    const Onnx__NodeProto *node; /* its attributes are the arguments */
};

struct assay_onnx_function {
    const Onnx__FunctionProto *proto;
    Onnx__AttributeProto **defaults; /* attributes with default values, which came to FunctionProto with IR version 9 */
    size_t n_defaults;
};

/* A NULL text of protobuf-c as "". */
static inline const char *assay_onnx_text(const char *text) { return text ? text : ""; }
/* "ai.onnx" is another name of ONNX's own domain. */
static inline const char *assay_onnx_domain(const char *domain)
{
    return !domain || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

/* ---- onnx_node.c */

/* The number of the value that `name` means in the scope, captured from outside where need be; false if there is none. */
bool assay_onnx_find_value(struct assay_onnx_scope *scope, const char *name, int *number);
/* Adds a node, or what the function that it calls consists of; its outputs' names are in the scope already. */
enum assay_status assay_onnx_read_node(struct assay_onnx_reader *reader, struct assay_onnx_scope *scope,
                                       const Onnx__NodeProto *proto);

/* ---- onnx_function.c */

/* The table of the model's functions. */
enum assay_status assay_onnx_read_functions(struct assay_onnx_reader *reader, const Onnx__ModelProto *model);
/* NULL if the model has no function of that name. */
const struct assay_onnx_function *assay_onnx_find_function(const struct assay_onnx_reader *reader, const char *domain,
                                                           const char *name);
/* Adds the function's nodes in place of the node that calls it. */
enum assay_status assay_onnx_inline(struct assay_onnx_reader *reader, struct assay_onnx_scope *scope, const Onnx__NodeProto *node,
                                    const struct assay_onnx_function *function);
/* The attribute that `attribute` stands for where it refers to an argument of the call; NULL in *found if the caller left that
 * out. */
enum assay_status assay_onnx_resolve(struct assay_onnx_reader *reader, const struct assay_onnx_call *call,
                                     const Onnx__AttributeProto *attribute, const Onnx__AttributeProto **found);

/* ---- onnx_load.c */

/* Fills `graph` (the model's, or a body made by assay_graph_open_body). `outer` is the scope of the node that has it as its body.
 */
enum assay_status assay_onnx_read_graph(struct assay_onnx_reader *reader, const Onnx__GraphProto *proto,
                                        struct assay_graph *graph, struct assay_onnx_scope *outer, int opset);
/* Version of ONNX's own ops that a model or function imports; `otherwise` if it imports none. */
enum assay_status assay_onnx_read_opset(struct assay_onnx_reader *reader, size_t n, Onnx__OperatorSetIdProto **imports,
                                        int otherwise, int *opset);

#endif
