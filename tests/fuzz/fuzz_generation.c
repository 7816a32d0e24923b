/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that begin, pad and end a text, from a config of anywhere: within their bounds, or a sentence. */
#include "fuzz.h"
#include "model/generation_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct assay_model_generation generation = {0};
    struct assay_error err = {0};
    json_t *config;
    if (assay_json_parse((const char *)data, size, "fuzz", &config, &err))
        return 0;
    enum assay_status st = assay_generation_read(config, "fuzz", &generation, &err);
    ASSAY_ASSERT(st ? *err.message != 0 : generation.n_eos_tokens >= 0 && generation.n_eos_tokens <= ASSAY_MAX_EOS_TOKENS);
    json_decref(config);
    return 0;
}
