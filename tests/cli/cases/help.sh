# SPDX-License-Identifier: Apache-2.0
# Every verb has help that says how it is called, with examples, and each way to ask gives the same.
verbs=$(assay --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
[ -n "$verbs" ] || echo "no verb is listed"
for verb in $verbs; do
    assay help "$verb" >first || echo "help $verb failed"
    assay "$verb" --help >second || echo "$verb --help failed"
    assay "$verb" some arguments -h >third || echo "$verb -h failed"
    cmp first second
    cmp first third
    head -n 1 first | grep -q "^Usage: assay $verb" || echo "$verb: no usage"
    grep -q '^Examples:' first || echo "$verb: no examples"
    awk -v verb="$verb" 'length($0) > 120 && !/^  assay|^Usage/ { print verb ": a long line: " $0 }' first
done
assay --help | sed -n '1,3p'
assay >out 2>&1 || echo "without a verb: help and exit $?"
assay --help | cmp - out
assay --version | grep -Eq '^assay [0-9]+\.[0-9]+\.[0-9]+' && echo "version ok"
