# SPDX-License-Identifier: Apache-2.0
# The machine in three formats. Figures differ from machine to machine, so only what must be there is looked for; what drivers
# say on stderr when they are tried differs too.
exec 2>/dev/null
assay devices --no-measure >table
grep -v '^ ' table | grep -E '^(Machine|Caches|GPUs|Energy counters|Platforms|What could not be read, and why)$'
grep -c '^cpu/reference  *available' table
grep -E 'null|fault' table || echo "no test platforms"
assay devices --no-measure --all | grep -Eo '^[a-z:0-9]*/null +available' | tr -s ' '
assay devices --no-measure --format markdown | grep '^## Mach'
command -v python3 >/dev/null || { echo "SKIP: there is no python3"; exit 0; }
assay devices --no-measure --format json | python3 -c '
import json, sys
devices = json.load(sys.stdin)
print(" ".join(devices))
machine = devices["machine"]
print(machine["cores"] > 0, machine["memory_bytes"] > 0, type(devices["platforms"][0]["available"]).__name__)
for platform in devices["platforms"]:
    if not platform["available"] and not platform["reason"]:
        print("no reason:", platform["name"])
'
