/* SPDX-License-Identifier: Apache-2.0 */
/* See dtype.h. */
#include "graph/dtype.h"

#include "base/status.h"

size_t assay_dtype_size(enum assay_dtype dtype)
{
    switch (dtype) {
#define X(name, number, word, size, type)                                                                                        \
    case ASSAY_##name:                                                                                                           \
        return size;
        ASSAY_DTYPES(X)
#undef X
    default:
        return 0;
    }
}

const char *assay_dtype_word(int dtype)
{
    /* ONNX's names of the types that we do not have, in the order of their numbers; ours are filled in from the list. */
    static const char *const words[] = {[0] = "unknown",
                                        [8] = "string",
                                        [14] = "complex64",
                                        [15] = "complex128",
                                        [17] = "float8e4m3fn",
                                        [18] = "float8e4m3fnuz",
                                        [19] = "float8e5m2",
                                        [20] = "float8e5m2fnuz",
                                        [23] = "float4e2m1",
#define X(name, number, word, size, type) [number] = word,
                                        ASSAY_DTYPES(X)
#undef X
#define X(name, number, word) [number] = word,
                                            ASSAY_PACKED_DTYPES(X)
#undef X
    };
    return dtype >= 0 && (size_t)dtype < ASSAY_COUNT(words) && words[dtype] ? words[dtype] : "unknown";
}

enum assay_dtype assay_dtype_from_word(const char *word)
{
#define X(name, number, its_word, size, type)                                                                                    \
    if (strcmp(word, its_word) == 0)                                                                                             \
        return ASSAY_##name;
    ASSAY_DTYPES(X)
#undef X
    return ASSAY_NO_DTYPE;
}

bool assay_dtype_is_packed(enum assay_dtype dtype) { return dtype == ASSAY_U4 || dtype == ASSAY_I4; }

bool assay_dtype_is_float(enum assay_dtype dtype)
{
    return dtype == ASSAY_F32 || dtype == ASSAY_F64 || dtype == ASSAY_F16 || dtype == ASSAY_BF16;
}

bool assay_dtype_is_integer(enum assay_dtype dtype)
{
    return dtype == ASSAY_U8 || dtype == ASSAY_I8 || dtype == ASSAY_U16 || dtype == ASSAY_I16 || dtype == ASSAY_I32 ||
           dtype == ASSAY_I64 || dtype == ASSAY_U32 || dtype == ASSAY_U64;
}
