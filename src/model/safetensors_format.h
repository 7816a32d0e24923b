/* SPDX-License-Identifier: Apache-2.0 */
/* What reading and writing safetensors files share. Only for safetensors.c and safetensors_write.c. */
#ifndef ASSAY_MODEL_SAFETENSORS_FORMAT_H
#define ASSAY_MODEL_SAFETENSORS_FORMAT_H

#include "graph/dtype.h"

enum {
    SAFETENSORS_LENGTH_BYTES = 8, /* little-endian length of the header */
    /* Room for 100,000 tensors; the format allows 100 MB, but JSON made to harm needs forty times its size in memory. */
    SAFETENSORS_LARGEST_HEADER = 16 << 20,
    SAFETENSORS_ALIGNMENT = 64, /* of the data that we write */
};

/* "F32"; NULL if the format has no such type. */
const char *assay_safetensors_word(enum assay_dtype dtype);

#endif
