/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX's protobuf messages from bytes that nobody vouches for. protobuf-c recurses as deep as the message nests, allocates as it
 * goes and merges a message field that comes twice at quadratic cost: so the bytes are walked first, and memory is counted.
 */
#ifndef ASSAY_GRAPH_ONNX_WIRE_H
#define ASSAY_GRAPH_ONNX_WIRE_H

#include "base/status.h"
#include "graph/onnx.pb-c.h"

#include <stdbool.h>

enum {
    /* Messages within messages: a body of If or Loop takes three (graph, node, attribute). */
    ASSAY_ONNX_MAX_NESTING = 100,
    /* Data of at least this many bytes is allocated aligned to 64, so that a tensor can take it over as it is. */
    ASSAY_ONNX_ALIGNED_FROM = 4096,
};

/* `where` begins the sentence of a failure, which names the offset. Free with assay_onnx_free_message; a `bytes` field may be
 * taken over: set it to NULL with length 0, and free() it. ASSAY_NO_MEMORY: there is none, or the message takes more than its
 * size can explain. */
enum assay_status assay_onnx_unpack(const ProtobufCMessageDescriptor *descriptor, const void *data, size_t size_bytes,
                                    const char *where, ProtobufCMessage **message, struct assay_error *err);
void assay_onnx_free_message(ProtobufCMessage *message);
/* Whether the outermost message has a field of that number with a length. false where the bytes are no message. */
bool assay_onnx_has_field(const void *data, size_t size_bytes, uint32_t number);

#endif
