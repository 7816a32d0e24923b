# SPDX-License-Identifier: Apache-2.0
# What cannot be meant is refused before anything runs, with the range or the words that there are; nothing of it reaches the lake.
plain() { sed -E 's/from 1 to [0-9]+, 4 for each CPU that is here \([0-9]+\)/from 1 to N, 4 for each CPU that is here (M)/; s/from 1 to [0-9]+$/from 1 to N/; s/its best tier is .*/its best tier is T/'; }
small='synthetic:x=f32[1,49,10]:label=i64[]<12'
touch empty.yaml file.onnx
echo 'cases: []' >none.yaml
printf junk >junk.onnx
mkdir empty damaged
cp "$DATA/rows.jsonl" damaged/model.safetensors
echo '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 8, "n_layer": 1, "n_head": 2}' >damaged/config.json

run assay bench ds-cnn-s --threads 4000 | plain
run assay train ds-cnn-s --data "$small" --threads 4000 | plain
run assay bench ds-cnn-s --threads 0 | plain
run assay bench --suite empty.yaml
run assay bench --suite none.yaml
run assay bench ds-cnn-s --shape x=0x1x49x10
run assay bench ds-cnn-s --seed -5
run assay bench ds-cnn-s --batch 0
run assay bench ds-cnn-s --rounds 0
run assay bench ds-cnn-s --isa sse9
run assay bench ds-cnn-s --platform cpu/native --option foo=1
run assay check empty --isa sse9
for option in steps batch epochs seeds; do
    run assay train ds-cnn-s --data "$small" --$option 0
done
run assay train ds-cnn-s --data "$small" --seed -1

run assay check nosuch
run assay check file.onnx
run assay check --all empty
run assay models empty
run assay bench empty
run assay bench junk.onnx
run assay train junk.onnx --data "$small"
run assay train empty --data "$small"
run assay bench damaged
run assay train damaged --data "$small"
run assay train ds-cnn-s --data "$small" --steps 1 --output file.onnx
run assay bench ds-cnn-s --lake /dev/null
run assay import "$DATA/rows.jsonl" --lake /dev/null | sed "s|$DATA|DATA|; s|/dev/null/v1.*:|/dev/null/v1...:|"
run assay query --limit -1
run assay lake stat --lake nosuch
ls "$ASSAY_LAKE" 2>/dev/null || echo "no lake was made"
