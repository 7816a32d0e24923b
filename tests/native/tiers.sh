#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: tiers.sh ASSAY FIXTURES [TEST_PROGRAMS]
# Each instruction set tier of cpu/native that this CPU has, a process each: ONNX's conformance suite and the models with PyTorch's
# outputs below FIXTURES, on 1 and 2 threads, as many passed as on the best tier; and the test programs of the kernels, which have
# both themselves, but on the best tier, where ctest runs them anyway.
assay=$1 fixtures=$2 programs=$3
suite=${ASSAY_ONNX_TESTDATA:-/usr/share/libonnx-testdata/data}
n_ran=0 failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
    failed=$((failed + 1))
    echo "FAILED $*"
}
passed() { # FOLDER ISA THREADS: how many of the tests below it, if none is wrong
    "$assay" check --all "$1" --platform cpu/native ${2:+--isa "$2"} --threads "$3" >"$scratch/log" 2>&1
    sed -n 's/^cpu\/native: \([0-9]*\) of .*none wrong$/\1/p' "$scratch/log"
}
compare() { # FOLDER ISA WANTED
    for threads in 1 2; do
        got=$(passed "$1" "$2" $threads)
        [ -n "$3" ] && [ "$got" = "$3" ] ||
            fail "$2 on $threads threads: of $1 ${got:-some wrong} where the best tier passes ${3:-none}: $(tail -1 "$scratch/log")"
    done
}
run_programs() { # ISA
    for program in "$programs".body "$programs".kernels.*; do
        ASSAY_TEST_ISA=$1 "$program" >"$scratch/log" 2>&1
        case $? in
        0 | 77) ;;
        *) fail "$1: $program: $(grep -m 1 -v '^FAILED' "$scratch/log")" ;;
        esac
    done
}
if [ ! -d "$suite/node" ]; then
    echo "skipped: $suite is not there (Debian package libonnx-testdata)"
    exit 77
fi
suite_wanted=$(passed "$suite" '' 1)
if [ -d "$fixtures" ]; then
    fixtures_wanted=$(passed "$fixtures" '' 1)
else
    echo "without models: $fixtures is not there (PyTorch's outputs, which are not part of this repository)"
fi
for isa in amx avx512_bf16 avx512_vnni avx512 avx2 sse4.1 neon; do
    why=$("$assay" check "$suite/node/test_relu" --platform cpu/native --isa $isa | grep -o 'this CPU has no.*')
    if [ -n "$why" ]; then
        echo "$isa: not run, $why"
        continue
    fi
    n_ran=$((n_ran + 1))
    compare "$suite" $isa "$suite_wanted"
    [ -d "$fixtures" ] && compare "$fixtures" $isa "$fixtures_wanted"
    [ -n "$programs" ] && [ $n_ran -gt 1 ] && run_programs $isa
    echo "$isa: ${suite_wanted:-none} of the suite, ${fixtures_wanted:-no} models"
done
[ $n_ran -gt 0 ] && [ $failed -eq 0 ]
