# SPDX-License-Identifier: Apache-2.0
# Models converted to f16 and bf16, as ONNX's own checker sees them: inputs and outputs stay as they were, weights become 16 bits wide.
python=/usr/bin/python3
"$python" -c 'import onnx' 2>/dev/null || { echo "SKIP: python3-onnx is not installed"; exit; }
export_in() {
    run assay models "$1" --precision "$2" --export model.onnx
    "$python" - <<'END'
import onnx
onnx.checker.check_model("model.onnx", full_check=True)
model = onnx.load("model.onnx")
name = lambda t: onnx.TensorProto.DataType.Name(t)
print(*[name(v.type.tensor_type.elem_type) for v in list(model.graph.input) + list(model.graph.output)])
size = {}
for t in model.graph.initializer:
    size[name(t.data_type)] = size.get(name(t.data_type), 0) + len(t.raw_data)
print("most weights are", max(size, key=size.get))
END
}
export_in bert-tiny bf16
export_in bert-tiny f16
export_in resnet-18 f16
assay models bert-tiny --precision bf16 --export model.onnx 2>/dev/null
run assay models model.onnx --precision f16 --export again.onnx
