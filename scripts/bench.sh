#!/usr/bin/env bash
# Measure, and print one line per figure with its conditions.
#
#   [BENCHTIME=1s] [COUNT=1] [BENCH=REGEXP] scripts/bench.sh [ARGUMENTS OF scripts/bench]
#
# First the figures of whole systems, by the program in scripts/bench; those of Kubernetes (kube-…) are taken inside a cluster, which is
# brought up with simulated nodes and, if it was not up before, down again (scripts/cluster.sh says what it needs, and how to name
# another). Then the Go benchmarks that match BENCH (all, unless told) in every package that has any: these delete many files, which
# slows a file system without a journal for minutes. With COUNT=10 and the output kept in a file, two runs can be compared by
# benchstat (scripts/tools.sh builds it). Nothing else should run on the machine meanwhile.
#
# Exit status: 0; 1 if something could not be measured, as on a machine where no cluster can run: the rest is measured all the same.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

echo "# commit: $(git -c safe.directory='*' describe --always --dirty 2>/dev/null || echo unknown)"
echo "# go:     $(go env GOVERSION GOOS GOARCH | tr '\n' ' ')"
echo "# cpu:    $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)"
echo "# load:   $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown) before the start"

work=$(mktemp -d)
ours=no # whether the cluster is this run's own
trap '[ $ours = no ] || scripts/cluster.sh down; rm -rf "$work"' EXIT
status=0
go build -o "$work/bench" ./scripts/bench

# in_cluster ARGUMENTS... takes the figures that need a cluster.
in_cluster() {
	local chosen result=0
	chosen=$("$work/bench" -cluster -list "$@") || return
	[ -n "$chosen" ] || return 0
	if ! scripts/cluster.sh status >/dev/null 2>&1; then
		ours=yes
	fi
	if ! scripts/cluster.sh up --simulated 4; then
		echo "bench.sh: not measured, for want of a cluster: ${chosen//$'\n'/, }" >&2
		return 1
	fi
	scripts/cluster.sh exec "$work/bench" -cluster "$@" || result=$?
	if [ $ours = yes ]; then # what comes now does not need it, and would be disturbed by it
		scripts/cluster.sh down
		ours=no
	fi
	return $result
}

"$work/bench" "$@" || status=1
in_cluster "$@" || status=1

# Only packages with a benchmark: the others would have their tests compiled for nothing.
packages=()
while read -r package dir; do
	if grep -qs '^func Benchmark' "$dir"/*_test.go; then
		packages+=("$package")
	fi
done < <(go list -f '{{.ImportPath}} {{.Dir}}' ./...)

if [ ${#packages[@]} -gt 0 ]; then
	# One package at a time (-p 1): two that run together would measure each other.
	go test -p 1 -run '^$' -bench "${BENCH:-.}" -benchmem -benchtime "${BENCHTIME:-1s}" -count "${COUNT:-1}" -timeout 60m "${packages[@]}" || status=1
fi
exit $status
