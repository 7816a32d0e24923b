# SPDX-License-Identifier: Apache-2.0
# The front door. The work is in tools/setup.sh (what must be installed) and CMakeLists.txt (what is built).
.PHONY: help setup build bench test clean

help:
	@echo 'make bench   set up, build, and measure the models of suites/first.yaml'
	@echo 'make test    set up, build, and run all tests: optimised, then with sanitizers'
	@echo 'make build   set up and build; the program is build/release/assay'
	@echo 'make setup   only install what is missing of deps/debian.txt and deps/package.json'
	@echo 'make clean   remove what was built'

setup:
	@tools/setup.sh

build/%/build.ninja: CMakePresets.json | setup
	cmake --preset $*
	@touch $@

build: build/release/build.ninja | setup
	cmake --build --preset release

bench: build
	build/release/assay bench --suite suites/first.yaml

test: build build/dev/build.ninja
	cmake --build --preset dev
	ctest --preset release --parallel $$(nproc)
	ctest --preset dev --parallel $$(nproc)

clean:
	rm -rf build
