#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: pytorch_training.sh BENCH_TRAINING_STEP [ROUNDS] [STEPS]
# Training steps of cpu/native against Debian's PyTorch: the same architectures, batches, threads, optimizers, in f32 and in bf16 (PyTorch
# by autocast; parameters stay f32 in both). All take turns, each a process of its own; a round gives a ratio of medians, and the table
# the median of these ratios with the smallest and largest, of wall time and of CPU time (which a busy machine disturbs less), native's
# FLOPs over the measured peak, and both peaks of resident memory. By hand, on a quiet machine. PRECISIONS=f32 leaves bf16 out, MODELS
# names the models to run.
#
# PyTorch wants an optimized BLAS: OPENBLAS names the folder of libopenblas0-openmp's libblas.so.3 where it is not the system's.
set -eu
bench=$1 rounds=${2:-5} steps=${3:-8}
here=$(cd "$(dirname "$0")" && pwd)
python=/usr/bin/python3
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "skipped: python3-torch is not installed"
    exit 0
fi
openblas=${OPENBLAS:-/usr/lib/x86_64-linux-gnu/openblas-openmp}
if [ ! -e "$openblas/libblas.so.3" ]; then
    echo "skipped: there is no $openblas/libblas.so.3 (libopenblas0-openmp), and with the plain BLAS PyTorch is 20 times slower"
    exit 0
fi
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT

# model, batch, optimizer, dimensions
pair() {
    model=$1 batch=$2 optimizer=$3
    shift 3
    case " ${MODELS:-$model} " in *" $model "*) ;; *) return 0 ;; esac
    for threads in 1 2; do
        [ "$threads" -le "$(nproc)" ] || continue
        round=0
        while [ "$round" -lt "$rounds" ]; do
            for precision in ${PRECISIONS:-f32 bf16}; do
                native=$(env -i PATH=/usr/bin:/bin HOME="$HOME" taskset -c "0-$((threads - 1))" "$bench" "$model" cpu/native "$threads" \
                    "$precision" "$optimizer" "$steps" 0 "batch=$batch" "$@")
                peer=$(env -i PATH=/usr/bin:/bin HOME="$HOME" LD_LIBRARY_PATH="$openblas" OMP_NUM_THREADS="$threads" \
                    OMP_WAIT_POLICY=passive taskset -c "0-$((threads - 1))" "$python" "$here/pytorch_training.py" "$model" "$threads" \
                    "$precision" "$steps" "$batch")
                printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$model" "$batch" "$threads" "$precision" "$native" "$peer" >>"$lines"
            done
            round=$((round + 1))
        done
    done
}

pair bert-base-uncased 4 adamw sequence=128
pair gpt2 1 adamw sequence=128
pair gpt2 4 adamw sequence=128
pair resnet-18 8 sgd:momentum=0.9 height=224 width=224
pair ds-cnn-s 8 sgd:momentum=0.9

"$python" - "$lines" <<'END'
import collections
import json
import statistics
import sys

cases = collections.OrderedDict()
for line in open(sys.argv[1]):
    model, batch, threads, precision, native, peer = line.rstrip("\n").split("\t")
    cases.setdefault((model, batch, threads, precision), []).append((json.loads(native), json.loads(peer)))
print(f"{'model':20} {'batch':>5} {'threads':>7} {'dtype':>5} {'native ms':>10} {'PyTorch ms':>10} {'ratio':>22} {'of CPU time':>12} {'of peak':>8} {'MiB':>13}")
for (model, batch, threads, precision), pairs in cases.items():
    ratios = [p["step_ms"] / n["step_ms"] for n, p in pairs]
    cpu = statistics.median(p["cpu_ms"] / n["cpu_ms"] for n, p in pairs)
    ms = [statistics.median(x[k]["step_ms"] for x in pairs) for k in (0, 1)]
    mib = [statistics.median(x[k]["peak_mib"] for x in pairs) for k in (0, 1)]
    share = statistics.median(n["peak_share"] for n, p in pairs)
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"{model:20} {batch:>5} {threads:>7} {precision:>5} {ms[0]:10.1f} {ms[1]:10.1f} {spread:>22} {cpu:12.2f} {share:8.0%} {mib[0]:6.0f}/{mib[1]:.0f}")
END
