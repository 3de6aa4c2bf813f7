#!/usr/bin/env bash
# Empty a cluster (scripts/cluster.sh runs it in the cluster's namespaces).
#
#   empty.sh CGROUP              kill every process here but the first and this, and remove the control groups of that name
#   empty.sh --groups CGROUP     only remove the control groups; what is in them is killed
set -euo pipefail

only_groups=false
if [ "$1" = --groups ]; then
	only_groups=true
	shift
fi
cgroup=$1
$only_groups || kill -KILL -1 2>/dev/null || true

# groups prints the cluster's control group in every hierarchy, once each.
groups() {
	local directory
	for directory in /sys/fs/cgroup /sys/fs/cgroup/*; do
		[ -L "$directory" ] || [ ! -d "$directory/$cgroup" ] || echo "$directory/$cgroup"
	done
}

until=$((SECONDS + 15))
while mapfile -t left < <(groups) && [ ${#left[@]} -gt 0 ]; do
	find "${left[@]}" -depth -type d -exec rmdir {} + 2>/dev/null || true
	if [ $SECONDS -ge $until ]; then
		echo "cluster.sh: cannot remove the control groups ${left[*]}" >&2
		exit 1
	fi
	if $only_groups; then
		find "${left[@]}" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | xargs -r kill -KILL 2>/dev/null || true
	fi
	sleep 0.05
done
