# SPDX-License-Identifier: Apache-2.0
# Where the lake is, what it holds, and its maintenance.
hide_folder() {
    sed "s|$SCRATCH|SCRATCH|g; s|[0-9.]* KiB|SIZE|"
}
run assay lake path | hide_folder
(unset ASSAY_LAKE; run assay lake path) | hide_folder
run assay lake path --lake there
run assay lake stat | hide_folder
import_rows
cp "$DATA/rows.jsonl" rows.jsonl
sed 's/0000000000/0000000009/' rows.jsonl >other.jsonl
run assay import other.jsonl rows.jsonl
run assay lake stat | hide_folder
run assay lake stat --format json | sed 's/"size_bytes":[0-9]*/"size_bytes":N/' | hide_folder
run assay lake verify | hide_folder
run assay lake compact | hide_folder
run assay lake backup copy | hide_folder
run assay lake restore copy --lake third
run assay lake stat --lake third | hide_folder
run assay lake backup copy
for file in third/v1/*/*/*.parquet; do
    printf x >>"$file"
done
run assay lake verify --lake third | sed 's|third/v1/.*parquet|FILE|' | hide_folder
run assay lake restore missing | hide_folder
