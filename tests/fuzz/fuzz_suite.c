/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: a suite file. Whatever the text says, there is no crash, a refusal has a sentence that begins with the file,
 * and a suite that is taken has cases whose numbers the plan then judges (there is no model).
 */
#include "bench/plan.h"
#include "bench/suite.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *model[] = {"/nonexistent/model.onnx"};
    struct assay_suite suite;
    struct assay_error err = {.message = ""};
    if (assay_suite_parse(&suite, (const char *)data, size, "/nonexistent", "suite.yaml", &err)) {
        ASSAY_ASSERT(err.status == ASSAY_INVALID);
        ASSAY_ASSERT(strncmp(err.message, "suite.yaml: ", 12) == 0);
    } else {
        ASSAY_ASSERT(suite.n_specs > 0);
        for (size_t i = 0; i < suite.n_specs; i++) {
            struct assay_plan plan;
            suite.specs[i].models = (struct assay_text_list){model, 1};
            assay_plan_init(&plan);
            err.message[0] = 0;
            if (assay_plan_add(&plan, &suite.specs[i], &err))
                ASSAY_ASSERT(err.message[0]);
            else
                ASSAY_ASSERT(plan.n_cases == 0 && plan.n_unreadable == 1);
            assay_plan_release(&plan);
        }
    }
    assay_suite_release(&suite);
    return 0;
}
