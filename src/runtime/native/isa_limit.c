/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps oneDNN to a tier (isa.h); apart from the tiers themselves, which the vector loops know without oneDNN. */
#include "runtime/native/isa.h"

#include <oneapi/dnnl/dnnl.h>

static dnnl_cpu_isa_t library_isa(enum native_isa isa)
{
    switch (isa) {
    case NATIVE_ISA_SSE41:
        return dnnl_cpu_isa_sse41;
    case NATIVE_ISA_AVX2:
        return dnnl_cpu_isa_avx2;
    case NATIVE_ISA_AVX512:
        return dnnl_cpu_isa_avx512_core;
    case NATIVE_ISA_AVX512_VNNI:
        return dnnl_cpu_isa_avx512_core_vnni;
    case NATIVE_ISA_AVX512_BF16:
        return dnnl_cpu_isa_avx512_core_bf16;
    default:
        return dnnl_cpu_isa_all;
    }
}

enum assay_status native_isa_limit(enum native_isa isa, struct assay_error *err)
{
    dnnl_cpu_isa_t wanted = isa == native_isa_best() ? dnnl_cpu_isa_all : library_isa(isa);
    dnnl_status_t st = dnnl_set_max_cpu_isa(wanted);
    dnnl_cpu_isa_t got = dnnl_get_effective_cpu_isa();
    if (wanted == dnnl_cpu_isa_all ? st == dnnl_success || got >= library_isa(isa) : got == wanted)
        return ASSAY_OK;
    return assay_error_set(
        err, ASSAY_UNSUPPORTED,
        "oneDNN was told another instruction set tier than %s before in this process: run it in one of its own",
        native_isa_word(isa));
}
