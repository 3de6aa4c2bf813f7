#!/usr/bin/env bash
# The main job, end to end: a standalone master runs a real plan on this machine, and the shell steers it.
#
#   [DEMO_DIR=DIRECTORY] scripts/demo.sh
#
# It builds the two binaries, starts a master of its own on a free port of this machine, submits deploy/examples/go-source-report.yaml on
# the sources of the Go toolchain, follows it, suspends a branch of it, continues it, and shows the report. Everything is kept in
# a temporary directory, which is removed at the end; with DEMO_DIR in that one, which stays. The exit status is 0 if the task
# has completed and its report is there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

master_pid=
watch_pid=
task=
keep=${DEMO_DIR:+yes}

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n==> %s\n' "$*"; }

# run COMMAND...: show a command, and run it.
run() {
	printf '$'
	printf ' %q' "$@"
	echo
	"$@"
}

fail() {
	echo "demo: $*" >&2
	exit 1
}

# Whatever happens, nothing stays behind: neither a stage nor the master.
clean_up() {
	local status=$?
	trap - EXIT
	if [ -n "$watch_pid" ]; then
		kill "$watch_pid" 2>/dev/null || true
		wait "$watch_pid" 2>/dev/null || true
	fi
	if [ -n "$master_pid" ] && kill -0 "$master_pid" 2>/dev/null; then
		if [ -n "$task" ] && [ "$status" -ne 0 ]; then
			timeout 20 bin/clic cancel "$task" --wait >/dev/null 2>&1 || true
		fi
		kill "$master_pid" 2>/dev/null || true
		wait "$master_pid" || true
	fi
	if [ "$status" -ne 0 ] && [ "$status" -lt 128 ] && [ -s "$dir/master.log" ]; then
		echo "demo: the end of the master's log:" >&2
		tail -n 20 "$dir/master.log" >&2
	fi
	[ -n "$keep" ] || rm -rf "$dir"
	exit "$status"
}

# status: how the task stands.
status() { bin/clic get "$task" -o json | sed -n 's/^ *"status": "\([A-Z]*\)".*/\1/p' | head -n 1; }

# await STATUS SECONDS: wait until the task stands so; fail if it ends otherwise.
await() {
	local now deadline=$((SECONDS + $2))
	while now=$(status); [ "$now" != "$1" ]; do
		case $now in
		COMPLETED | FAILED | CANCELLED) fail "the task is $now, and should be $1" ;;
		esac
		[ "$SECONDS" -lt "$deadline" ] || fail "the task is still $now after $2 s, and should be $1"
		sleep 0.1
	done
}

command -v go >/dev/null || fail "there is no go command in the PATH; see https://go.dev/dl"
sources=$(go env GOROOT)/src
[ -d "$sources/runtime" ] || fail "there are no sources of Go in $sources"

say "Building bin/clic and bin/clic-master"
make --no-print-directory build

dir=${DEMO_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/clic-demo.XXXXXX")}
mkdir -p "$dir/work"
dir=$(cd "$dir" && pwd -P)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "Starting a master: one process, its state in one file, stages as processes of this machine"
set -m # in a process group of its own: Ctrl-C is for this script, which cancels the task while the master is still there
bin/clic-master --listen 127.0.0.1:0 --data-dir "$dir/data" --result-dir "$dir/work" >"$dir/master.out" 2>"$dir/master.log" &
master_pid=$!
set +m
address=
for _ in $(seq 200); do
	address=$(sed -n 's/^clic-master listens on \([^, ]*\).*/\1/p' "$dir/master.out")
	[ -z "$address" ] || break
	kill -0 "$master_pid" 2>/dev/null || fail "the master did not start"
	sleep 0.1
done
[ -n "$address" ] || fail "the master did not say where it listens"
cat "$dir/master.out"
export CLIC_MASTER=$address

say "Submitting a plan that reads the sources of $(go env GOVERSION), and suspending the branch \"todos\" of it"
task=$(bin/clic submit deploy/examples/go-source-report.yaml --label from=demo --param goroot="$sources" --param workdir="$dir/work")
run bin/clic suspend "$task/todos" --reason "somebody wants to look at the packages first"

say "Following $task: everything else goes on"
bin/clic watch "$task" --plain &
watch_pid=$!
await SUSPENDED 120

say "Nothing runs any more. What is left, and what does it wait for?"
run bin/clic explain "$task"
run bin/clic explain "$task/report"

say "A look at the packages, while the rest waits"
run bin/clic -stage_result "$task-packages" 5

say "Continuing the branch"
run bin/clic continue "$task/todos"
await COMPLETED 120
wait "$watch_pid" || true
watch_pid=

say "The stages of the task: checksums was retried, no-tests-warning was skipped"
run bin/clic stages "$task"
run bin/clic -task "$task"

say "The report"
run bin/clic -stage_result "$task-report" 100
[ "$(bin/clic result "$task/report" --path)" = "$dir/work/report.md" ] || fail "the report is not where it should be"
[ -s "$dir/work/report.md" ] || fail "the report is empty"

say "Done: $task has completed. Stopping the master"
if [ -n "$keep" ]; then
	echo "Everything is kept in $dir; the report is $dir/work/report.md"
fi
