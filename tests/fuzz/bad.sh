#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: bad.sh ASSAY FOLDER
# Gives the program each bad config, safetensors file and folder below FOLDER (make_bad_corpus.py) and compares its exit code and what it
# says with FOLDER/said.txt, a sentence for each. With UPDATE=1 it writes that file instead.
assay=$1 folder=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# What the program says of the folder "model", with the lie's name before it.
say() {
    (cd "$scratch" && "$assay" models model --format csv >out 2>err)
    printf '%s [%s] ' "$1" $?
    cat "$scratch/err"
    rm -rf "$scratch/model"
}
{
    for path in "$folder"/config/*.json; do
        mkdir "$scratch/model"
        cp "$path" "$scratch/model/config.json"
        say "$(basename "$path")"
    done
    for path in "$folder"/safetensors/*.safetensors; do
        mkdir "$scratch/model"
        cp "$folder/config.json" "$scratch/model/"
        cp "$path" "$scratch/model/model.safetensors"
        say "$(basename "$path")"
    done
    for path in "$folder"/folder/*; do
        cp -r "$path" "$scratch/model"
        say "$(basename "$path")/"
    done
} >"$scratch/said"
if [ -n "$UPDATE" ]; then
    cp "$scratch/said" "$folder/said.txt"
    exit 0
fi
diff -u "$folder/said.txt" "$scratch/said"
