/* SPDX-License-Identifier: Apache-2.0 */
/* See onnx_wire.h. The wire format: https://protobuf.dev/programming-guides/encoding/ */
#include "graph/onnx_wire.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- the walk */

struct walk {
    const unsigned char *start;
    const char *where;
    struct assay_error *err;
};

static enum assay_status malformed(const struct walk *walk, const unsigned char *at, const char *what)
{
    return assay_error_set(walk->err, ASSAY_INVALID,
                           "%s: not a valid ONNX file: %s at byte %zu; is it cut off, or of another kind?", walk->where, what,
                           (size_t)(at - walk->start));
}

/* A base-128 number of at most `limit` bytes. false if it does not end before `end`. */
static bool read_varint(const unsigned char **at, const unsigned char *end, int limit, uint64_t *value)
{
    *value = 0;
    for (int i = 0; i < limit && *at < end; i++) {
        unsigned char byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80)
            return true;
    }
    return false;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *descriptor, uint64_t number)
{
    return number <= INT32_MAX ? protobuf_c_message_descriptor_get_field(descriptor, (unsigned)number) : NULL;
}

static enum assay_status walk_message(const struct walk *walk, const ProtobufCMessageDescriptor *descriptor,
                                      const unsigned char *at, const unsigned char *end, int depth);

/* One field: its tag, and for one with a length its contents. *at moves behind it. */
struct field {
    uint64_t number;
    const unsigned char *contents; /* NULL: a number, of which only the place matters */
    size_t size_bytes;
};

static const char *read_field(const unsigned char **at, const unsigned char *end, struct field *field)
{
    uint64_t tag, value;
    if (!read_varint(at, end, 5, &tag) || tag >> 3 == 0)
        return "no field begins";
    *field = (struct field){.number = tag >> 3};
    switch (tag & 7) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return read_varint(at, end, 10, &value) ? NULL : "a number does not end";
    case PROTOBUF_C_WIRE_TYPE_64BIT:
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        value = (tag & 7) == PROTOBUF_C_WIRE_TYPE_64BIT ? 8 : 4;
        if (value > (uint64_t)(end - *at))
            return "a number does not end";
        *at += value;
        return NULL;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!read_varint(at, end, 5, &value) || value > (uint64_t)(end - *at))
            return "a field is longer than what holds it";
        field->contents = *at;
        field->size_bytes = (size_t)value;
        *at += value;
        return NULL;
    default:
        return "a field of an unknown kind begins";
    }
}

static enum assay_status walk_message(const struct walk *walk, const ProtobufCMessageDescriptor *descriptor,
                                      const unsigned char *at, const unsigned char *end, int depth)
{
    if (depth > ASSAY_ONNX_MAX_NESTING)
        return assay_error_set(walk->err, ASSAY_INVALID, "%s: graphs or types are nested deeper than %d messages at byte %zu",
                               walk->where, ASSAY_ONNX_MAX_NESTING, (size_t)(at - walk->start));
    uint64_t seen = 0; /* a bit for each message field that came, and may come only once */
    while (at < end) {
        const unsigned char *start = at;
        struct field field;
        const char *wrong = read_field(&at, end, &field);
        if (wrong)
            return malformed(walk, start, wrong);
        const ProtobufCFieldDescriptor *found = field.contents ? find_field(descriptor, field.number) : NULL;
        if (!found || found->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (found->label != PROTOBUF_C_LABEL_REPEATED) {
            uint64_t bit = 1ull << ((size_t)(found - descriptor->fields) & 63);
            if (seen & bit)
                return malformed(walk, start, "a part that may be given once is given twice");
            seen |= bit;
        }
        enum assay_status st =
            walk_message(walk, found->descriptor, field.contents, field.contents + field.size_bytes, depth + 1);
        if (st)
            return st;
    }
    return ASSAY_OK;
}

bool assay_onnx_has_field(const void *data, size_t size_bytes, uint32_t number)
{
    const unsigned char *at = data, *end = at + size_bytes;
    struct field field;
    while (at < end && !read_field(&at, end, &field))
        if (field.number == number && field.contents)
            return true;
    return false;
}

/* ---- memory */

struct account {
    size_t left_bytes;
    bool refused; /* something: protobuf-c itself does not say why it gives up */
};

static void *account_alloc(void *context, size_t size_bytes)
{
    struct account *account = context;
    void *data = NULL;
    if (size_bytes <= account->left_bytes)
        data = size_bytes < ASSAY_ONNX_ALIGNED_FROM ? malloc(size_bytes ? size_bytes : 1)
                                                    : aligned_alloc(64, (size_bytes + 63) & ~(size_t)63);
    if (data)
        account->left_bytes -= size_bytes;
    else
        account->refused = true;
    return data;
}

static void account_free(void *context, void *data)
{
    (void)context;
    free(data);
}

enum assay_status assay_onnx_unpack(const ProtobufCMessageDescriptor *descriptor, const void *data, size_t size_bytes,
                                    const char *where, ProtobufCMessage **message, struct assay_error *err)
{
    *message = NULL;
    if (size_bytes > INT32_MAX)
        return assay_error_set(err, ASSAY_INVALID,
                               "%s: %zu bytes; an ONNX file holds at most 2 GiB, larger weights go to external data files", where,
                               size_bytes);
    struct walk walk = {data, where, err};
    enum assay_status st = walk_message(&walk, descriptor, data, walk.start + size_bytes, 0);
    if (st)
        return st;
    struct account account = {.left_bytes = 8 * size_bytes + ((size_t)64 << 20)};
    ProtobufCAllocator allocator = {account_alloc, account_free, &account};
    *message = protobuf_c_message_unpack(descriptor, &allocator, size_bytes, data);
    if (*message)
        return ASSAY_OK;
    /* A file of empty messages, say, can ask for a hundred times its size. */
    if (account.refused)
        return assay_error_set(err, ASSAY_NO_MEMORY, "%s: takes far more memory to read than its %zu bytes justify", where,
                               size_bytes);
    return assay_error_set(err, ASSAY_INVALID, "%s: not a valid ONNX file: its fields contradict the format", where);
}

void assay_onnx_free_message(ProtobufCMessage *message)
{
    if (message) {
        ProtobufCAllocator allocator = {account_alloc, account_free, NULL};
        protobuf_c_message_free_unpacked(message, &allocator);
    }
}
