/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: a result row from JSON text. Whatever the text says, there is no crash, a refusal has a sentence, and a row
 * that is taken goes out as JSON and comes in again as the same row.
 */
#include "fuzz.h"
#include "row/row.h"

#include <stdlib.h>

/* The row as JSON once more, through text. */
static json_t *through_text(const json_t *object, struct assay_error *err)
{
    struct assay_row row;
    json_t *again = NULL;
    char *text = json_dumps(object, 0);
    ASSAY_ASSERT(text);
    json_t *parsed = json_loads(text, 0, NULL);
    ASSAY_ASSERT(parsed);
    assay_row_init(&row);
    if (assay_row_from_json(&row, parsed, err) == ASSAY_OK)
        again = assay_row_to_json(&row, false);
    assay_row_release(&row);
    json_decref(parsed);
    free(text);
    return again;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *object = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!object)
        return 0;
    struct assay_row row;
    struct assay_error err = {.message = ""};
    assay_row_init(&row);
    if (assay_row_from_json(&row, object, &err)) {
        ASSAY_ASSERT(err.message[0]);
        ASSAY_ASSERT(err.status == ASSAY_INVALID);
    } else {
        err.message[0] = '\0';
        ASSAY_ASSERT(assay_row_check(&row, &err) == ASSAY_OK || err.message[0]);
        json_t *out = assay_row_to_json(&row, false);
        json_t *again = through_text(out, &err);
        ASSAY_ASSERT(again && json_equal(out, again));
        json_decref(again);
        json_decref(out);
    }
    assay_row_release(&row);
    json_decref(object);
    return 0;
}
