#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: layers.sh RULES SRC
# Checks every #include of the sources below SRC against the rules (rules.txt says how they are written), and the rules
# against themselves. Prints each offending line and exits 1 if there is one.
set -eu
rules=$1
cd "$2"
find . -name '*.[ch]' | sed 's,^\./,,' | LC_ALL=C sort | awk -v rules="$rules" '
function report(text) { print text; n_bad++ }

function read_rules(    line, name, n, words, i, changed, a, b, c) {
    while ((getline line < rules) > 0) {
        sub(/#.*/, "", line)
        if (line !~ /:/)
            continue
        name = line
        sub(/[ \t]*:.*/, "", name)
        sub(/^[^:]*:/, "", line)
        n = split(line, words, " ")
        if (name ~ /^</) {
            foreign[name] = line
            for (i = 1; i <= n; i++)
                foreign_allowed[name, words[i]] = 1
        } else {
            part[name] = 1
            for (i = 1; i <= n; i++)
                allowed[name, words[i]] = 1
        }
    }
    do {
        changed = 0
        for (a in part) for (b in part) if ((a, b) in allowed) for (c in part)
            if (((b, c) in allowed) && !((a, c) in allowed)) { allowed[a, c] = 1; changed = 1 }
    } while (changed)
    for (a in part)
        if ((a, a) in allowed)
            report(rules ": the part " a " may include itself by way of others; the rules must have no circle")
    n = 0
    for (a in part)
        n++
    if (n == 0)
        report(rules ": no rule found")
}

function check(file, number, name, quoted,    from, to) {
    from = file
    sub(/\/.*/, "", from)
    if (!quoted) {
        if (("<" name ">" in foreign) && !(("<" name ">", from) in foreign_allowed))
            report(file ":" number ": only" foreign["<" name ">"] " may include <" name ">")
        return
    }
    if (name !~ /^[a-z0-9_]+\/[^.]/ || name ~ /\.\.?\//) {
        report(file ":" number ": \"" name "\" is not of the form \"part/file.h\"")
        return
    }
    to = name
    sub(/\/.*/, "", to)
    if (name ~ /\.c$/)
        report(file ":" number ": " name " is a source, not a header")
    else if ((name in for_tests) && file ~ /\.c$/ && file !~ /_test\.c$/)
        report(file ":" number ": " name " is for tests only")
    else if (!(to in part))
        report(file ":" number ": there is no part " to " in the rules")
    else if (from != to && (from in part) && !((from, to) in allowed))
        report(file ":" number ": " from " must not include " to " (" name ")")
}

BEGIN { read_rules() }
{
    file = $0
    n_files++
    from = file
    sub(/\/.*/, "", from)
    if (from == file || !(from in part))
        report(file ": its folder is no part that the rules know")
    number = 0
    while ((getline line < file) > 0) {
        number++
        if (line !~ /^[ \t]*#[ \t]*include[ \t]*["<]/)
            continue
        n_includes++
        in_file[n_includes] = file
        at_line[n_includes] = number
        is_quoted[n_includes] = line ~ /^[^"<]*"/
        name = line
        sub(/^[^"<]*["<]/, "", name)
        sub(/[">].*/, "", name)
        included[n_includes] = name
    }
    close(file)
}
END {
    if (n_files == 0)
        report("no sources found")
    # base/test.h is for tests, and so is every header that includes such a one.
    for_tests["base/test.h"] = 1
    do {
        changed = 0
        for (i = 1; i <= n_includes; i++)
            if ((included[i] in for_tests) && in_file[i] ~ /\.h$/ && !(in_file[i] in for_tests)) {
                for_tests[in_file[i]] = 1
                changed = 1
            }
    } while (changed)
    for (i = 1; i <= n_includes; i++)
        check(in_file[i], at_line[i], included[i], is_quoted[i])
    printf "%d files, %d offences\n", n_files, n_bad
    exit n_bad ? 1 : 0
}'
