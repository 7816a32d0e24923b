# SPDX-License-Identifier: Apache-2.0
# An output that refuses is a failure, told once; a reader that leaves early is not worth a word.
import_rows
for command in "help bench" "help --markdown" "query" "query --format json" "query --format csv" "lake stat" "lake path" "--version" \
    "devices --no-measure" "completion zsh"; do
    code=0
    assay $command >/dev/full 2>err || code=$?
    echo "$command: exit $code: $(grep ^assay: err)"
done
for command in "help --markdown" "query --format json"; do
    { assay $command 2>err || echo "$?" >code; } | true
    # Whether the reader is gone before all is written is a race; either way nothing is told.
    cat err
done
echo "closed pipes ok"
