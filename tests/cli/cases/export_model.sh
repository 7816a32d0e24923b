# SPDX-License-Identifier: Apache-2.0
# Models written as ONNX files: ONNX's own checker takes them, and batch and sequence stay free.
python=/usr/bin/python3
"$python" -c 'import onnx' 2>/dev/null || { echo "SKIP: python3-onnx is not installed"; exit; }
for model in bert-tiny resnet-18 vit-tiny-patch16-224 mobilenet_v2_0.35_96; do
    run assay models "$model" --export "$model.onnx"
    "$python" - "$model.onnx" <<'END'
import sys, onnx
onnx.checker.check_model(sys.argv[1], full_check=True)
model = onnx.load(sys.argv[1])
for i in model.graph.input:
    print(i.name, [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim])
END
done
run assay models bert-tiny.onnx --export again.onnx
# The same model, whatever it is written to.
assay models bert-tiny.onnx again.onnx --format json 2>/dev/null | grep -o '"model_id":"[^"]*"' | sort -u | wc -l
run assay models bert-tiny --export model.txt
run assay models bert-tiny --export model.onnx --batch 2
run assay models bert-tiny resnet-18 --export model.onnx
run assay models --known --export model.onnx
run assay models nothing --export model.onnx
