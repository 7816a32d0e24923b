# SPDX-License-Identifier: Apache-2.0
# Colour only on a terminal, and not with NO_COLOR.
command -v script >/dev/null || { echo "SKIP: there is no script(1) to make a terminal"; exit 0; }
import_rows
for file in "$ASSAY_LAKE"/v1/*/*/*.parquet; do
    printf x >>"$file"
done
escapes() {
    grep -c "$(printf '\033')" out || true
}
script -qec "TERM=xterm assay query --columns model" /dev/null >out </dev/null
echo "terminal: $(escapes) coloured lines"
script -qec "TERM=xterm NO_COLOR=1 assay query --columns model" /dev/null >out </dev/null
echo "NO_COLOR: $(escapes)"
assay query --columns model >out 2>&1
echo "no terminal: $(escapes)"
