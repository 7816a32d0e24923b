# SPDX-License-Identifier: Apache-2.0
# Two sets of rows, by run, date and filter; verdicts, notes, and exit codes.
import_rows
run assay compare 20261101T100000Z-0001-aaaaaaaa 20261102T
run assay compare 2026-11-01 2026-11-02 --format csv --log error | sed -E "s|([0-9]\.[0-9]{3})[0-9]+|\1|g"
run assay compare 2026-11-01 2026-11-02 --fail-on slower --format markdown --log error
run assay compare 2026-11-02 2026-11-02 --fail-on difference --log error
run assay compare 2026-11-01 2026-11-02 --threshold 2 --fail-on slower --log error
run assay compare run=20261101*,platform=cpu/reference run=20261101*,platform=cpu/onnxruntime,threads=1
run assay compare 2026-11-01 2026-11-02 --by model,scenario --log warning
run assay compare 2026-11-01 2026-11-03
run assay compare 2026-11-01 platform=
run assay compare 2026-11-01 colour=red
run assay compare 2026-11-01 threads=two
run assay compare 2026-11-01 threads=1,platform
run assay compare 2026-11-01 ''
run assay compare 2026-11-01 2026-11-02 --by samples_ns
run assay compare platform=cpu/reference,model=odd* platform=cpu/onnxruntime
# A step of training is no run of inference, whatever else is equal.
sed -n '/20261101T100000Z-0001-aaaaaaaa/s/"mode": *"inference"/"mode":"training"/; s/20261101T100000Z-0001-aaaaaaaa/20261103T100000Z-0001-cccccccc/; s/"result_id": *"./&9/p' "$DATA/rows.jsonl" >trained.jsonl
assay import trained.jsonl --log error
run assay compare 20261101T100000Z-0001-aaaaaaaa 20261103T --format csv --log error
