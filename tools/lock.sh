#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes deps/package-lock.json anew from deps/package.json (npm 10 or later). Of duckdb and @siteed/sherpa-onnx.rn only headers are used:
# what they would need to run, some 200 packages, is replaced by a tiny one while npm resolves, and then left out. The result
# installs with Debian 12's npm 9 too, which cannot read such replacements.
set -eu
cd "$(dirname "$0")/../deps"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
node -e '
const fs = require("fs"), folder = process.argv[1], stand_in = "npm:is-number@7.0.0";
const project = JSON.parse(fs.readFileSync("package.json"));
project.overrides = {
    duckdb: {"@mapbox/node-pre-gyp": stand_in, "node-addon-api": stand_in, "node-gyp": stand_in},
    "@siteed/sherpa-onnx.rn": {"@expo/config-plugins": stand_in, "adm-zip": stand_in, "node-fetch": stand_in, progress: stand_in},
};
fs.writeFileSync(folder + "/package.json", JSON.stringify(project));
' "$scratch"
(cd "$scratch" && npm install --package-lock-only --ignore-scripts --no-audit --no-fund --legacy-peer-deps)
node -e '
const fs = require("fs"), lock = JSON.parse(fs.readFileSync(process.argv[1] + "/package-lock.json"));
for (const [path, entry] of Object.entries(lock.packages))
    if (entry.name === "is-number" || path.endsWith("/is-number")) delete lock.packages[path];
for (const name of ["duckdb", "@siteed/sherpa-onnx.rn"])
    for (const member of ["dependencies", "peerDependencies", "hasInstallScript"]) delete lock.packages["node_modules/" + name][member];
fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n");
' "$scratch"
