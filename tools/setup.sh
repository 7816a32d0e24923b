#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what deps/debian.txt and deps/package-lock.json name. Looks first and does nothing that is done already, so it
# can run before every build. What cannot be installed is named in one sentence, and nothing else is touched.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $*" >&2
    exit 1
}

# The packages of the list, and those for npm if there is none, that are not installed.
missing_packages() {
    wanted=$(sed 's/#.*//' deps/debian.txt)
    command -v npm >/dev/null || wanted="$wanted nodejs npm"
    for package in $wanted; do
        echo "wanted $package"
    done >"$scratch/wanted"
    # shellcheck disable=SC2086 # one argument for each word
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
        awk '$1 == "installed" { there[$2] = 1 } $1 == "wanted" && !($2 in there) { print $2 }' - "$scratch/wanted"
}

install_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "setup: this is not Debian, so no package is installed; deps/debian.txt lists what the build needs" >&2
        return
    fi
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    echo "setup: installing $missing" >&2
    root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "these packages are missing, and only root can install them: $missing"
        root=sudo
    fi
    # A failing update is no reason to stop: the packages may be in the cache.
    $root apt-get -q update >&2 || true
    # shellcheck disable=SC2086 # one argument for each word
    $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends \
        $missing >&2 || fail "apt-get could not install (is there a network?) what is missing: $missing"
}

# The copy of the lockfile in node_modules says what is installed there; it is written last.
install_npm_parts() {
    stamp=deps/node_modules/.installed-lock.json
    cmp -s deps/package-lock.json "$stamp" && return
    command -v npm >/dev/null || fail "npm is missing; it brings the parts that deps/package.json names"
    echo "setup: installing the parts of deps/package.json" >&2
    (cd deps && npm ci --ignore-scripts --no-audit --no-fund --legacy-peer-deps) >&2 ||
        fail "npm could not install (is there a network?) the parts that deps/package-lock.json names"
    cp deps/package-lock.json "$stamp"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
install_packages
install_npm_parts
