# SPDX-License-Identifier: Apache-2.0
# The matrix of families: cells with rows, and why others have none. Platforms that depend on the machine are filtered away.
import_rows
run assay coverage --platform cpu/reference --family 'bert*'
run assay coverage --platform cpu/reference --family bert --all --format markdown
run assay coverage --platform cpu/reference --family bert --precision f32 --format csv
run assay coverage --platform cpu/reference --family vit --mode inference --precision f32 --status ok --format json
run assay coverage --platform 'cpu/onnx*' --status crashed --mode inference --precision f32 --format csv --family none
run assay coverage --model 'resnet*' --platform cpu/onnxruntime --mode inference --precision f32 --format csv --family '*net*'
run assay coverage --batch 0
run assay coverage --status crashed --platform cpu/onnxruntime --mode inference --precision f32 --family '*bert*' --format csv
run assay coverage --lake nowhere --platform cpu/reference --family 'llava*'
