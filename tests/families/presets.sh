#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: presets.sh PRESET_RUN [--full] [NAME...]
# Every preset (or those named): built with random weights, exported, taken by ONNX's checker, and run on the reference and on ONNX
# Runtime with outputs that agree. One layer deep and on small inputs, unless --full is given.
run=$1
shift
full=
[ "$1" = --full ] && full=full && shift
# Small files need no disk.
[ "$full" ] || [ ! -w /dev/shm ] || TMPDIR=/dev/shm
export TMPDIR
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
"$run" list $full >"$scratch/names" || exit 1
[ $# -gt 0 ] && printf '%s\n' "$@" >"$scratch/names"
python=/usr/bin/python3 # Debian's, whatever stands before it in the path
if "$python" -c 'import onnx' 2>/dev/null; then
    checker="$python $(dirname "$0")/check_onnx.py"
else
    echo "skipped: the ONNX checker (python3-onnx is not installed)"
    checker='xargs rm -f'
fi
while read -r name; do
    "$run" "$name" "$scratch/$name.onnx" $full 2>>"$scratch/log"
    status=$?
    tail -1 "$scratch/log" >&2
    [ "$status" = 0 ] || echo "$name $status" >>"$scratch/failed"
    [ -f "$scratch/$name.onnx" ] && echo "$scratch/$name.onnx"
done <"$scratch/names" | $checker || echo "checker" >>"$scratch/failed"
if [ -f "$scratch/failed" ]; then
    grep -vq ' 77$' "$scratch/failed" || exit 77
    echo "FAILED:"
    cat "$scratch/failed"
    exit 1
fi
echo "$(wc -l <"$scratch/names") presets agree"
