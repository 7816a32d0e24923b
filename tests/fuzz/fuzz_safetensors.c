/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: a safetensors file. Whatever its bytes say, there is no crash, a refusal has a sentence, and of a file that
 * is taken every element can be read.
 */
#include "fuzz.h"
#include "model/safetensors.h"

/* Where the sum goes, so that the reads are not left out. */
static volatile double sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct assay_safetensors file;
    struct assay_error err = {.message = ""};
    if (assay_safetensors_parse(&file, data, size, "the input", &err)) {
        ASSAY_ASSERT(err.message[0]);
        ASSAY_ASSERT(err.status == ASSAY_INVALID || err.status == ASSAY_UNSUPPORTED || err.status == ASSAY_NO_MEMORY);
        return 0;
    }
    double sum = 0;
    for (size_t i = 0; i < file.n; i++) {
        const struct assay_tensor *tensor = &file.entries[i].tensor;
        ASSAY_ASSERT(assay_safetensors_find(&file, file.entries[i].name) == tensor);
        for (int64_t k = 0, n = assay_tensor_count(tensor); k < n; k++)
            sum += assay_tensor_real(tensor, k);
    }
    sink = sum;
    assay_safetensors_release(&file);
    return 0;
}
