/* SPDX-License-Identifier: Apache-2.0 */
/* See plain_data.h. */
#include "bench/plain_data.h"

#include "base/json.h"

#include <string.h>

static bool is_plain(const char *folder)
{
    struct assay_arena arena;
    json_t *config = NULL;
    assay_arena_init(&arena);
    bool plain = !assay_json_read(assay_path_join(&arena, folder, "config.json"), &config, NULL) &&
                 !json_object_get(config, "model_type") && !json_object_get(config, "architectures");
    json_decref(config);
    assay_arena_release(&arena);
    return plain;
}

static void take_first_batch(struct assay_type *type)
{
    if (type->rank < 1 || type->dims[0] < 1)
        return;
    for (int d = 1; d < type->rank; d++)
        type->dims[d - 1] = type->dims[d];
    type->rank--;
}

void assay_plain_data(const char *folder, struct assay_safetensors *in, struct assay_safetensors *out)
{
    static const char prefix[] = "eval.";
    if (!is_plain(folder))
        return;
    size_t n_kept = 0;
    for (size_t i = 0; in && i < in->n; i++) {
        if (strcmp(in->entries[i].name, "labels") == 0) {
            assay_tensor_release(&in->entries[i].tensor);
            continue;
        }
        in->entries[n_kept] = in->entries[i];
        take_first_batch(&in->entries[n_kept++].tensor.type);
    }
    if (in)
        in->n = n_kept;
    for (size_t i = 0; out && i < out->n; i++)
        if (strncmp(out->entries[i].name, prefix, strlen(prefix)) == 0)
            out->entries[i].name += strlen(prefix);
}
