/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graph builder: what a family writes its forward pass with, in ops of ONNX opset 17.
 *
 * Values are ints, -1 stands for "none". Parameters are asked for by their names in Transformers, within the scope of the module
 * (b_enter, b_leave), with the shape that the config implies: from the checkpoint, whose bytes they share (f16 and bf16 are
 * converted to f32), or random, or declared only. One that the checkpoint lacks or has in another shape is named in the error;
 * so is, in the end, one that nobody asked for. Nodes are named after the scope.
 *
 * Errors stick: after the first one (b->emit.status) all functions return -1 and do nothing, so that a forward pass reads like
 * one. Types are inferred node by node, so a wrong shape is reported at its node, and b_dim and b_rank know what is static. Batch
 * and sequence stay symbolic: use 0 (copy) and one -1 in b_reshape, and shape arithmetic only where these can't say it. Lists are
 * given as B_LIST(…), which makes both arguments, length and values. Threads: one builder, one thread.
 */
#ifndef ASSAY_MODEL_BUILDER_H
#define ASSAY_MODEL_BUILDER_H

#include "base/rng.h"
#include "graph/emit.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/model.h"

#define B_LIST E_INTS
/* For ops: b_op(b, "Where", B_VALUES(a, b, c)). */
#define B_VALUES E_VALUES

enum { B_MAX_SCOPE = 512, B_MAX_DEPTH = 24 };

struct assay_builder {
    struct assay_emit emit; /* the graph, and the first error; its scope is the one below */
    const struct assay_model_options *options;
    struct assay_checkpoint *checkpoint; /* NULL: random or declared weights */
    struct assay_arena arena;
    char scope[B_MAX_SCOPE]; /* "bert.encoder.layer.0" */
    size_t scope_ends[B_MAX_DEPTH];
    int depth, n_main;       /* n_main: main outputs */
    struct b_alias *aliases; /* tied names */
    const char **ignored;    /* patterns of tensors that nobody needs */
    const char **frozen;     /* patterns of parameters that are not trained */
    struct b_state *states;  /* of b_cache */
    size_t n_aliases, n_ignored, n_frozen, n_states;
    int n_dropouts;
    int64_t n_parameters;      /* elements of the parameters asked for, tied ones once, buffers not */
    int64_t random_bytes;      /* of random weights, so far */
    float *random_pool;        /* numbers that random weights are cut from */
    int64_t text_positions;    /* a text's tokens at most, where a family says so; 0 = no limit */
    double random_gain;        /* of random matrices asked for while a family has it set; 0 = 1 */
    struct assay_tensor zeros; /* what declared weights borrow */
};

/* ---- the frame's part (model.c) */
void assay_builder_init(struct assay_builder *b, const char *name, const struct assay_model_options *options,
                        struct assay_checkpoint *checkpoint, struct assay_error *err);
/* Surplus tensors, unknown names in options, order, unused nodes, the standard's rules. The graph is the caller's then. */
enum assay_status assay_builder_finish(struct assay_builder *b, struct assay_graph **graph);
void assay_builder_release(struct assay_builder *b); /* closes the graph too, unless finish gave it away */

/* Records a failure, with the scope; returns -1. */
int b_fail(struct assay_builder *b, enum assay_status status, const char *format, ...) ASSAY_PRINTF(3, 4);

/* ---- scope: the dotted name of the module */
void b_enter(struct assay_builder *b, const char *format, ...) ASSAY_PRINTF(2, 3);
void b_leave(struct assay_builder *b);

/* ---- inputs and outputs */
/* What an input holds where the user says nothing (a kind of bench/inputs.h), and how long a dimension is then: hints in the
 * graph's metadata, "assay.input.NAME" and "assay.dim.NAME", for inputs that cannot be anything. */
void b_hint_input(struct assay_builder *b, const char *name, const char *format, ...) ASSAY_PRINTF(3, 4);
void b_hint_dim(struct assay_builder *b, const char *name, int64_t size);
/* dims: "batch sequence 3 height": numbers and symbols. An input that is always there. */
int b_input(struct assay_builder *b, const char *name, enum assay_dtype dtype, const char *dims);
/* One that the caller's options choose; where they say nothing, `by_default`. -1 if not wanted. */
int b_input_optional(struct assay_builder *b, const char *name, bool by_default, enum assay_dtype dtype, const char *dims);
/* A main output: always there, unless options.outputs names others only. */
void b_output(struct assay_builder *b, int value, const char *format, ...) ASSAY_PRINTF(3, 4);
/* An output only if options.outputs asks for it: hidden_states.0, attentions.0 … */
void b_output_optional(struct assay_builder *b, int value, const char *format, ...) ASSAY_PRINTF(3, 4);
/* Whether options.outputs asks for it: for what must be computed for it alone. */
bool b_wants(struct assay_builder *b, const char *format, ...) ASSAY_PRINTF(2, 3);
/* Whether options.flags has it ("interpolate_pos_encoding"). */
bool b_flag(const struct assay_builder *b, const char *name);

/* ---- parameters; names within the scope, an empty scope's being the whole name */
int b_param(struct assay_builder *b, const char *name, size_t rank, const int64_t *dims);
/* The same for what is no parameter in PyTorch (running statistics, fixed position tables): not counted. */
int b_buffer(struct assay_builder *b, const char *name, size_t rank, const int64_t *dims);
/* Whether the checkpoint has it (within the scope); `otherwise` where there is no checkpoint. */
bool b_has(const struct assay_builder *b, const char *name, bool otherwise);
/* Within the scope, '*' for any text: parameters that training leaves as they are. Before they are asked for. */
void b_freeze(struct assay_builder *b, const char *pattern);
/* Full names: `alias` is the same parameter as `target`; only one need be in the checkpoint. Before either is asked for. */
void b_tie(struct assay_builder *b, const char *alias, const char *target);
/* Full names with '*' for any text: tensors of the checkpoint that this model doesn't need ("*.position_ids"). */
void b_ignore(struct assay_builder *b, const char *pattern);

/* ---- constants, each made once */
int b_scalar(struct assay_builder *b, double f);                      /* f32 of rank 0 */
int b_int(struct assay_builder *b, int64_t i);                        /* int64 of rank 0 */
int b_ints(struct assay_builder *b, size_t n, const int64_t *values); /* int64[n] */
int b_floats(struct assay_builder *b, const char *name, size_t rank, const int64_t *dims, const float *values);
/* Lowest f32, what Transformers masks with. */
int b_lowest(struct assay_builder *b);

/* ---- ops: any, and the common ones by name */
int b_op(struct assay_builder *b, const char *type, int n_inputs, const int *inputs);
/* One with several outputs, all of which are used: outputs[n_outputs] */
void b_op_many(struct assay_builder *b, const char *type, int n_inputs, const int *inputs, int n_outputs, int *outputs);
struct assay_node *
b_last(struct assay_builder *b); /* the node that b_op made last, for attributes; a scratch one after an error */
void b_set_int(struct assay_builder *b, const char *name, int64_t value); /* attributes of that node */
void b_set_float(struct assay_builder *b, const char *name, double value);
void b_set_text(struct assay_builder *b, const char *name, const char *value);
void b_set_ints(struct assay_builder *b, const char *name, size_t n, const int64_t *values);
int b_split(struct assay_builder *b, int x, int64_t axis, size_t n, const int64_t *sizes, int *parts); /* parts[n]; 0 */

int b_unary(struct assay_builder *b, const char *type, int x);
int b_add(struct assay_builder *b, int x, int y);
int b_sub(struct assay_builder *b, int x, int y);
int b_mul(struct assay_builder *b, int x, int y);
int b_div(struct assay_builder *b, int x, int y);
int b_scale(struct assay_builder *b, int x, double factor);
int b_matmul(struct assay_builder *b, int x, int y);
int b_cast(struct assay_builder *b, int x, enum assay_dtype dtype);
int b_where(struct assay_builder *b, int condition, int x, int y);
int b_softmax(struct assay_builder *b, int x, int64_t axis);
int b_reduce(struct assay_builder *b, const char *type, int x, bool keep, size_t n, const int64_t *axes); /* "ReduceMean" … */
int b_l2_normalize(struct assay_builder *b, int x);                                                       /* over the last axis */
int b_argmax(struct assay_builder *b, int x, int64_t axis); /* first maximum, the axis dropped */

/* ---- shapes */
int b_rank(const struct assay_builder *b, int x);              /* -1 if not known */
int64_t b_dim(const struct assay_builder *b, int x, int axis); /* -1 if symbolic; axis may be negative */
enum assay_dtype b_dtype(const struct assay_builder *b, int x);
int b_size(struct assay_builder *b, int x, int64_t axis);                     /* int64[1], at run time: Shape(start, end) */
int b_size_scalar(struct assay_builder *b, int x, int64_t axis);              /* the same of rank 0 */
int b_reshape(struct assay_builder *b, int x, size_t n, const int64_t *dims); /* 0 copies, one -1 */
int b_reshape_to(struct assay_builder *b, int x, int shape);                  /* int64[n] value */
int b_transpose(struct assay_builder *b, int x, size_t n, const int64_t *order);
int b_concat(struct assay_builder *b, int64_t axis, int n, const int *values);         /* b_concat(b, 1, B_VALUES(x, y)) */
int b_slice(struct assay_builder *b, int x, int64_t axis, int64_t start, int64_t end); /* end INT64_MAX = to the end */
int b_gather(struct assay_builder *b, int x, int64_t axis, int indices);
int b_take(struct assay_builder *b, int x, int64_t axis, int64_t index); /* one place, the axis dropped */
int b_unsqueeze(struct assay_builder *b, int x, size_t n, const int64_t *axes);
int b_squeeze(struct assay_builder *b, int x, size_t n, const int64_t *axes);
int b_expand(struct assay_builder *b, int x, int shape);
/* A parameter [1, n, d] (class token, queries) repeated over the batch of `like`. */
int b_expand_batch(struct assay_builder *b, int x, int like);
int b_range(struct assay_builder *b, int start, int limit); /* of scalars: int64[limit - start] */

/* ---- layers: parameters NAME.weight, NAME.bias … */
int b_linear(struct assay_builder *b, int x, const char *name, int64_t in, int64_t out, bool bias);
/* Its weight stored [in, out] (GPT-2's Conv1D). */
int b_linear_in_out(struct assay_builder *b, int x, const char *name, int64_t in, int64_t out, bool bias);
/* x · weightᵀ with a weight at hand: heads tied to embeddings. */
int b_project(struct assay_builder *b, int x, int weight);
int b_embedding(struct assay_builder *b, int ids, const char *name, int64_t n, int64_t dim);
/* torch.nn.Embedding with a padding_idx (-1 = none), whose row is not trained by what is looked up. */
int b_embedding_padded(struct assay_builder *b, int ids, const char *name, int64_t n, int64_t dim, int64_t padding);
int b_layer_norm(struct assay_builder *b, int x, const char *name, int64_t dim, double eps);
int b_rms_norm(struct assay_builder *b, int x, const char *name, int64_t dim, double eps);
int b_group_norm(struct assay_builder *b, int x, const char *name, int64_t groups, int64_t channels, double eps);
int b_batch_norm(struct assay_builder *b, int x, const char *name, int64_t channels, double eps);
/* Its running statistics take `momentum` of a batch, PyTorch's word; b_batch_norm 0.1. */
int b_batch_norm_by(struct assay_builder *b, int x, const char *name, int64_t channels, double eps, double momentum);
/* Transformers' ACT2FN words; an unknown one fails with its name. */
int b_activation(struct assay_builder *b, int x, const char *word);

struct b_conv {
    int n_spatial;                                                      /* 1 or 2 */
    int64_t in, out, kernel[2], stride[2], pad[4], dilation[2], groups; /* pad: begins, then ends; 0 in the others = 1 */
    bool bias;
};
int b_conv(struct assay_builder *b, int x, const char *name, const struct b_conv *conv);
/* Square kernel with the same padding all around. */
int b_conv2d(struct assay_builder *b, int x, const char *name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
             int64_t pad, bool bias);

/* ---- training: see options.training; without it b_dropout, b_stop_gradient and b_update do nothing
 *
 * A family to be trained calls b_dropout where its module drops, and, if b_training, makes its loss of labels that it asks for,
 * named as in PyTorch's call: "labels". Labels of -100 do not count. */
enum { B_IGNORED_LABEL = -100 };
bool b_training(const struct assay_builder *b);
/* x, of which each element is zeroed with probability p and the others grow by 1/(1-p). Which ones depends on the input
 * "dropout_seed" (int64, a scalar) and on how many b_dropout came before. */
int b_dropout(struct assay_builder *b, int x, double p);
int b_stop_gradient(struct assay_builder *b, int x);
/* The rows of a table that were looked up for ids; of the row `padding` (-1 = none) nothing is learned by that. */
int b_stop_padding(struct assay_builder *b, int rows, int ids, int64_t padding);
/* The next value of a buffer: an output, and a line in the metadata that tells so. */
void b_update(struct assay_builder *b, int buffer, int next);
/* An input that the host works out of others (targets that are matched, lengths of what is merged): there whatever
 * options.inputs says. */
int b_host_input(struct assay_builder *b, const char *name, enum assay_dtype dtype, const char *dims);
/* The output "loss", f32 of one element. */
void b_loss(struct assay_builder *b, int loss);
/* An int64 input of labels, 0 to n_classes - 1 where it is made up. */
int b_labels(struct assay_builder *b, const char *name, const char *dims, int64_t n_classes);
/* Mean cross-entropy of scores [.., classes] and int64 labels [..], of which those that are `ignored` do not count. */
int b_cross_entropy(struct assay_builder *b, int scores, int labels, int64_t ignored);
/* The same where scores at one place are of the label at the next: [batch, length, classes], [batch, length]. */
int b_next_token_loss(struct assay_builder *b, int scores, int labels);
/* Mean cross-entropy of square scores whose diagonal is right, from rows to columns and back. */
int b_contrastive_loss(struct assay_builder *b, int scores);
/* What the decoder reads of int64 labels [batch, length]: `start`, then all but the last, `padding` where one is ignored. */
int b_shift_right(struct assay_builder *b, int labels, int64_t start, int64_t padding);
int b_mean_all(struct assay_builder *b, int x); /* over all elements, a scalar */

/* Heads' losses with their labels, "labels" but for questions; nothing without b_training. dims: of the labels ("batch"). */
void b_classes_loss(struct assay_builder *b, int scores, const char *dims);
/* What "problem_type" says: one class of scores [batch, classes], several, or numbers (the one class's). Without it, what the
 * classes tell, and the flag "float_labels": labels are several classes' then. */
void b_problem_loss(struct assay_builder *b, struct assay_config *c, int scores);
/* Scores [batch, length] of an answer's start and end; inputs start_positions, end_positions [batch], those beyond the text not
 * counting. */
void b_answer_loss(struct assay_builder *b, int start, int end);

/* ---- attention */
struct b_attention {
    int q;    /* [batch, length, heads * head_dim], or heads split: [batch, length, heads, head_dim] */
    int k, v; /* the same with kv_heads; or of rank 4 and `kv_ready`: [batch, kv_heads, length, head_dim] */
    bool kv_ready;
    int64_t heads, kv_heads, head_dim; /* kv_heads 0 = heads */
    double scale;                      /* of q·k; 0 = 1/sqrt(head_dim), 1 = none */
    int keep;                          /* bool: where false, scores become the lowest f32, before `mask`; -1 = none */
    int mask;                          /* added to the scores, broadcast to [batch, heads, query, key]; -1 = none */
    double dropout;                    /* of the probabilities, in training */
    bool cached;                       /* k and v come behind those of earlier runs: b_cache of `layer` */
    int64_t layer;
    int probabilities, key, value; /* results: [batch, heads, query, key]; [batch, kv_heads, length, head_dim], past too */
};
#define B_ATTENTION_NONE .keep = -1, .mask = -1
/* [batch, length, heads * head_dim] */
int b_attention(struct assay_builder *b, struct b_attention *a);
/* Of the phase DECODE: puts keys and values [batch, heads, sequence, head_dim] of layer i behind those of earlier runs, which are
 * the inputs past_key_values.I.key and .value [batch, heads, past_sequence, head_dim]; both together become the outputs
 * present.I.key and .value behind the main ones, declared as the states of these inputs. */
void b_cache(struct assay_builder *b, int64_t i, int64_t heads, int64_t head_dim, int *key, int *value);
/* int64 mask [batch, key], 1 = look → f32 [batch, 1, 1, key], 0 or lowest. */
int b_padding_mask(struct assay_builder *b, int attention_mask);
/* bool [query, key]: true where a query may look, the queries being the last ones of the keys; window 0 = none, else a query sees
 * that many keys, itself included. Lengths are int64 scalars. */
int b_causal(struct assay_builder *b, int query_length, int key_length, int64_t window);
/* b_causal together with a padding mask (or -1) → f32 [batch or 1, 1, query, key], 0 or lowest. */
int b_causal_mask(struct assay_builder *b, int query_length, int key_length, int64_t window, int attention_mask);

/* Rotary positions: cos and sin [batch, length, 1, dim / 2] of position_ids [batch, length] and dim / 2 inverse frequencies
 * (a value, so that they can depend on the length); x [batch, length, heads, dim]; halves are rotated against each other. */
void b_rope_tables(struct assay_builder *b, int position_ids, int inverse_frequencies, double factor, int *cosine, int *sine);
int b_rope(struct assay_builder *b, int x, int64_t dim, int cosine, int sine);

#endif
