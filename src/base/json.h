/* SPDX-License-Identifier: Apache-2.0 */
/* JSON is Jansson's json_t; here only what it lacks: errors as sentences and optional members with a type check. */
#ifndef ASSAY_BASE_JSON_H
#define ASSAY_BASE_JSON_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses a whole text; `where` (a file name) begins the sentence, which names line and column. Free with json_decref. */
enum assay_status assay_json_parse(const char *text, size_t size_bytes, const char *where, json_t **value,
                                   struct assay_error *err);
enum assay_status assay_json_read(const char *path, json_t **value, struct assay_error *err);

/* Member of an object, or the default if it is missing or null. A member of another type is ASSAY_INVALID with its name. */
enum assay_status assay_json_text(const json_t *object, const char *name, const char *otherwise, const char **value,
                                  struct assay_error *err);
enum assay_status assay_json_int(const json_t *object, const char *name, int64_t otherwise, int64_t *value,
                                 struct assay_error *err);
enum assay_status assay_json_real(const json_t *object, const char *name, double otherwise, double *value,
                                  struct assay_error *err);
enum assay_status assay_json_bool(const json_t *object, const char *name, bool otherwise, bool *value, struct assay_error *err);

#endif
