/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors of ONNX files (onnx_read.h): the contents that a message holds in one of six fields, in raw bytes, in sparse form, or
 * names in another file; and test data that consists of one tensor. Raw bytes are little-endian, as are all machines that Assay
 * is for.
 */
#include "graph/onnx.h"
#include "base/fs.h"
#include "graph/onnx_read.h"

#include <stdlib.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ONNX's raw data is little-endian, and so must the machine be"
#endif

/* ---- types */

static enum assay_status read_type(struct assay_onnx_reader *reader, const Onnx__TensorProto *proto, const char *what,
                                   struct assay_type *type)
{
    int number = proto->has_data_type ? proto->data_type : 0;
    type->dtype = (enum assay_dtype)number;
    if (!assay_dtype_size(type->dtype) && !assay_dtype_is_packed(type->dtype)) {
        bool of_onnx = number > 0 && strcmp(assay_dtype_word(number), "unknown") != 0;
        return assay_error_set(reader->err, of_onnx ? ASSAY_UNSUPPORTED : ASSAY_INVALID,
                               of_onnx ? "%s: %s has elements of type %s, which Assay does not have"
                                       : "%s: %s has elements of type %s (number %d), which ONNX does not have",
                               reader->where, what, assay_dtype_word(number), number);
    }
    if (proto->n_dims > ASSAY_MAX_RANK)
        return assay_error_set(reader->err, ASSAY_UNSUPPORTED, "%s: %s has %zu dimensions; Assay has at most %d", reader->where,
                               what, proto->n_dims, ASSAY_MAX_RANK);
    type->rank = (int)proto->n_dims;
    int64_t bytes = assay_dtype_is_packed(type->dtype) ? 1 : (int64_t)assay_dtype_size(type->dtype);
    for (int i = 0; i < type->rank; i++) {
        type->dims[i] = proto->dims[i];
        if (type->dims[i] < 0)
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: %s has a negative dimension, %lld", reader->where, what,
                                   (long long)type->dims[i]);
        /* A zero among them must not hide that the others overflow. */
        if (__builtin_mul_overflow(bytes, type->dims[i] ? type->dims[i] : 1, &bytes))
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: %s has more elements than a computer can hold", reader->where,
                                   what);
    }
    return ASSAY_OK;
}

/* Any byte but 0 and 1 in a C bool is undefined behaviour. */
void assay_onnx_tidy_bools(void *data, int64_t n)
{
    unsigned char *bytes = data;
    for (int64_t i = 0; i < n; i++)
        bytes[i] = bytes[i] != 0;
}

/* ---- contents in the message */

static void free_bytes(void *context) { free(context); }

static enum assay_status read_raw(struct assay_onnx_reader *reader, Onnx__TensorProto *proto, bool may_move, const char *what,
                                  const struct assay_type *type, struct assay_tensor *tensor)
{
    int64_t bytes = assay_type_bytes(type);
    if (proto->raw_data.len != (uint64_t)bytes) {
        char text[128];
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: %s has %zu bytes of data, but %s needs %lld", reader->where, what,
                               proto->raw_data.len, assay_type_text(type, text, sizeof text), (long long)bytes);
    }
    if (may_move && bytes >= ASSAY_ONNX_ALIGNED_FROM) {
        assay_tensor_adopt(tensor, type, proto->raw_data.data, free_bytes, proto->raw_data.data);
        proto->raw_data = (ProtobufCBinaryData){0, NULL};
    } else {
        enum assay_status st = assay_onnx_charge(reader, bytes, what);
        if (!st)
            st = assay_tensor_alloc(tensor, type, reader->err);
        if (st)
            return st;
        if (bytes)
            memcpy(tensor->data, proto->raw_data.data, (size_t)bytes);
    }
    if (type->dtype == ASSAY_BOOL)
        assay_onnx_tidy_bools(tensor->data, bytes);
    return ASSAY_OK;
}

/* The field of the message that holds elements of `dtype`. */
static void find_typed(const Onnx__TensorProto *proto, enum assay_dtype dtype, const char **field, size_t *n)
{
    switch (dtype) {
    case ASSAY_F32:
        *field = "float_data", *n = proto->n_float_data;
        break;
    case ASSAY_F64:
        *field = "double_data", *n = proto->n_double_data;
        break;
    case ASSAY_I64:
        *field = "int64_data", *n = proto->n_int64_data;
        break;
    case ASSAY_U32:
    case ASSAY_U64:
        *field = "uint64_data", *n = proto->n_uint64_data;
        break;
    default:
        *field = "int32_data", *n = proto->n_int32_data;
        break;
    }
}

/* Narrows int32_data and uint64_data. 16-bit floats are there as their bits. */
static void copy_typed(const Onnx__TensorProto *proto, struct assay_tensor *tensor, size_t n)
{
    switch (tensor->type.dtype) {
    case ASSAY_F32:
        memcpy(tensor->data, proto->float_data, n * sizeof(float));
        break;
    case ASSAY_F64:
        memcpy(tensor->data, proto->double_data, n * sizeof(double));
        break;
    case ASSAY_I64:
        memcpy(tensor->data, proto->int64_data, n * sizeof(int64_t));
        break;
    case ASSAY_U64:
        memcpy(tensor->data, proto->uint64_data, n * sizeof(uint64_t));
        break;
    case ASSAY_U32:
        for (size_t i = 0; i < n; i++)
            ((uint32_t *)tensor->data)[i] = (uint32_t)proto->uint64_data[i];
        break;
    case ASSAY_I32:
        memcpy(tensor->data, proto->int32_data, n * sizeof(int32_t));
        break;
    case ASSAY_BOOL:
        for (size_t i = 0; i < n; i++)
            ((bool *)tensor->data)[i] = proto->int32_data[i] != 0;
        break;
    case ASSAY_I8:
    case ASSAY_U8:
    case ASSAY_U4:
    case ASSAY_I4:
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)tensor->data)[i] = (uint8_t)proto->int32_data[i];
        break;
    default:
        for (size_t i = 0; i < n; i++)
            ((uint16_t *)tensor->data)[i] = (uint16_t)proto->int32_data[i];
        break;
    }
}

static enum assay_status read_typed(struct assay_onnx_reader *reader, const Onnx__TensorProto *proto, const char *what,
                                    const struct assay_type *type, struct assay_tensor *tensor)
{
    const char *field;
    size_t n;
    find_typed(proto, type->dtype, &field, &n);
    bool is_packed = assay_dtype_is_packed(type->dtype); /* two in each int32 */
    if ((uint64_t)(is_packed ? assay_type_bytes(type) : assay_type_count(type)) != n) {
        char text[128];
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: %s has %zu elements in %s, but %s needs %lld", reader->where,
                               what, n, field, assay_type_text(type, text, sizeof text), (long long)assay_type_count(type));
    }
    enum assay_status st = assay_onnx_charge(reader, assay_type_bytes(type), what);
    if (!st)
        st = assay_tensor_alloc(tensor, type, reader->err);
    if (!st && n)
        copy_typed(proto, tensor, n);
    return st;
}

enum assay_status assay_onnx_read_tensor(struct assay_onnx_reader *reader, Onnx__TensorProto *proto, bool may_move,
                                         const char *what, struct assay_tensor *tensor)
{
    struct assay_type type;
    enum assay_status st = read_type(reader, proto, what, &type);
    if (st)
        return st;
    if (proto->segment)
        return assay_error_set(reader->err, ASSAY_UNSUPPORTED,
                               "%s: %s is one segment of a larger tensor, which Assay does not read", reader->where, what);
    if (proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return assay_onnx_read_external(reader, proto, what, &type, tensor);
    if (proto->has_raw_data)
        return read_raw(reader, proto, may_move, what, &type, tensor);
    return read_typed(reader, proto, what, &type, tensor);
}

/* ---- sparse tensors */

/* Puts the values at their indices: [n] positions in the flattened tensor, or [n, rank] coordinates. */
static enum assay_status scatter(struct assay_onnx_reader *reader, const struct assay_tensor *values,
                                 const struct assay_tensor *indices, const char *what, struct assay_tensor *tensor)
{
    const int64_t *index = indices->data;
    const struct assay_type *type = &tensor->type;
    int64_t n = values->type.dims[0], count = assay_type_count(type);
    size_t size = assay_dtype_size(type->dtype);
    int per_value = indices->type.rank == 2 ? (int)indices->type.dims[1] : 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0;
        bool inside = true;
        for (int d = 0; d < per_value && inside; d++) {
            int64_t limit = per_value == 1 && indices->type.rank == 1 ? count : type->dims[d], one = index[i * per_value + d];
            inside = one >= 0 && one < limit;
            at = at * limit + one;
        }
        if (!inside)
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: %s has an index outside of its shape, value %lld",
                                   reader->where, what, (long long)i);
        memcpy((char *)tensor->data + (size_t)at * size, (const char *)values->data + (size_t)i * size, size);
    }
    return ASSAY_OK;
}

enum assay_status assay_onnx_read_sparse(struct assay_onnx_reader *reader, Onnx__SparseTensorProto *proto, const char *what,
                                         struct assay_tensor *tensor)
{
    struct assay_tensor values = {0}, indices = {0};
    struct assay_type type;
    enum assay_status st;
    if (!proto->values || !proto->indices)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: %s, a sparse tensor, lacks its values or indices", reader->where,
                               what);
    Onnx__TensorProto shape = *proto->values;
    shape.n_dims = proto->n_dims;
    shape.dims = proto->dims;
    st = read_type(reader, &shape, what, &type);
    if (!st && assay_dtype_is_packed(type.dtype))
        st = assay_error_set(reader->err, ASSAY_UNSUPPORTED, "%s: %s is a sparse tensor of 4 bits, which Assay does not read",
                             reader->where, what);
    if (!st)
        st = assay_onnx_read_tensor(reader, proto->values, false, what, &values);
    if (!st)
        st = assay_onnx_read_tensor(reader, proto->indices, false, what, &indices);
    if (st)
        goto done;
    bool fits = values.type.rank == 1 && indices.type.dtype == ASSAY_I64 && indices.type.rank >= 1 &&
                indices.type.dims[0] == values.type.dims[0] &&
                (indices.type.rank == 1 || (indices.type.rank == 2 && indices.type.dims[1] == type.rank));
    if (!fits) {
        st = assay_error_set(reader->err, ASSAY_INVALID, "%s: %s, a sparse tensor, has values and indices that do not fit",
                             reader->where, what);
        goto done;
    }
    st = assay_onnx_charge(reader, assay_type_bytes(&type), what);
    if (!st)
        st = assay_tensor_alloc(tensor, &type, reader->err);
    if (st)
        goto done;
    memset(tensor->data, 0, (size_t)assay_type_bytes(&type));
    st = scatter(reader, &values, &indices, what, tensor);
    if (st)
        assay_tensor_release(tensor);
done:
    assay_tensor_release(&values);
    assay_tensor_release(&indices);
    return st;
}

/* ---- test data */

/* A sequence or an optional is another message, and nothing in the file says so: its elements stand where a tensor has its
 * segment or typed data, and an empty one is a tensor of no dimensions without contents. */
static bool looks_like_sequence(const struct assay_map *map, const Onnx__TensorProto *proto)
{
    enum { NAME_OF_SEQUENCE = 1, ELEMENTS = 3, RAW_DATA = 9 };
    return assay_onnx_has_field(map->data, map->size_bytes, NAME_OF_SEQUENCE) ||
           assay_onnx_has_field(map->data, map->size_bytes, ELEMENTS) ||
           (proto && proto->n_dims == 0 && !assay_onnx_has_field(map->data, map->size_bytes, RAW_DATA));
}

static enum assay_status read_test_data(struct assay_onnx_reader *reader, const struct assay_map *map,
                                        struct assay_tensor *tensor)
{
    ProtobufCMessage *message;
    enum assay_status st =
        assay_onnx_unpack(&onnx__tensor_proto__descriptor, map->data, map->size_bytes, reader->where, &message, reader->err);
    Onnx__TensorProto *proto = (Onnx__TensorProto *)message;
    if (!st)
        st = assay_onnx_read_tensor(reader, proto, true, "the tensor", tensor);
    if (st == ASSAY_INVALID && looks_like_sequence(map, proto))
        st = assay_error_set(reader->err, ASSAY_UNSUPPORTED,
                             "%s: holds no plain tensor; sequences, optionals and maps are not supported", reader->where);
    assay_onnx_free_message(message);
    return st;
}

enum assay_status assay_onnx_load_tensor(const char *path, struct assay_tensor *tensor, struct assay_error *err)
{
    struct assay_map map;
    struct assay_onnx_reader reader;
    *tensor = (struct assay_tensor){0};
    enum assay_status st = assay_map_open(&map, path, err);
    if (st)
        return st;
    assay_onnx_reader_init(&reader, path, NULL, map.size_bytes, err);
    reader.folder = assay_path_folder(&reader.scratch, path);
    st = read_test_data(&reader, &map, tensor);
    assay_onnx_reader_release(&reader);
    assay_map_release(&map);
    return st;
}
