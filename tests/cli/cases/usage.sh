# SPDX-License-Identifier: Apache-2.0
# What is wrong on a command line is told in one line with exit code 2, and the nearest word is offered.
run assay bnech
run assay xyzzy
run assay help qurey
run assay query --modle bert
run assay query --format xml
run assay query --batch many
run assay query --batch 99999999999999999999
run assay query --model
run assay query --model --latest
run assay query --model=
run assay query --latest=1
run assay query -m bert
run assay query "SELECT 1" "SELECT 2"
run assay query "SELECT 1" --latest
run assay query " ; "
run assay query --threads 0
run assay bench model.onnx --batch 1..x
run assay bench model.onnx --batch 1..100000
run assay bench model.onnx --min-time soon
run assay bench model.onnx --memory-limit 5Q
run assay bench model.onnx --dim =3
run assay lake
run assay lake drain
run assay lake backup
run assay lake path here
run assay import
run assay compare one
run assay compare 1 2 --level 2
run assay completion fish
run assay devices --format csv
run assay devices --measure --no-measure
run assay query --log loud
