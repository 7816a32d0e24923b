# SPDX-License-Identifier: Apache-2.0
# Training steps over batches: the sweep ends where memory does, what was measured is in table, figure and lake; a profile tells
# forward pass, backward pass and update apart. Times are not shown: they are never the same.
quick="--mode training --no-ceilings --min-time 0.01 --max-time 0.02 --warmup-time 0.01 --log warning"
plain() { sed -E '/busy/d; s/[0-9.]+ (ns|us|ms|s|k?M?samples\/s|[KMG]iB)/#/g; s/[-+]?[0-9.]+ %/# %/g; s/ +/ /g; s/─+/─/g; s/ *(knee)? *$//'; }

assay bench ds-cnn-s --platform cpu/native --batch 1..4:x2,16384,65536 --memory-limit 1000M $quick --plot sweep.svg >out 2>err
echo "exit $?" | sed 's/exit 1/memory ended: exit 1/'
sed '1,/^Scaling/d' out | plain
plain <err
grep -c '>memory ends<' sweep.svg
assay query "SELECT batch, status, reason FROM results WHERE batch > 4"
assay query "SELECT count(*) AS rows, min(map_extract(metrics, 'loss_error')[1]) < 1e-4 AS agrees, bool_and(len(map_extract(metrics, 'check_gradient_error')) = 1) AS is_checked FROM results WHERE status = 'ok'"

# A run that was cut off goes on: the sweep is whole again, and memory ends where it did.
rm "$(ls "$ASSAY_LAKE"/v1/*/*/*.parquet | head -1)"
assay bench ds-cnn-s --platform cpu/native --batch 1..4:x2,16384,65536 --memory-limit 1000M $quick --log info --resume --plot resumed.svg >out 2>err
sed '1,/^Scaling/d' out | plain
sed -nE '/^the scaling|left out/p; /^going on/s/run [^,]*/run #/p' err
grep -c '<circle[^>]*r="3.5"' resumed.svg

assay bench ds-cnn-s --platform cpu/native --batch 2 --profile $quick 2>/dev/null | sed -n '/^Forward/p' | plain | cut -d';' -f1
assay bench ds-cnn-s --platform cpu/native --batch 2 --profile $quick 2>/dev/null | sed '1,/^Forward/d' | grep -qE '(forward|backward|update) *$' &&
    echo "each op is of one of them"

# The command that a row tells makes the same case.
command=$(assay query --format csv "SELECT repro_command FROM results WHERE batch = 2 LIMIT 1" | tail -1 | tr -d '"')
$command --plan --format csv | tail -1 | cut -d, -f1-3
# One batch is no sweep.
assay bench ds-cnn-s --platform cpu/native --plot none.svg $quick 2>&1 >/dev/null | plain
# The scores of one class are always right: there is no gradient, and no evidence.
assay bench lstm-imdb --platform cpu/native --dim sequence=4 $quick >/dev/null 2>&1
assay query "SELECT status, reason FROM results WHERE model = 'lstm-imdb'"
