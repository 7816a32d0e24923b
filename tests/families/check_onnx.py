# SPDX-License-Identifier: Apache-2.0
"""Reads names of ONNX files, one a line; each is put before ONNX's own checker, and removed. Fails if one is refused."""

import os
import sys

import onnx

refused = 0
for line in sys.stdin:
    path = line.rstrip("\n")
    try:
        onnx.checker.check_model(path)
    except Exception as error:  # whatever the checker raises, the file is at fault
        refused += 1
        print(f"{os.path.basename(path)}: refused by the ONNX checker: {error}")
    for part in (path, path + ".data"):
        if os.path.exists(part):
            os.remove(part)
sys.exit(refused > 0)
