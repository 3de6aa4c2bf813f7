#!/usr/bin/env bash
# A real Spark on this machine, for development and tests: a standalone master with its REST server and a worker, on loopback.
#
#   scripts/spark.sh up [--name NAME]         start them (the first time gets Spark from PyPI); does nothing where they run
#   scripts/spark.sh down [--name NAME]       end them and remove their files
#   scripts/spark.sh status [--name NAME]     what runs and where; exit status 3 if nothing does
#   scripts/spark.sh env [--name NAME]        the addresses as assignments for a shell; works without a running master too
#   scripts/spark.sh exec COMMAND...          run a command with those in its environment, spark-submit on the PATH
#   scripts/spark.sh image                    make the Spark image for the cluster of scripts/cluster.sh, and print its archive
#   scripts/spark.sh load                     bring that image into the cluster (CLIC_CLUSTER)
#   scripts/spark.sh help
#
# env gives SPARK_HOME, CLIC_SPARK_APPS (demo.jar and app.py), and of what runs CLIC_SPARK_MASTER (spark://…), CLIC_SPARK_UI and
# CLIC_SPARK_REST (http://…). Ports are free ones. NAME is "clic" unless told; several stand side by side.
#
# Files: ${CLIC_SPARK_DIR:-/var/tmp/clic-spark-UID}/NAME; programs: ${CLIC_CACHE:-~/.cache/clic}/spark. Needs Java 17 or newer, pip
# and, for the image, what scripts/spark/image.sh says. CLIC_SPARK_VERSION chooses another version than 4.3.0. Exit status: the
# command's for exec; else 0, 1 failure, 64 wrong usage, 69 cannot run here.
set -euo pipefail

self=$(readlink -f "${BASH_SOURCE[0]}")
here=$(dirname "$self")
# shellcheck source=scripts/processes.sh
. "$here/processes.sh"
name=clic

say() { echo "spark.sh: $*" >&2; }

die() {
	say "$2"
	exit "$1"
}

# pid_of DAEMON prints its process id, if it is the one that was started here.
pid_of() {
	local pid start
	{ read -r pid start <"$dir/$1.pid"; } 2>/dev/null || return 1
	[ "$(started "$pid")" = "$start" ] || return 1
	echo "$pid"
}

# daemon NAME CLASS ARGUMENTS... starts one of Spark's daemons.
daemon() {
	local daemon=$1 class=$2
	shift 2
	# Small heaps and little compilation: it is for tests. Never another interface than loopback: Spark would look for one, slowly.
	SPARK_LOCAL_IP=127.0.0.1 SPARK_DAEMON_MEMORY=160m SPARK_WORKER_DIR="$dir/work" SPARK_LOG_DIR="$dir" SPARK_LOCAL_DIRS="$dir/local" \
		SPARK_DAEMON_JAVA_OPTS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Dspark.master.rest.enabled=true -Dspark.master.rest.port=0 -Dspark.master.rest.host=127.0.0.1 -Dspark.worker.cleanup.enabled=false" \
		setsid "$home/bin/spark-class" "$class" "$@" </dev/null >"$dir/$daemon.log" 2>&1 {lock}>&- &
	echo "$! $(started $!)" >"$dir/$daemon.pid"
}

# await DAEMON PATTERN waits for a line of a daemon's log, and prints the part of it that the pattern's group is.
await() {
	local until=$((SECONDS + 120)) found
	while :; do
		found=$(sed -nE "s~.*$2.*~\\1~p" "$dir/$1.log" 2>/dev/null | head -1)
		if [ -n "$found" ]; then
			echo "$found"
			return
		fi
		pid_of "$1" >/dev/null || die 1 "the $1 ended at once; see $dir/$1.log"
		[ $SECONDS -lt $until ] || die 1 "the $1 is not up within the time allowed; see $dir/$1.log"
		sleep 0.1
	done
}

check_machine() {
	command -v java >/dev/null || die 69 "Spark cannot run here: Java is missing (Debian: openjdk-17-jre-headless)"
	command -v python3 >/dev/null || die 69 "Spark cannot run here: Python is missing"
}

up() {
	check_machine
	home=$("$here/spark/home.sh")
	mkdir -p "$dir"
	exec {lock}>"$dir.lock"
	flock "$lock"
	if ! pid_of master >/dev/null || ! pid_of worker >/dev/null; then
		stop worker
		stop master
		rm -f "$dir/env"
		daemon master org.apache.spark.deploy.master.Master --host 127.0.0.1 --port 0 --webui-port 0
		local master ui rest
		master=$(await master 'Starting Spark master at (spark://[^ ]+)')
		ui=$(await master "Successfully started service 'MasterUI' on port ([0-9]+)")
		rest=$(await master "Started REST server for submitting applications on [^ ]+ with port ([0-9]+)")
		daemon worker org.apache.spark.deploy.worker.Worker --host 127.0.0.1 --port 0 --webui-port 0 --cores "${CLIC_SPARK_CORES:-4}" --memory "${CLIC_SPARK_MEMORY:-3g}" "$master"
		await worker "(Successfully) registered with master" >/dev/null
		printf 'CLIC_SPARK_MASTER=%s\nCLIC_SPARK_UI=http://127.0.0.1:%s\nCLIC_SPARK_REST=http://127.0.0.1:%s\n' "$master" "$ui" "$rest" >"$dir/env"
	fi
	say "the master \"$name\" is up: $(sed -n 's/CLIC_SPARK_MASTER=//p' "$dir/env")"
}

# stop DAEMON ends one that was started here.
stop() {
	local pid signal until
	for signal in TERM KILL; do
		pid=$(pid_of "$1") || break
		kill -s "$signal" "$pid" 2>/dev/null || true
		until=$((SECONDS + 10))
		while pid_of "$1" >/dev/null && [ $SECONDS -lt $until ]; do sleep 0.1; done
	done
	rm -f "$dir/$1.pid"
}

down() {
	[ -e "$dir" ] || return 0
	exec {lock}>"$dir.lock"
	flock "$lock"
	# The worker first: it ends the drivers and executors that it has started.
	stop worker
	stop master
	rm -rf "$dir" "$dir.lock"
}

print_env() {
	local home apps
	home=$("$here/spark/home.sh")
	apps=$("$here/spark/apps.sh")
	printf 'SPARK_HOME=%s\nCLIC_SPARK_APPS=%s\n' "$home" "$apps"
	if pid_of master >/dev/null; then
		cat "$dir/env"
	fi
}

status() {
	local daemon pid
	if ! pid_of master >/dev/null; then
		echo "the master \"$name\" is not up"
		return 3
	fi
	for daemon in master worker; do
		if pid=$(pid_of "$daemon"); then echo "$daemon runs (process $pid)"; else echo "$daemon DOES NOT RUN"; fi
	done
	print_env
}

main() {
	local command=${1-}
	shift || true
	if [ "${1-}" = --name ]; then
		[ $# -ge 2 ] || die 64 "--name wants a name"
		name=$2
		shift 2
	fi
	[[ $name =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] || die 64 "\"$name\": letters a-z, digits and inner dashes make a name"
	dir=${CLIC_SPARK_DIR:-/var/tmp/clic-spark-$(id -u)}/$name
	case $command in
	up | down | status) [ $# -eq 0 ] || die 64 "usage: scripts/spark.sh $command [--name NAME]"; "$command" ;;
	env) print_env ;;
	exec)
		[ $# -gt 0 ] || die 64 "usage: scripts/spark.sh exec COMMAND..."
		local assignments
		mapfile -t assignments < <(print_env)
		export "${assignments[@]}" PATH="${assignments[0]#*=}/bin:$PATH" SPARK_LOCAL_IP=127.0.0.1
		exec "$@"
		;;
	image) "$here/spark/image.sh" ;;
	load) "$here/cluster.sh" load "$("$here/spark/image.sh")" ;;
	help | -h | --help) sed -n '2,21s/^# \{0,1\}//p' "$self" ;;
	*)
		sed -n '4,11s/^# \{0,1\}//p' "$self" >&2
		exit 64
		;;
	esac
}

main "$@"
