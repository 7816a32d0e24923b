/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz target defines. libFuzzer, or replay.c, calls it with bytes that may be anything. */
#ifndef ASSAY_TESTS_FUZZ_H
#define ASSAY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0. What is wrong with the code under test stops the program: a sanitizer, or ASSAY_ASSERT. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
