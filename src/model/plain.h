/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of models written by hand in PyTorch: weights, and a config.json that describes the layers in prose ("arch") instead of
 * naming a model type. What lstm.c, ds_cnn.c and plain_resnet.c build is recognised by the names of its tensors; sizes are
 * those of the tensors. Strides and paddings, which no tensor shows, are read out of the prose as PyTorch writes them.
 */
#ifndef ASSAY_MODEL_PLAIN_H
#define ASSAY_MODEL_PLAIN_H

#include "base/json.h"
#include "model/checkpoint.h"

/* The config that the family reads, the caller's to json_decref; NULL if the folder is none of these. */
json_t *assay_plain_config(const json_t *config, const struct assay_checkpoint *checkpoint);

#endif
