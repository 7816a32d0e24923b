#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tries layers.sh on made-up trees: one that is right and one with every kind of offence.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

expect() { # WHAT WANTED GOT
    if [ "$2" != "$3" ]; then
        printf '%s\n--- wanted\n%s\n--- got\n%s\n' "$1" "$2" "$3"
        failed=1
    fi
}

run() { # RULES; prints what layers.sh says and its exit status
    sh "$here/layers.sh" "$1" "$tree/src" && status=0 || status=$?
    echo "exit $status"
}

mkdir -p "$tree/src/base" "$tree/src/low" "$tree/src/high/deep" "$tree/src/side"
cat >"$tree/rules" <<'END'
base:
low: base   # a comment
high: low
side: base
<special.h>: low side
END
printf '#include "base/a.h"\n#include <special.h>\n' >"$tree/src/low/a.c"
printf '#include "base/a.h"\n  #  include "low/a.h" // beside\n#include "high/b.h"\n' >"$tree/src/high/deep/a.c"
printf '#include "high/b.h"\n\n#include "base/test.h"\n' >"$tree/src/high/b_test.c"
printf '#include "base/test.h"\n' >"$tree/src/low/fixture.h"
printf '/* #include "high/b.h" in a comment does not count */\n' >"$tree/src/base/a.h"
expect 'a tree that keeps the rules' "5 files, 0 offences
exit 0" "$(run "$tree/rules")"

printf '#include "low/a.h"\n' >"$tree/src/base/b.c"
printf '#include <stdio.h>\n#include "side/a.h"\n#include <special.h>\n#include "base/test.h"\n#include "low/fixture.h"\n' >"$tree/src/high/c.c"
printf '#include "low/a.h"\n#include "base/test.h"\n' >"$tree/src/side/a_test.c"
printf '#include "b.h"\n#include "../low/a.h"\n#include "side/../low/a.h"\n#include "side/a.c"\n#include "none/a.h"\n' >"$tree/src/side/b.c"
printf '\n' >"$tree/src/main.c"
mkdir "$tree/src/new"
printf '#include "base/a.h"\n' >"$tree/src/new/a.c"
expect 'a tree with every kind of offence' 'main.c: its folder is no part that the rules know
new/a.c: its folder is no part that the rules know
base/b.c:1: base must not include low (low/a.h)
high/c.c:2: high must not include side (side/a.h)
high/c.c:3: only low side may include <special.h>
high/c.c:4: base/test.h is for tests only
high/c.c:5: low/fixture.h is for tests only
side/a_test.c:1: side must not include low (low/a.h)
side/b.c:1: "b.h" is not of the form "part/file.h"
side/b.c:2: "../low/a.h" is not of the form "part/file.h"
side/b.c:3: "side/../low/a.h" is not of the form "part/file.h"
side/b.c:4: side/a.c is a source, not a header
side/b.c:5: there is no part none in the rules
11 files, 13 offences
exit 1' "$(run "$tree/rules")"

printf 'a: b\nb: a\n' >"$tree/circle"
case $(run "$tree/circle") in
*'must have no circle'*'exit 1') ;;
*) expect 'rules with a circle' 'an offence' 'none' ;;
esac
rm -r "$tree/src"
mkdir "$tree/src"
expect 'an empty tree' 'no sources found
0 files, 1 offences
exit 1' "$(run "$tree/rules")"
exit $failed
