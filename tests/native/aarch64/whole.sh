#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: whole.sh FOLDER
# By hand, where the build's vector loops on NEON (CMakeLists.txt here) are not enough: all of assay for aarch64, built in FOLDER
# with Debian's arm64 libraries, which are unpacked there and not installed, and ONNX's conformance suite on cpu/native under
# emulation, on 1 and 2 threads. It downloads some 65 MB, and compiles for some minutes.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
suite=${ASSAY_ONNX_TESTDATA:-/usr/share/libonnx-testdata/data}
sysroot=$folder/sysroot npm=$folder/deps/@duckdb/node-bindings-linux-arm64

# A package system of its own, of arm64 and with nothing installed, so that this one's stays as it is.
if [ ! -d "$sysroot" ]; then
    apt=$folder/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/sources"
    : >"$apt/status"
    printf 'Types: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
        >"$apt/sources/debian.sources"
    options="-q -y --no-install-recommends --download-only -o Dir::State=$apt -o Dir::State::status=$apt/status -o Dir::Cache=$apt/cache
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$apt/sources -o APT::Architecture=arm64 -o APT::Architectures=arm64"
    libraries=$(sed -n 's/^\(lib[a-z0-9-]*-dev\).*/\1/p' "$root/deps/debian.txt" | grep -Ev 'onnx|clang')
    # shellcheck disable=SC2086 # one argument for each word
    apt-get $options update
    # shellcheck disable=SC2086
    apt-get $options install $libraries
    mkdir "$sysroot.new"
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$sysroot.new"
    done
    mv "$sysroot.new" "$sysroot"
fi
if [ ! -d "$npm" ]; then
    # The header's version; the package of x64 has another last number.
    (cd "$folder" && npm pack @duckdb/node-bindings-linux-arm64@1.4.4-r.3 && tar xzf duckdb-node-bindings-linux-arm64-*.tgz)
    mkdir -p "$folder/deps/@duckdb"
    ln -sfn "$root/deps/node_modules/duckdb" "$folder/deps/duckdb"
    mv "$folder/package" "$npm"
fi
cmake -S "$root" -B "$folder/build" -G Ninja --toolchain "$root/cmake/aarch64.cmake" -DAARCH64_SYSROOT="$sysroot" \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF -DASSAY_DEPS="$folder/deps"
cmake --build "$folder/build"
for threads in 1 2; do
    qemu-aarch64 -cpu max -L "$sysroot" "$folder/build/assay" check --all "$suite" --platform cpu/native --threads $threads | tail -1
done
