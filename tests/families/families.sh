#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: families.sh ASSAY FOLDER
# Checks each folder below FOLDER that has a config.json, inputs, and the outputs of PyTorch: models of Hugging Face, what they generate
# too, plain ones, and preprocessing; on three runtimes, as it stands and with config_hub.json, the short form, in the place of config.json.
# Every output must be given, and be equal.
assay=$1 folder=$2 n=0 failed=0 texts=0 outputs=0
if [ ! -d "$folder" ]; then
    echo "skipped: $folder is not there (outputs of Hugging Face Transformers, which are not part of this repository)"
    exit 77
fi
folder=$(cd "$folder" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
check() { # FOLDER PLATFORM
    n=$((n + 1))
    if ! "$assay" check "$1" --platform "$2" --format csv >"$scratch/log" 2>&1 || grep -q 'not compared' "$scratch/log"; then
        failed=$((failed + 1))
        echo "FAILED $1 on $2"
        grep -v ',ok,$' "$scratch/log" | tail -5
    fi
    outputs=$((outputs + $(grep -c ',ok,' "$scratch/log")))
    texts=$((texts + $(grep -c ',sequences,.*,ok,' "$scratch/log")))
}
for config in "$folder"/*/config.json; do
    model=$(dirname "$config")
    [ -f "$model/inputs.safetensors" ] || continue
    short=$scratch/$(basename "$model")
    mkdir "$short"
    ln -s "$model"/* "$short/"
    [ -f "$model/config_hub.json" ] && ln -sf "$model/config_hub.json" "$short/config.json"
    for platform in cpu/reference cpu/native cpu/onnxruntime; do
        check "$model" "$platform"
        [ -f "$model/config_hub.json" ] && check "$short" "$platform"
    done
done
echo "$((n - failed)) of $n checks passed: $outputs outputs equal, $texts of them what models generated"
[ "$n" -gt 0 ] && [ "$failed" -eq 0 ] && [ "$texts" -gt 0 ]
