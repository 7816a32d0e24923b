/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oneDNN behind kernels. A primitive is executed by each part of a kernel on one thread, on memory of its own part; scratch comes
 * from the program. Engine and streams are the process's and the thread's.
 */
#ifndef ASSAY_RUNTIME_NATIVE_DNNL_H
#define ASSAY_RUNTIME_NATIVE_DNNL_H

#include "runtime/native/native.h"

#include <oneapi/dnnl/dnnl.h>

dnnl_engine_t native_dnnl_engine(void);
/* dnnl_data_type_undef if oneDNN has none. */
dnnl_data_type_t native_dnnl_type(enum assay_dtype dtype);
/* Whether an implementation is oneDNN's reference, a hundred times as slow as others: no kernel takes it. */
bool native_dnnl_is_reference(const_dnnl_primitive_desc_t desc);
/* The implementation's name. */
const char *native_dnnl_info(const_dnnl_primitive_desc_t desc);
void native_dnnl_matrix(dnnl_memory_desc_t *desc, int64_t rows, int64_t columns, dnnl_data_type_t type, int64_t row_stride,
                        int64_t column_stride);

enum { NATIVE_DNNL_MAX_ARGS = 12 };

/* A primitive and the memory of one part of its work. */
struct native_dnnl_part {
    dnnl_primitive_t primitive; /* may be shared with other parts */
    dnnl_exec_arg_t args[NATIVE_DNNL_MAX_ARGS];
    int n_args;
    int scratch; /* index in args, -1 = none */
};

/* Adds an argument; data may be NULL and set before each run. */
void native_dnnl_add(struct native_dnnl_part *part, int arg, const dnnl_memory_desc_t *desc, const void *data);
void native_dnnl_set(struct native_dnnl_part *part, int index, const void *data);
/* Executes; the scratch is this thread's. */
void native_dnnl_run(struct native_dnnl_part *part, unsigned char *scratch);
/* Frees the memory objects; the primitive is the owner's. */
void native_dnnl_release(struct native_dnnl_part *part);
/* Bytes of scratch that the primitive wants. */
int64_t native_dnnl_scratch(const_dnnl_primitive_desc_t desc, struct native_dnnl_part *part);
/* Reorders weights once into `desc` at `to`. */
enum assay_status native_dnnl_pack(const dnnl_memory_desc_t *from_desc, const void *from, const dnnl_memory_desc_t *to_desc,
                                   void *to, struct assay_error *err);

#endif
