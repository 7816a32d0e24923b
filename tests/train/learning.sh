#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: learning.sh ASSAY [fashion|commands|bible …]
# Trains what docs/training.md promises to the end, and says what the test split gives, how long the whole took (datasets that are not in
# the cache yet are made in it), and whether that is what was promised: within ten minutes each, on two cores and a quiet machine. Exit
# code 1 where something is missed. By hand; SEED and OUTPUT (a folder for runs, else nothing is kept) may be set.
set -eu
assay=$1
shift
[ $# -gt 0 ] || set -- fashion commands bible
threads=$(nproc)
[ "$threads" -gt 2 ] && threads=2
missed=0 limit_s=600

# NAME METRIC at-least|at-most TARGET MODEL [OPTION…]
learn() {
    name=$1 metric=$2 sense=$3 target=$4
    shift 4
    [ -z "${OUTPUT:-}" ] || set -- "$@" --output "$OUTPUT/$name"
    begin=$(date +%s)
    result=$("$assay" train "$@" --seed "${SEED:-1}" --threads "$threads" --format json) || exit 1
    took_s=$(($(date +%s) - begin))
    reached=$(printf '%s' "$result" | sed -n 's/.*"test":\([-+.0-9e]*\).*/\1/p')
    verdict=$(awk -v x="$reached" -v t="$target" -v s="$sense" 'BEGIN { print (x != "" && (s == "at-least" ? x >= t : x <= t)) ? "reached" : "MISSED" }')
    [ "$took_s" -le "$limit_s" ] || verdict="$verdict, but TOO SLOW"
    [ "$verdict" = reached ] || missed=1
    printf '%s: test %s %.4f, wanted %s %s, %d s of %d: %s\n' "$name" "$metric" "$reached" "$(echo "$sense" | tr - ' ')" "$target" \
        "$took_s" "$limit_s" "$verdict"
}

for what in "$@"; do
    case $what in
    fashion)
        learn fashion accuracy at-least 0.92 PlainResNetForImageClassification --config num_channels=1 --config embedding_size=32 \
            --config 'hidden_sizes=[32,64,128]' --data fashion-mnist --batch 128 --epochs 8 \
            --optimizer sgd:momentum=0.9:nesterov:weight-decay=5e-4 --learning-rate 0.2 --schedule cosine:warmup=15% \
            --augment height=1:width=1:mirror
        ;;
    commands)
        learn commands accuracy at-least 0.95 ds-cnn-s --data spoken-commands:seed=1 --batch 64 --epochs 8 --learning-rate 0.003 \
            --schedule cosine:warmup=5% --augment height=4
        ;;
    bible)
        learn bible bits-per-byte at-most 1.8 GPT2LMHeadModel --config n_embd=192 --config n_layer=4 --config n_head=6 \
            --config n_positions=128 --no-dropout --data bible:bpe=1024 --batch 16 --epochs 4 \
            --optimizer adamw:beta2=0.95:weight-decay=0.1 --learning-rate 0.003 --clip-norm 1 --schedule cosine:warmup=5%
        ;;
    *)
        echo "$what? There are fashion, commands and bible" >&2
        exit 2
        ;;
    esac
done
exit $missed
