#!/usr/bin/env bash
# Run the tests on the real Spark (build tags "spark" and "sparkcluster", in scripts/spark).
#
#   scripts/spark-test.sh [-run REGEXP] [-v] [-timeout DURATION] [process|cluster]...
#
# process: drivers on this machine, local and with the standalone master of scripts/spark.sh, which is started for it under the name
# "test", and ended, and whole masters with an HDFS of their own (scripts/spark/endtoend). cluster: drivers in the cluster of
# scripts/cluster.sh (CLIC_CLUSTER; brought up if it is not, and then stays up), with the Spark image loaded into it, and an HDFS of
# scripts/hdfs.sh beside it. Both unless told.
#
# Exit status: 0 all passed, 1 some failed, 64 wrong usage, 69 Spark or a cluster cannot run here.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=(-test.count=1)
timeout=40m
while [ $# -gt 0 ]; do
	case $1 in
	-v) options+=(-test.v) ;;
	-run | -timeout)
		if [ $# -lt 2 ]; then
			echo "spark-test.sh: $1 wants a value" >&2
			exit 64
		fi
		if [ "$1" = -timeout ]; then timeout=$2; else options+=("-test.run=$2"); fi
		shift
		;;
	process | cluster) break ;;
	*)
		sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
		exit 64
		;;
	esac
	shift
done
options+=("-test.timeout=$timeout")
[ $# -gt 0 ] || set -- process cluster

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

process() {
	go test -c -tags spark -o "$work/process.test" ./scripts/spark
	go test -c -tags spark -o "$work/endtoend.test" ./scripts/spark/endtoend # brings an HDFS of its own
	trap 'scripts/spark.sh down --name test' EXIT # of this part, which is a shell of its own
	scripts/spark.sh up --name test
	local assignments
	mapfile -t assignments < <(scripts/spark.sh env --name test)
	local status=0
	(cd scripts/spark && env "${assignments[@]}" "$work/process.test" "${options[@]}") || status=1
	(cd scripts/spark/endtoend && env "${assignments[@]}" "$work/endtoend.test" "${options[@]}") || status=1
	return $status
}

cluster() {
	CGO_ENABLED=0 go test -c -tags sparkcluster -o "$work/cluster.test" ./scripts/spark
	CGO_ENABLED=0 go build -buildvcs=false -o "$work/clic-master" ./master/clic-master
	scripts/cluster.sh up
	scripts/spark.sh load
	master/clustertest/prepare.sh "$work/images"
	scripts/cluster.sh load "$work"/images/*.tar
	# HDFS where pods can reach it: at the node's own address.
	trap 'scripts/hdfs.sh down --name spark-test' EXIT
	scripts/cluster.sh exec scripts/hdfs.sh up --name spark-test --address 10.244.0.1
	local assignments
	mapfile -t assignments < <(scripts/spark.sh env)
	(cd scripts/spark && ../cluster.sh exec ../hdfs.sh exec --name spark-test \
		env "${assignments[@]}" CLIC_SPARK_TEST_MASTER="$work/clic-master" "$work/cluster.test" -test.parallel=3 "${options[@]}")
}

failed=()
for part in "$@"; do
	begin=$SECONDS status=0
	case $part in
	process | cluster) ("$part") || status=$? ;;
	*)
		echo "spark-test.sh: there is no part \"$part\"; there are process and cluster" >&2
		exit 64
		;;
	esac
	if [ $status -eq 69 ]; then
		exit 69
	elif [ $status -ne 0 ]; then
		failed+=("$part")
		echo "FAIL	$part	$((SECONDS - begin))s (exit status $status)"
	else
		echo "ok  	$part	$((SECONDS - begin))s"
	fi
done
if [ ${#failed[@]} -gt 0 ]; then
	echo "spark-test: failed: ${failed[*]}"
	exit 1
fi
