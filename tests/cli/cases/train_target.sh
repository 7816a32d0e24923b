# assay train --target and --seeds to their ends, and going on with several seeds.
data='synthetic:x=f32[3,8,8]:label=i64[]<4:train=32:validation=16:test=16'
small() { assay train PlainResNetForImageClassification --config 'hidden_sizes=[4,8]' --config 'strides=[1,2]' --config embedding_size=4 --data "$data" --platform cpu/reference --batch 8 --log warning "$@"; }
# Members of the JSON that do not depend on the machine.
tell() { python3 -c '
import json, sys
r = json.load(sys.stdin)
print(r["provenance"], r["platform"], r["batch"], r["precision"], json.dumps(r["target"]))
print(r["repro_command"])
for run in r["runs"]:
    print({k: run[k] for k in ("seed", "steps", "metric", "reached", "target_step", "output") if k in run},
          run.get("time_to_target_s") is not None, 0 <= run["validation"] <= 1, run["wall_s"] > 0)
for s in r["spread"]:
    has = s["n"] > 1
    print(s["what"], s["n"], has and s["low"] <= s["mean"] <= s["high"] and s["least"] <= s["mean"] <= s["most"])
'; }
run small --steps 4 --target bits-per-byte=2 --format csv
small --steps 40 --validate-every 1 --target accuracy=0.01 --format json >reached || echo "exit $?"
tell <reached
small --steps 4 --target accuracy=1 --format json >missed 2>told || echo "exit $?"
tell <missed
sed 's/best was.*/best was …/' told
small --steps 8 --seeds 3 --target accuracy=0.01 --output kept --format json >seeds || echo "exit $?"
tell <seeds
small --steps 8 --seeds 4 --target accuracy=0.01 --output kept --resume --format json >more || echo "exit $?"
tell <more
ls kept
python3 -c '
import json
a, b = json.load(open("seeds")), json.load(open("more"))
print([x["validation"] == y["validation"] and x["test"] == y["test"] and x["train_loss"] == y["train_loss"] and
       x["time_to_target_s"] == y["time_to_target_s"] for x, y in zip(a["runs"], b["runs"])])'
run small --steps 4 --seeds 2 --reproduce
