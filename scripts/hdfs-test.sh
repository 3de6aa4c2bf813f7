#!/usr/bin/env bash
# Run tests that need a real HDFS (build tag "hdfs").
#
#   scripts/hdfs-test.sh [-run REGEXP] [-v] [-count N] [-timeout DURATION] [-bench REGEXP] [PACKAGE]...
#
# The packages are paths as ./master/dfs/hdfs; all that have such tests unless told. The HDFS that tests share is brought up if it is not
# (and then stays up: scripts/hdfs.sh down ends it); tests that kill daemons start, and end, one of their own. CLIC_HDFS says which one is
# shared, see scripts/hdfs.sh. RACE=1 compiles with the race detector. Packages run one after the other.
#
# Exit status: 0 all passed, 1 some failed, 64 wrong usage, 69 no HDFS can run here (what is missing is said).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=(-tags hdfs -p 1)
count=1 timeout=20m
while [ $# -gt 0 ]; do
	case $1 in
	-v) options+=(-v) ;;
	-run | -count | -timeout | -bench)
		if [ $# -lt 2 ]; then
			echo "hdfs-test.sh: $1 wants a value" >&2
			exit 64
		fi
		case $1 in
		-count) count=$2 ;;
		-timeout) timeout=$2 ;;
		*) options+=("$1" "$2") ;;
		esac
		shift
		;;
	-*)
		sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
		exit 64
		;;
	*) break ;;
	esac
	shift
done
options+=(-count "$count" -timeout "$timeout")
[ "${RACE-}" != 1 ] || options+=(-race)

# Packages with tests behind the tag, by the constraint's line: a list would be forgotten.
if [ $# -eq 0 ]; then
	mapfile -t files < <(git -c safe.directory='*' ls-files --cached --others --exclude-standard -- '*_test.go' |
		xargs -r grep -lE '^//go:build (.*[ (])?hdfs([ )].*)?$')
	[ ${#files[@]} -gt 0 ] || { echo "hdfs-test.sh: no package has tests with the tag hdfs" && exit 0; }
	mapfile -t packages < <(printf '%s\n' "${files[@]}" | xargs -n1 dirname | sort -u | sed 's|^|./|')
	set -- "${packages[@]}"
fi

status=0
scripts/hdfs.sh up || status=$?
[ $status -eq 0 ] || exit $status
go test "${options[@]}" "$@"
