/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX files and graphs: load, save; and the .pb tensors of ONNX's test data.
 *
 * A file from outside is not believed: every length, offset, dimension, reference and nesting depth is checked, external data
 * must lie in the model's folder and is mapped, not copied. Whatever is wrong gives ASSAY_INVALID with the file and the place.
 */
#ifndef ASSAY_GRAPH_ONNX_H
#define ASSAY_GRAPH_ONNX_H

#include "graph/graph.h"

/* Loads, upgrades to opset 17 (see graph.h), sorts. An op that we do not have is no error here. */
enum assay_status assay_onnx_load(const char *path, struct assay_graph **graph, struct assay_error *err);
/* The same from memory; `folder` is where external data may lie, NULL = none allowed. Constants may share `data`, which must then
 * outlive the graph. */
enum assay_status assay_onnx_parse(const void *data, size_t size_bytes, const char *folder, const char *where,
                                   struct assay_graph **graph, struct assay_error *err);

struct assay_onnx_save_options {
    /* Constants of at least this size go to PATH.data, aligned to 4096; 0 = only when the whole would exceed 1 GiB. */
    int64_t external_from_bytes;
};
/* Writes atomically. options may be NULL. */
enum assay_status assay_onnx_save(const struct assay_graph *graph, const char *path,
                                  const struct assay_onnx_save_options *options, struct assay_error *err);
/* The serialised model in memory. Constants of at least `external_from_bytes` (0 = none) are left out: written as external data
 * with location
 * "*" for a runtime that is handed the bytes by name. Free with free(). */
enum assay_status assay_onnx_serialize(const struct assay_graph *graph, int64_t external_from_bytes, void **data,
                                       size_t *size_bytes, struct assay_error *err);

/* A TensorProto file (input_0.pb). ASSAY_UNSUPPORTED: a sequence, optional, string or map. */
enum assay_status assay_onnx_load_tensor(const char *path, struct assay_tensor *tensor, struct assay_error *err);

#endif
