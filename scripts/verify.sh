#!/usr/bin/env bash
# Check everything about the checkout that is not a behaviour: formatting, generated files, layers, licences, modules, lint,
# scripts.
#
#   scripts/verify.sh [STEP]...      steps: gofumpt generated layers licences modules shellcheck lint; all of them unless told
#
# Every step runs, also after one that failed; the last lines say which failed. Exit status: 0 none, 1 some, 64 unknown step.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Build tags that hide files from a plain build; lint and licences look at those files too. (.golangci.yaml names them again.)
tags=chaos,cluster,hdfs,spark,sparkcluster

step_gofumpt() {
	local tools unformatted
	tools=$(scripts/tools.sh gofumpt) || return 1
	unformatted=$("$tools/gofumpt" -l .) || return 1
	if [ -n "$unformatted" ]; then
		echo "not formatted, run 'make fmt':"
		echo "$unformatted"
		return 1
	fi
}

step_generated() { scripts/generate.sh --check; }

step_layers() { go test -count=1 ./scripts/layers; }

step_licences() { go run ./scripts/licences -tags "$tags" ./...; }

step_modules() {
	local module difference
	go mod verify || return 1
	for module in . scripts/containers scripts/kubernetes/{control-plane,dns,kwok}; do
		if ! difference=$(go -C "$module" mod tidy -diff 2>&1); then
			echo "go.mod and go.sum in $module are not what 'go mod tidy' makes of them:"
			printf '%s\n' "$difference" | sed -n 1,60p
			return 1
		fi
	done
}

step_shellcheck() {
	local files
	# By name, not by walking: only what belongs to the project.
	mapfile -t files < <(git -c safe.directory='*' ls-files --cached --others --exclude-standard -- '*.sh' .ci/run)
	shellcheck "${files[@]}"
}

step_lint() {
	local tools
	tools=$(scripts/tools.sh golangci-lint) || return 1
	"$tools/golangci-lint" config verify && "$tools/golangci-lint" run ./...
}

[ $# -gt 0 ] || set -- gofumpt generated layers licences modules shellcheck lint
failed=()
for step in "$@"; do
	if ! declare -F "step_$step" >/dev/null; then
		echo "verify.sh: unknown step \"$step\"" >&2
		exit 64
	fi
	begin=$SECONDS
	if output=$("step_$step" 2>&1); then
		printf 'verify  %-12s ok      (%d s)\n' "$step" $((SECONDS - begin))
	else
		printf 'verify  %-12s FAILED  (%d s)\n' "$step" $((SECONDS - begin))
		[ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/    /'
		failed+=("$step")
	fi
done
if [ ${#failed[@]} -gt 0 ]; then
	echo "verify: failed: ${failed[*]}"
	exit 1
fi
