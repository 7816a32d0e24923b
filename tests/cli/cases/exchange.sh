# SPDX-License-Identifier: Apache-2.0
# What is exported can be imported; a bad file changes nothing.
import_rows
for format in jsonl csv parquet; do
    run assay export all.$format
    run assay import all.$format --lake from-$format
    run assay import all.$format --lake from-$format
    assay query --format json >here
    assay query --format json --lake from-$format | cmp here - && echo same
done
run assay export some.csv --model 'bert*' --threads 2
run assay export medians.jsonl --sql "SELECT model, threads FROM results ORDER BY result_id LIMIT 2"
cat medians.jsonl
run assay export all.xml
run assay export all.csv --sql "SELECT 1" --latest
run assay export missing/all.csv
run assay import missing.jsonl
printf '{"result_id":"1"}\n' >bad.jsonl
run assay import bad.jsonl --lake new
run assay lake stat --lake new --format csv
