#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: conformance.sh ASSAY
# Runs ONNX's conformance suite on the reference: fails if any test is wrong, invalid or crashes, or if fewer than 90 % pass.
assay=$1
data=${ASSAY_ONNX_TESTDATA:-/usr/share/libonnx-testdata/data}

if [ ! -d "$data/node" ]; then
    echo "skipped: $data is not there (Debian package libonnx-testdata)"
    exit 77
fi
exec "$assay" check --all "$data" --platform cpu/reference --min-pass 0.9 --format table
