#!/usr/bin/env bash
# Run every fuzz target of the module, one after the other, and print one line for each.
#
#   [FUZZTIME=10s] [FUZZ=REGEXP] [FUZZ_NOT=REGEXP] scripts/fuzz.sh
#
# FUZZTIME is the time (10s) or the number of inputs (1000x) for each target; FUZZ limits the targets by "PACKAGE NAME", FUZZ_NOT
# leaves some out. A finding fails the run after the other targets had their turn; its input stays in the package's testdata/fuzz,
# where `go test` reads it as a regression test from then on. Exit status: 0 nothing found, 1 a finding or a target that cannot
# be run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
fuzztime=${FUZZTIME:-10s}
pattern=${FUZZ:-.}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# targets prints "PACKAGE DIRECTORY NAME", a line each.
targets() {
	local package dir
	go list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r package dir; do
		find "$dir" -maxdepth 1 -name '*_test.go' -exec sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' {} + |
			sed "s|^|$package $dir |"
	done
}

# run PACKAGE NAME fuzzes one target; its output is left in $log. An input that reaches something new is made smaller by a few tries only:
# by default that takes up to a minute for each, and in programs with large libraries nearly every input reaches something new.
run() {
	local try
	for try in 1 2 3; do
		if go test -run '^$' -fuzz "^$2\$" -fuzztime "$fuzztime" -fuzzminimizetime 5x "$1" >"$log" 2>&1; then
			grep -q 'now fuzzing' "$log" && return 0
			# All the time went into what earlier runs have found and kept, which is of no use then.
			rm -rf "$(go env GOCACHE)/fuzz/$1/$2"
			[ "$try" -lt 3 ] || return 0
			continue
		fi
		# On a loaded machine the go command may lose its own race with the end of the time: no input, only this message.
		grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log" || return 1
		echo "fuzz  ${1##*/} $2: ran over its time without a finding (try $try of 3)"
	done
}

failed=0
count=0
list=$(targets) # on its own line: a failure of go list ends the script
while read -r package dir name; do
	[ -n "$package" ] || continue
	short=${package#github.com/clic-orchestrator/clic/}
	[[ "$short $name" =~ $pattern ]] || continue
	[[ -z "${FUZZ_NOT-}" || ! "$short $name" =~ $FUZZ_NOT ]] || continue
	count=$((count + 1))
	if run "$package" "$name"; then
		execs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$log" | tail -1)
		result=ok
		grep -q 'now fuzzing' "$log" || result='ok, seeds only'
		printf 'fuzz  %-24s %-28s %6s  %10s inputs  %s\n' "$short" "$name" "$fuzztime" "${execs:-?}" "$result"
		continue
	fi
	failed=$((failed + 1))
	printf 'fuzz  %-24s %-28s %6s  FAILED\n' "$short" "$name" "$fuzztime"
	sed 's/^/    /' "$log" | tail -60
	input=$(sed -n 's/.*Failing input written to \(.*\)/\1/p' "$log" | tail -1)
	if [ -n "$input" ]; then
		echo "    the input is in ${dir#"$PWD"/}/$input"
		echo "    again with: go test -run '$name/${input##*/}' ./$short"
	fi
done <<<"$list"

if [ "$count" -eq 0 ]; then
	echo "fuzz.sh: no fuzz target matches \"$pattern\"" >&2
	exit 1
fi
echo "fuzz: $count targets, $failed with a finding"
[ "$failed" -eq 0 ]
