#!/usr/bin/env bash
# Measure, and print one line per figure with its conditions.
#
#   [BENCHTIME=1s] [COUNT=1] [BENCH=REGEXP] scripts/bench.sh [ARGUMENTS OF scripts/bench]
#
# First the figures of whole systems, by the program in scripts/bench. Those of Kubernetes (kube-…) and of Spark (spark-…) are taken inside a
# cluster, with simulated nodes or the Spark image in it, those of HDFS (hdfs-…) beside an HDFS on loopback. Each is brought up for that
# and, if it was not up before, down again (scripts/cluster.sh, spark.sh and hdfs.sh say what they need, and how to name another; the HDFS
# is "bench" unless CLIC_HDFS says otherwise). Then the Go benchmarks that match BENCH (all, unless told; none if it is empty) in every package
# that has any: these delete many files, which slows a file system without a journal for minutes. With COUNT=10 and the output kept in a
# file, two runs can be compared by benchstat (scripts/tools.sh builds it). Nothing else should run on the machine meanwhile.
#
# With -only REGEXP only what matches is brought up; -list says what would be measured, and does nothing.
#
# Exit status: 0; 1 if something could not be measured, as on a machine where no cluster can run: the rest is measured all the same.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
# Whether they are this run's own, and so are to be ended.
our_cluster=no our_hdfs=no
hdfs=${CLIC_HDFS:-bench}

cluster_down() {
	if [ $our_cluster = yes ]; then
		scripts/cluster.sh down || return
		our_cluster=no
	fi
}

hdfs_down() {
	if [ $our_hdfs = yes ]; then
		scripts/hdfs.sh down --name "$hdfs" || return
		our_hdfs=no
	fi
}

trap 'cluster_down || true; hdfs_down || true; rm -rf "$work"' EXIT
status=0
go build -o "$work/bench" ./scripts/bench

# Arguments that it does not understand end it here.
"$work/bench" -list "$@" >/dev/null

for argument in "$@"; do
	if [[ $argument =~ ^--?list(=true)?$ ]]; then
		for need in "" -cluster -spark -hdfs; do
			"$work/bench" ${need:+"$need"} "$@"
		done
		exit
	fi
done

echo "# commit: $(git -c safe.directory='*' describe --always --dirty 2>/dev/null || echo unknown)"
echo "# go:     $(go env GOVERSION GOOS GOARCH | tr '\n' ' ')"
echo "# cpu:    $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)"
echo "# load:   $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown) before the start"

# chosen ARGUMENTS... prints what would be measured with them.
chosen() { "$work/bench" -list "$@"; }

# missing WHAT FIGURES says what cannot be measured.
missing() { echo "bench.sh: not measured, for want of $1: ${2//$'\n'/, }" >&2; }

# cluster_up OPTIONS... brings the cluster up.
cluster_up() {
	scripts/cluster.sh status >/dev/null 2>&1 || our_cluster=yes
	scripts/cluster.sh up "$@"
}

# What follows ends what it has started: what comes then does not need it, and would be disturbed by it.

# in_cluster ARGUMENTS... takes the figures that need a cluster.
in_cluster() {
	local figures result=0
	figures=$(chosen -cluster "$@") || return
	[ -n "$figures" ] || return 0
	if cluster_up --simulated 4; then
		scripts/cluster.sh exec "$work/bench" -cluster "$@" || result=1
	else
		missing "a cluster" "$figures"
		result=1
	fi
	cluster_down || result=1
	return $result
}

# on_spark ARGUMENTS... takes those that need Spark in a cluster.
on_spark() {
	local figures result=0 assignments
	figures=$(chosen -spark "$@") || return
	[ -n "$figures" ] || return 0
	if ! assignments=$(scripts/spark.sh env); then
		missing "Spark" "$figures"
		return 1
	fi
	if cluster_up && { [ -n "${CLIC_SPARK_IMAGE-}" ] || scripts/spark.sh load; }; then
		mapfile -t assignments <<<"$assignments"
		scripts/cluster.sh exec env "${assignments[@]}" "$work/bench" -spark "$@" || result=1
	else
		missing "a cluster with the Spark image" "$figures"
		result=1
	fi
	cluster_down || result=1
	return $result
}

# on_hdfs ARGUMENTS... takes those that need an HDFS.
on_hdfs() {
	local figures result=0
	figures=$(chosen -hdfs "$@") || return
	[ -n "$figures" ] || return 0
	scripts/hdfs.sh status --name "$hdfs" >/dev/null 2>&1 || our_hdfs=yes
	if scripts/hdfs.sh up --name "$hdfs"; then
		scripts/hdfs.sh exec --name "$hdfs" "$work/bench" -hdfs "$@" || result=1
	else
		missing "an HDFS" "$figures"
		result=1
	fi
	hdfs_down || result=1
	return $result
}

# here ARGUMENTS... takes those that need nothing else.
here() {
	local figures
	figures=$(chosen "$@") || return
	[ -z "$figures" ] || "$work/bench" "$@"
}

here "$@" || status=1
in_cluster "$@" || status=1
on_spark "$@" || status=1
on_hdfs "$@" || status=1

[ -n "${BENCH-.}" ] || exit $status

# Only packages with a benchmark: the others would have their tests compiled for nothing.
packages=()
while read -r package dir; do
	if grep -qs '^func Benchmark' "$dir"/*_test.go; then
		packages+=("$package")
	fi
done < <(go list -f '{{.ImportPath}} {{.Dir}}' ./...)

if [ ${#packages[@]} -gt 0 ]; then
	# One package at a time (-p 1): two that run together would measure each other.
	go test -p 1 -run '^$' -bench "${BENCH-.}" -benchmem -benchtime "${BENCHTIME:-1s}" -count "${COUNT:-1}" -timeout 60m "${packages[@]}" || status=1
fi
exit $status
