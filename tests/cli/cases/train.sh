# assay train: what is wrong with what it is asked, a run, a second one into its folder, and the same twice.
data='synthetic:x=f32[3,8,8]:label=i64[]<4:train=16:validation=8:test=8'
small() { assay train PlainResNetForImageClassification --config 'hidden_sizes=[4,8]' --config 'strides=[1,2]' --config embedding_size=4 --data "$data" --platform cpu/reference --batch 8 --log warning "$@"; }
run assay train
run assay train ds-cnn-s
run assay train ds-cnn-s --data nothing
run assay train nothing --data "$data"
run assay train ds-cnn-s --data "$data" --batch 0
run assay train ds-cnn-s --data "$data" --resume
run assay train ds-cnn-s --data "$data" --augment sideways
run assay train ds-cnn-s --data "$data" --target 0.9
run assay train ds-cnn-s --data "$data" --platform cpu/reference --batch 8
run small --steps 4 --reproduce
small --steps 4 --output kept --format csv | cut -d, -f1,2,4
run small --steps 4 --output kept
small --steps 6 --output kept --resume --format csv | cut -d, -f1,2,4
ls kept | grep -v events
# Another learning rate, from the last checkpoint on: told, kept, and in the JSON, where no one command repeats the run.
run small --steps 6 --output kept --resume --learning-rate 0.01
small --steps 8 --output kept --resume --learning-rate 0.01 --format json | python3 -c '
import json, sys
r = json.load(sys.stdin)
print(r["repro_command"], "|", r["changes"])'
