#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: families.sh ASSAY FOLDER
# Checks each Hugging Face folder below FOLDER (config.json with a model_type, weights, inputs and outputs of PyTorch) on two runtimes, as
# it stands and with config_hub.json, the short form, in the place of config.json.
assay=$1 folder=$2 n=0 failed=0
if [ ! -d "$folder" ]; then
    echo "skipped: $folder is not there (outputs of Hugging Face Transformers, which are not part of this repository)"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for config in "$folder"/*/config.json; do
    model=$(dirname "$config")
    [ -f "$model/model.safetensors" ] && grep -q '"model_type"' "$config" || continue
    short=$scratch/$(basename "$model")
    mkdir "$short"
    ln -s "$model"/* "$short/"
    [ -f "$model/config_hub.json" ] && ln -sf "$model/config_hub.json" "$short/config.json"
    for form in "$model" "$short"; do
        for platform in cpu/reference cpu/onnxruntime; do
            n=$((n + 1))
            "$assay" check "$form" --platform "$platform" >"$scratch/log" 2>&1 || {
                failed=$((failed + 1))
                echo "FAILED $form on $platform"
                tail -5 "$scratch/log"
            }
        done
    done
done
echo "$((n - failed)) of $n checks passed"
[ "$n" -gt 0 ] && [ "$failed" -eq 0 ]
