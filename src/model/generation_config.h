/* SPDX-License-Identifier: Apache-2.0 */
/* Which tokens begin, pad and end a generated text: from config.json and generation_config.json. */
#ifndef ASSAY_MODEL_GENERATION_CONFIG_H
#define ASSAY_MODEL_GENERATION_CONFIG_H

#include "model/model.h"

/* Fills the tokens of *generation from a config; what it leaves out has the default of Transformers' config class, or is what its
 * text_config says. `where` begins the sentences of errors. */
enum assay_status assay_generation_read(const json_t *config, const char *where, struct assay_model_generation *generation,
                                        struct assay_error *err);
/* As Transformers does, the folder's generation_config.json, if there is one, then says all of them, also that there is none; but
 * for a start token, of which the config's stays. After the config was read. */
enum assay_status assay_generation_read_folder(const char *folder, struct assay_model_generation *generation,
                                               struct assay_error *err);

#endif
