# SPDX-License-Identifier: Apache-2.0
# Filters and SQL.
import_rows
run assay query --latest --platform '*onnx*' --columns time,model,threads,latency_median_ns
run assay query --run '20261101*' --threads 2 --columns run_id,model,threads
run assay query --status crashed --columns model,status,reason,provenance
run assay query --until 2026-11-01 --limit 2 --columns time,model
run assay query --limit 1
run assay query "SELECT platform, count(*) AS n, median(latency_median_ns) AS median_ns, sum(peak_memory_bytes) AS all_bytes FROM results GROUP BY ALL ORDER BY platform;"
run assay query "SELEC 1"
run assay query --columns nope
run assay query --since yesterday
run assay query --lake nowhere --columns model
# Without --limit a table ends, and says so; json has all.
assay query "SELECT range AS i FROM range(150)" --format csv | wc -l
awk '{ for (i = 0; i < 150 && NR == 1; i++) { row = $0; sub(/"result_id":"[0-9a-f]*"/, sprintf("\"result_id\":\"%032d\"", 1000 + i), row); print row } }' \
    "$DATA/rows.jsonl" >many.jsonl
assay import many.jsonl --lake many --log warning
assay query --lake many >out 2>err
wc -l <out
cat err
assay query --lake many --limit 0 | wc -l
assay query --lake many --format csv | wc -l
# All columns of the row, by the row's own names, if none are asked for.
assay query --limit 1 --format json | tr ',' '\n' | grep -c '^ *{*"[a-z_0-9]*":' | awk '{ print ($1 > 60 ? "all" : "few") " columns" }'
