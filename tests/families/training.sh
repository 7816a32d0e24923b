#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: training.sh ASSAY FOLDER [PLATFORM…]
# Trains the model of each folder below FOLDER that has a train.safetensors, what PyTorch's training of it gave, as it stands and with
# config_hub.json, the short form, in the place of config.json: losses, gradients and updates must be equal. Platforms: all three.
assay=$1 folder=$2 n=0 failed=0 outputs=0 noise=0 spread=0
if [ ! -d "$folder" ]; then
    echo "skipped: $folder is not there (training of Hugging Face Transformers, which is not part of this repository)"
    exit 77
fi
shift 2
[ $# -gt 0 ] || set -- cpu/reference cpu/native cpu/onnxruntime
folder=$(cd "$folder" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
check() { # FOLDER PLATFORM
    n=$((n + 1))
    if "$assay" check "$1" --mode training --platform "$2" --format csv >"$scratch/log" 2>&1; then
        :
    else
        failed=$((failed + 1))
        echo "FAILED $1 on $2"
        grep -v ',ok,$' "$scratch/log" | tail -5
    fi
    outputs=$((outputs + $(grep -c ',ok,' "$scratch/log")))
    noise=$((noise + $(grep -c ',ok,"*within PyTorch' "$scratch/log")))
    spread=$((spread + $(grep -c ',ok,"*not determined' "$scratch/log")))
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
echo "$((n - failed)) of $n checks passed: $outputs tensors equal, of them $noise within PyTorch's own noise and"
echo "$spread within what weights moved by 2^-22 of themselves do, the others within 1e-5"
[ "$n" -gt 0 ] && [ "$failed" -eq 0 ]
