# SPDX-License-Identifier: Apache-2.0
# The matrix of families: cells with rows, and why others have none. Platforms that depend on the machine are filtered away.
import_rows
run assay coverage --platform cpu/reference --family 'bert*'
run assay coverage --platform cpu/reference --family bert --all --format markdown
run assay coverage --platform cpu/reference --family bert --precision f32 --format csv
run assay coverage --batch 0
run sh -c "assay coverage --model 'resnet*' --platform cpu/onnxruntime --mode inference --precision f32 --format csv | tail -n 1"
run assay coverage --family 'bert*' --platform cpu/reference --mode training --precision f32 --format json
run assay coverage --family bert --status crashed --platform cpu/reference --mode inference --precision f32 --format csv
run assay coverage --lake nowhere --platform cpu/reference --family 'llava*'
