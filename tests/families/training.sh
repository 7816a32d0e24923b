#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: training.sh ASSAY FOLDER [PLATFORM…]
# Trains the model of each folder below FOLDER that has a train.safetensors, what PyTorch's training of it gave, as it stands and with
# config_hub.json, the short form, in the place of config.json: losses, gradients and updates must be equal. Platforms: all three.
assay=$1 folder=$2 n=0 failed=0 differ=0 outputs=0
if [ ! -d "$folder" ]; then
    echo "skipped: $folder is not there (training of Hugging Face Transformers, which is not part of this repository)"
    exit 77
fi
shift 2
[ $# -gt 0 ] || set -- cpu/reference cpu/native cpu/onnxruntime
folder=$(cd "$folder" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Where a gradient is zero but for rounding, Adam's first step goes by its sign alone, and these platforms' rounding turns one over
# (docs/models.md): told, not counted as failed.
known=" mobilenet_v2:cpu/native torch_dscnn:cpu/onnxruntime torch_lstm:cpu/onnxruntime "
check() { # FOLDER PLATFORM
    n=$((n + 1))
    if "$assay" check "$1" --mode training --platform "$2" --format csv >"$scratch/log" 2>&1; then
        :
    elif [ "${known#* "$(basename "$1"):$2" }" != "$known" ]; then
        differ=$((differ + 1))
        echo "known difference: $(basename "$1") on $2"
    else
        failed=$((failed + 1))
        echo "FAILED $1 on $2"
        grep -v ',ok,$' "$scratch/log" | tail -5
    fi
    outputs=$((outputs + $(grep -c ',ok,' "$scratch/log")))
}
for wanted in "$folder"/*/train.safetensors; do
    [ -f "$wanted" ] || continue
    model=$(dirname "$wanted")
    short=$scratch/$(basename "$model")
    mkdir "$short"
    ln -s "$model"/* "$short/"
    [ -f "$model/config_hub.json" ] && ln -sf "$model/config_hub.json" "$short/config.json"
    for platform; do
        check "$model" "$platform"
        [ -f "$model/config_hub.json" ] && check "$short" "$platform"
    done
done
echo "$((n - failed - differ)) of $n checks passed, $differ with known differences: $outputs tensors equal"
[ "$n" -gt 0 ] && [ "$failed" -eq 0 ]
