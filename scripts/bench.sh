#!/usr/bin/env bash
# Measure, and print one line per figure with its conditions.
#
#   [BENCHTIME=1s] [COUNT=1] [BENCH=REGEXP] scripts/bench.sh [ARGUMENTS OF scripts/bench]
#
# First the figures of whole systems, by the program in scripts/bench, then the Go benchmarks that match BENCH (all, unless told) in
# every package that has any: these delete many files, which slows a file system without a journal for minutes. With COUNT=10 and the output kept in a file, two runs can be compared by benchstat (scripts/tools.sh
# builds it). Nothing else should run on the machine meanwhile.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

echo "# commit: $(git -c safe.directory='*' describe --always --dirty 2>/dev/null || echo unknown)"
echo "# go:     $(go env GOVERSION GOOS GOARCH | tr '\n' ' ')"
echo "# cpu:    $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)"
echo "# load:   $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown) before the start"

go run ./scripts/bench "$@"

# Only packages with a benchmark: the others would have their tests compiled for nothing.
packages=()
while read -r package dir; do
	if grep -qs '^func Benchmark' "$dir"/*_test.go; then
		packages+=("$package")
	fi
done < <(go list -f '{{.ImportPath}} {{.Dir}}' ./...)

if [ ${#packages[@]} -gt 0 ]; then
	# One package at a time (-p 1): two that run together would measure each other.
	go test -p 1 -run '^$' -bench "${BENCH:-.}" -benchmem -benchtime "${BENCHTIME:-1s}" -count "${COUNT:-1}" -timeout 60m "${packages[@]}"
fi
