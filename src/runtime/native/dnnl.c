/* SPDX-License-Identifier: Apache-2.0 */
/* See dnnl.h. */
#include "runtime/native/dnnl.h"

#include <pthread.h>

static dnnl_engine_t engine;
static pthread_key_t stream_key;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;

static void close_stream(void *stream) { dnnl_stream_destroy(stream); }

static void make_engine(void)
{
    dnnl_status_t st = dnnl_engine_create(&engine, dnnl_cpu, 0);
    ASSAY_ASSERT(st == dnnl_success && pthread_key_create(&stream_key, close_stream) == 0);
}

dnnl_engine_t native_dnnl_engine(void)
{
    pthread_once(&engine_once, make_engine);
    return engine;
}

/* A stream has no state of its own on a CPU, but is not to be used by two threads at once. It goes with its thread. */
static dnnl_stream_t thread_stream(void)
{
    static _Thread_local dnnl_stream_t stream;
    if (!stream) {
        dnnl_status_t st = dnnl_stream_create(&stream, native_dnnl_engine(), dnnl_stream_default_flags);
        ASSAY_ASSERT(st == dnnl_success && pthread_setspecific(stream_key, stream) == 0);
    }
    return stream;
}

dnnl_data_type_t native_dnnl_type(enum assay_dtype dtype)
{
    switch (dtype) {
    case ASSAY_F32:
        return dnnl_f32;
    case ASSAY_BF16:
        return dnnl_bf16;
    case ASSAY_F16:
        return dnnl_f16;
    case ASSAY_I32:
        return dnnl_s32;
    case ASSAY_I8:
        return dnnl_s8;
    case ASSAY_U8:
        return dnnl_u8;
    default:
        return dnnl_data_type_undef;
    }
}

bool native_dnnl_is_reference(const_dnnl_primitive_desc_t desc) { return strncmp(native_dnnl_info(desc), "ref", 3) == 0; }

const char *native_dnnl_info(const_dnnl_primitive_desc_t desc)
{
    const char *info = "";
    dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &info);
    return info;
}

void native_dnnl_matrix(dnnl_memory_desc_t *desc, int64_t rows, int64_t columns, dnnl_data_type_t type, int64_t row_stride,
                        int64_t column_stride)
{
    dnnl_dims_t dims = {rows, columns}, strides = {row_stride, column_stride};
    dnnl_memory_desc_init_by_strides(desc, 2, dims, type, strides);
}

void native_dnnl_add(struct native_dnnl_part *part, int arg, const dnnl_memory_desc_t *desc, const void *data)
{
    dnnl_memory_t memory = NULL;
    dnnl_status_t st = dnnl_memory_create(&memory, desc, native_dnnl_engine(), (void *)data);
    ASSAY_ASSERT(st == dnnl_success && part->n_args < NATIVE_DNNL_MAX_ARGS);
    part->args[part->n_args++] = (dnnl_exec_arg_t){arg, memory};
}

void native_dnnl_set(struct native_dnnl_part *part, int index, const void *data)
{
    dnnl_memory_set_data_handle(part->args[index].memory, (void *)data);
}

void native_dnnl_run(struct native_dnnl_part *part, unsigned char *scratch)
{
    if (part->scratch >= 0)
        native_dnnl_set(part, part->scratch, scratch);
    dnnl_status_t st = dnnl_primitive_execute(part->primitive, thread_stream(), part->n_args, part->args);
    ASSAY_ASSERT(st == dnnl_success);
}

void native_dnnl_release(struct native_dnnl_part *part)
{
    for (int i = 0; i < part->n_args; i++)
        dnnl_memory_destroy(part->args[i].memory);
    part->n_args = 0;
}

int64_t native_dnnl_scratch(const_dnnl_primitive_desc_t desc, struct native_dnnl_part *part)
{
    const dnnl_memory_desc_t *scratch = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    int64_t bytes = scratch ? (int64_t)dnnl_memory_desc_get_size(scratch) : 0;
    part->scratch = -1;
    if (bytes) {
        part->scratch = part->n_args;
        native_dnnl_add(part, DNNL_ARG_SCRATCHPAD, scratch, NULL);
    }
    return native_aligned(bytes);
}

enum assay_status native_dnnl_pack(const dnnl_memory_desc_t *from_desc, const void *from, const dnnl_memory_desc_t *to_desc,
                                   void *to, struct assay_error *err)
{
    dnnl_memory_t a = NULL, b = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_engine_t e = native_dnnl_engine();
    dnnl_status_t st = dnnl_reorder_primitive_desc_create(&desc, from_desc, e, to_desc, e, NULL);
    if (!st)
        st = dnnl_primitive_create(&reorder, desc);
    if (!st)
        st = dnnl_memory_create(&a, from_desc, e, (void *)from);
    if (!st)
        st = dnnl_memory_create(&b, to_desc, e, to);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};
    if (!st)
        st = dnnl_primitive_execute(reorder, thread_stream(), 2, args);
    dnnl_memory_destroy(a);
    dnnl_memory_destroy(b);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(desc);
    return st ? assay_error_set(err, ASSAY_UNSUPPORTED, "oneDNN cannot pack these weights (status %d)", (int)st) : ASSAY_OK;
}
