#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes the pages of docs/ that are made from the program's own tables. With --check it only says which are out of date.
# usage: docs.sh [--check] ASSAY DOCS_FOLDER
set -eu
check=
[ "${1:-}" = --check ] && { check=1; shift; }
assay=$1 docs=$2 code=0
page() {
    file=$docs/$1
    if [ -z "$check" ]; then
        "$assay" help "$2" >"$file.new" && mv "$file.new" "$file"
    elif ! "$assay" help "$2" | cmp -s - "$file"; then
        echo "$file is out of date: run tools/docs.sh $assay $docs" >&2
        code=1
    fi
}
page cli.md --markdown
page row-reference.md --row-reference
exit $code
