#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: tiers.sh ASSAY TEST_PROGRAMS FIXTURES
# Each instruction set tier of cpu/native that this CPU has, a process each: ONNX's conformance suite and the models with PyTorch's
# outputs below FIXTURES, as many passed as on the best tier; and the test programs of the kernels.
assay=$1 programs=$2 fixtures=$3
data=${ASSAY_ONNX_TESTDATA:-/usr/share/libonnx-testdata/data}
n_ran=0 failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
    failed=$((failed + 1))
    echo "FAILED $*"
}
passed() { # ISA THREADS: how many of the suite; each that is wrong is told
    "$assay" check --all "$data" --platform cpu/native ${1:+--isa "$1"} --threads "$2" >"$scratch/log" 2>&1
    sed -n 's/^cpu\/native: \([0-9]*\) of .*/\1/p' "$scratch/log"
}
if [ -d "$data/node" ]; then
    wanted=$(passed '' 1)
else
    echo "without the conformance suite: $data is not there (Debian package libonnx-testdata)"
fi
for isa in sse4.1 avx2 avx512 avx512_vnni avx512_bf16 amx; do
    if ! ASSAY_TEST_ISA=$isa "$programs.kernels.native_recurrent" >"$scratch/log" 2>&1; then
        if grep -q 'this CPU has no' "$scratch/log"; then
            echo "$isa: not run, $(grep -o 'this CPU has no.*' "$scratch/log" | head -1)"
            continue
        fi
    fi
    n_ran=$((n_ran + 1))
    for program in "$programs".body "$programs".kernels.*; do
        ASSAY_TEST_ISA=$isa "$program" >"$scratch/log" 2>&1
        case $? in
        0 | 77) ;;
        *) fail "$isa: $program: $(grep -m 1 -v '^FAILED' "$scratch/log")" ;;
        esac
    done
    for threads in 1 2; do
        if [ -n "$wanted" ]; then
            got=$(passed $isa $threads)
            [ "$got" = "$wanted" ] || fail "$isa on $threads threads: ${got:-fewer} of the suite where the best tier passes $wanted"
        fi
        for config in "$fixtures"/*/config.json; do
            model=$(dirname "$config")
            [ -f "$model/inputs.safetensors" ] || continue
            [ $threads -eq 2 ] || [ $isa = avx2 ] || continue # one thread does what two do, in one part
            "$assay" check "$model" --platform cpu/native --isa $isa --threads $threads >"$scratch/log" 2>&1 ||
                fail "$isa on $threads threads: $model: $(tail -1 "$scratch/log")"
        done
    done
    echo "$isa: ${wanted:-none} of the suite, models of $fixtures, kernels"
done
[ $n_ran -gt 0 ] && [ $failed -eq 0 ]
