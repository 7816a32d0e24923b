#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: onnxruntime.sh ASSAY [ROUNDS]
# cpu/native against cpu/onnxruntime: the real models of suites/first.yaml and one size of each family, batch 1 and 8, 1 and 2 threads,
# f32. Each case is a process of its own, and the two runtimes take turns; a round gives a ratio of medians, and the table the median of
# these ratios with the smallest and largest. By hand, on a quiet machine: half an hour.
set -eu
assay=$1 rounds=${2:-5}
suites=$(cd "$(dirname "$0")/../../../suites" && pwd)
ASSAY_LAKE=$(mktemp -d)
export ASSAY_LAKE
trap 'rm -rf "$ASSAY_LAKE"' EXIT
for suite in first families; do
    "$assay" bench --suite "$suites/$suite.yaml" --platform cpu/native,cpu/onnxruntime --batch 1,8 --threads 1,2 --precision f32 \
        --rounds "$rounds" --min-time 0.3 --max-time 1 --warmup-time 0.5 --log warning >/dev/null || true
done
pairs="with r as (select model, batch, threads, new_tokens, runtime, latency_median_ns as ns, row_number() over
           (partition by model, batch, threads, new_tokens, runtime order by time) as round from results where status = 'ok'),
       p as (select n.*, o.ns / n.ns as ratio from r n join r o using (model, batch, threads, new_tokens, round)
           where n.runtime = 'native' and o.runtime = 'onnxruntime'),
       m as (select model, batch, threads, new_tokens, median(ratio) as ratio, min(ratio) as low, max(ratio) as high, count(*) as rounds,
           median(ns) / 1e6 as native_ms from p group by all)"
"$assay" query "$pairs select model, batch, threads, new_tokens, round(native_ms, 3) as native_ms, round(ratio, 2) as ratio,
    round(low, 2) as low, round(high, 2) as high, rounds from m order by model, new_tokens, batch, threads"
"$assay" query "$pairs select threads, batch, count(*) as cases, round(exp(avg(ln(ratio))), 3) as geometric_mean,
    round(min(ratio), 2) as worst from m group by all order by all"
"$assay" query "select model, batch, threads, platform, status, reason from results where status <> 'ok' order by all"
