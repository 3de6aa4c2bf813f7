#!/usr/bin/env bash
# Make every generated file of the project anew, or check that the committed ones are current.
#
#   scripts/generate.sh            write idl/gen from idl/*.thrift, then run every go:generate line
#   scripts/generate.sh --check    do the same in a copy, change nothing, and fail with the difference
#
# Exit status: 0 done or current, 1 not current, 64 wrong usage, 69 no usable Thrift compiler.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
module=github.com/clic-orchestrator/clic

# The compiler writes its version into every file, and releases differ in what they write: one release, Debian 12's.
thrift_release=0.17.0
# The Go library that the code runs with is newer on purpose (go.mod): what 0.17 writes compiles and works with it, and it bounds
# what older ones leave unbounded (elements of containers, nesting, THeader frames after inflation).

usage() {
	sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 64
}

need_thrift() {
	local found=none
	if command -v thrift >/dev/null; then
		found=$(thrift --version | sed 's/.* //')
	fi
	if [ "$found" != "$thrift_release" ]; then
		echo "generate.sh: Thrift compiler $thrift_release is needed, found: $found" >&2
		echo "generate.sh: on Debian 12 scripts/setup.sh installs it (package thrift-compiler)" >&2
		exit 69
	fi
}

# generate TREE writes all generated files of the source tree TREE.
generate() {
	local file
	cd "$1"
	rm -rf idl/gen
	mkdir -p idl/gen
	for file in idl/*.thrift; do
		# No -remote programs: the shell is the client.
		thrift --strict --gen "go:package_prefix=$module/idl/gen/,skip_remote" --out idl/gen "$file"
	done
	# Thrift orders and spaces imports in its own way; formatted here, so that no tool wants to change them later.
	gofmt -w idl/gen
	go generate ./...
}

check() {
	copy=$(mktemp -d) # not local: the trap outlives this function
	trap 'rm -rf "$copy"' EXIT
	mkdir "$copy/old" "$copy/new"
	# What git knows or would take, without what was deleted but is still in the index.
	git -C "$root" -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
		(cd "$root" && while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done; true) |
		tar -C "$root" --null --files-from=- -cf - |
		tar -C "$copy/old" -xf -
	cp -a "$copy/old/." "$copy/new"
	(generate "$copy/new")
	if ! (cd "$copy" && diff -ruN old new) >"$copy/difference"; then
		sed -n 1,200p "$copy/difference"
		echo "generate.sh: generated files are not current: run 'make generate' and commit what it changes" >&2
		exit 1
	fi
}

case $# in
0)
	need_thrift
	generate "$root"
	;;
1)
	[ "$1" = --check ] || usage
	need_thrift
	check
	;;
*) usage ;;
esac
