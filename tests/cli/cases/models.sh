# What models are and cost, the memory that they need, phases, and mistyped names. Figures of a small GPT-2 can be done by hand.
mkdir tiny
cat >tiny/config.json <<'END'
{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 100, "n_positions": 64}
END
run assay models tiny --dim sequence=16
run assay models tiny --dim sequence=16 --memory --context 64 --format csv
run assay models tiny --dim sequence=16 --ops
run assay models tiny --phase decode --dim sequence=1 --dim past_sequence=15 --dim total_sequence=16 --format csv --ops
run assay models tiny --phase encode
assay models tiny --dim sequence=16 --format json 2>/dev/null | tr ',{' '\n\n' | sed -n 's/^"\([a-z_0-9]*\)":.*/\1/p' | sort -u | tr '\n' ' '
echo
run assay models bert-bse-uncased
run assay models whisper
run assay models tiny --memory
run assay models tiny --dim sequenc=16
run assay models tiny --roofline tiny.png
run assay models tiny --ops --memory
run assay models tiny tiny --memory
run assay models tiny --batch 0
run assay models tiny --context -1
run assay models tiny --precision int4
run assay models
assay models tiny --dim sequence=16 --roofline tiny.svg --log error
grep -o 'Roofline of tiny' tiny.svg
grep -c 'no measured row' tiny.svg
run assay models tiny --phase decode --export tiny.onnx
run assay models tiny.onnx --phase decode
/usr/bin/python3 -c 'import onnx' 2>/dev/null || { echo "SKIP: python3-onnx is not installed"; exit; }
/usr/bin/python3 - <<'END'
import onnx
onnx.checker.check_model("tiny.onnx", full_check=True)
model = onnx.load("tiny.onnx")
print([i.name for i in model.graph.input])
print([p.value for p in model.metadata_props if p.key == "assay.states"])
END
assay models tiny --phase decode --precision bf16 --export half.onnx --log error
/usr/bin/python3 -c 'import onnx; onnx.checker.check_model("half.onnx", full_check=True); print("checked")'
