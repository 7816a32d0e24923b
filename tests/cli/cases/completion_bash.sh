# SPDX-License-Identifier: Apache-2.0
# The script loads in bash and completes verbs, options, words of options and of lists, and first arguments.
command -v bash >/dev/null || { echo "SKIP: there is no bash"; exit 0; }
touch model.onnx "with space"
bash --norc --noprofile <<'END'
source <(assay completion bash)
complete -p assay
try() {
    COMP_WORDS=(assay "$@")
    COMP_CWORD=$#
    _assay
    echo "$*: ${COMPREPLY[*]}"
}
try dev
try query --lat
try query --format ''
try query --scenario s
try bench --scenario single-stream,o
try lake v
try lake --f
try bench mod
try query --lake w
try compare --fail-on ''
try nothing --f
try query --batch ''
END
