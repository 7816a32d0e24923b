#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs one case: a script that calls assay in an empty folder with an empty lake, and what it must print. A line that begins with
# SKIP, with the reason, skips it. To write the expected file anew: UPDATE=1 run.sh ASSAY CASE.sh, then read the difference.
# usage: run.sh ASSAY CASE.sh
#
# In a case: assay; $DATA, the folder of fixtures; run COMMAND..., which prints the command, its output (stderr after stdout, each
# line marked "! ") and its exit code if that is not 0; import_rows, which fills the lake with the fixtures' rows.
set -eu
program=$1 case=$(realpath "$2")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin" "$scratch/work"
ln -s "$(realpath "$program")" "$scratch/bin/assay"
cat >"$scratch/functions" <<'END'
run() {
    code=0
    echo "\$ $*"
    "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" || code=$?
    cat "$SCRATCH/out"
    sed 's/^/! /' "$SCRATCH/err"
    [ "$code" -eq 0 ] || echo "exit $code"
}
import_rows() {
    assay import "$DATA/rows.jsonl" --log warning
}
END
cat "$scratch/functions" "$case" >"$scratch/script"
cd "$scratch/work"
env -i PATH="$scratch/bin:$PATH" HOME="$scratch" TMPDIR="$scratch" LANG=C.UTF-8 SCRATCH="$scratch" DATA="$(dirname "$case")/../data" \
    ASSAY_LAKE="$scratch/lake" ASAN_OPTIONS="${ASAN_OPTIONS:-}" sh "$scratch/script" >"$scratch/got" 2>&1 || {
    echo "the script itself failed:"
    cat "$scratch/got"
    exit 1
}
if grep '^SKIP' "$scratch/got"; then
    exit 77
fi
expected=${case%.sh}.expected
if [ -n "${UPDATE:-}" ]; then
    cp "$scratch/got" "$expected"
    exit 0
fi
diff -u "$expected" "$scratch/got"
