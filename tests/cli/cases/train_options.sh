# assay train: parts of a batch, recomputing, freezing, histograms; what is wrong with them; a file of ONNX; a loss that is lost.
data='synthetic:x=f32[3,8,8]:label=i64[]<4:train=16:validation=8:test=8'
small() { assay train PlainResNetForImageClassification --config 'hidden_sizes=[4,8]' --config 'strides=[1,2]' --config embedding_size=4 --data "$data" --platform cpu/reference --batch 8 --log warning "$@"; }
run small --accumulate 3
run small --recompute much
run small --freeze 'conv9.*'
run small --histograms
small --steps 4 --accumulate 4 --recompute auto --freeze 'conv1.*,bn1.*' --clip-norm 1 --precision bf16 --format csv | cut -d, -f1,2,4
small --steps 4 --output kept --histograms --format csv | cut -d, -f1,2,4
for tag in loss/train learning_rate accuracy/validation parameters/conv1.weight gradients/conv1.weight gradients/fc.bias; do
    grep -qa "$tag" kept/events* && echo "$tag"
done
assay models kept --format csv | cut -d, -f2,4
run assay models kept --export model.onnx --log warning
onnx() { assay train "$@" --data "$data" --platform cpu/reference --batch 8 --steps 2 --log warning; }
onnx model.onnx --output again --format csv | cut -d, -f1,2,4
ls again | grep -v events
assay models again/model.onnx --format csv | cut -d, -f2,4
onnx again/model.onnx --format csv | cut -d, -f1,2,4
run onnx model.onnx --random
run onnx model.onnx --config num_labels=9
run assay train kept --data 'synthetic:x=f32[3,8,8]:label=i64[]<9:train=16:validation=8' --platform cpu/reference --batch 8
small --steps 40 --optimizer sgd --learning-rate 1e30 --output lost --checkpoint-every 1 2>told || echo "exit $?"
sed 's/[0-9][0-9]*/N/' told
# What is no model, no dataset's option, no place to learn; and without a test.
mkdir -p stopped/step-00000001 empty
echo junk >junk.onnx
for model in stopped empty junk.onnx; do run onnx $model; done
run assay train FooModel --config a=1 --data "$data"
run assay train ds-cnn-s --data spoken-commands:foo=1
run assay train ds-cnn-s --data fashion-mnist:folder=/nowhere
run small --platform cpu/null
small --steps 2 --no-test --format csv | cut -d, -f1,2,8
