# SPDX-License-Identifier: Apache-2.0
# The same rows as table, JSON, CSV and Markdown; hostile names do no harm in any.
import_rows
columns="model,threads,status,latency_median_ns,reason"
for format in table json csv markdown; do
    run assay query --since 2026-11-02 --columns $columns --format $format
done
run assay query --model nothing --columns $columns
run assay query --model nothing --columns $columns --format json
run assay query --model nothing --columns $columns --format csv
run assay query "SELECT 1 AS a, 2 AS a, NULL AS b, [1.5, 0.1] AS list, MAP {'k': 2.0} AS map" --format json
