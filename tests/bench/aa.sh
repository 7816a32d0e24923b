#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A/A: measures one case again and again through `assay bench`, a process a run, and counts how often a comparison of it with itself
# reports a difference (bench.aa). With 3 runs a side, 1200 runs are 200 comparisons; some ten minutes.
#
#     tests/bench/aa.sh BUILD_FOLDER [RUNS [LAKE]]
set -eu
build=$1 runs=${2:-1200} lake=${3:-$(mktemp -d)}
model=$(dirname "$0")/../../deps/node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx
"$build/assay" bench "$model" --platform cpu/onnxruntime --threads 1 --rounds "$runs" --lake "$lake" --resume --no-ceilings \
    --shape input=1x512 --shape state=2x1x128 --shape sr= --input input=audio --input state=zeros --input sr=constant:16000 \
    --min-time 0.1 --max-time 0.2 --warmup-time 0.1 >/dev/null
"$build/tests/bench/bench.aa" "$lake"
