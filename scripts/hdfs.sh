#!/usr/bin/env bash
# A real HDFS on this machine, for development and tests: a namenode, two datanodes and HttpFS, as processes of their own.
#
#   scripts/hdfs.sh up [--ha|--kerberos] [--address A]    get it (once, about a minute), start it (seconds); does nothing where it runs
#   scripts/hdfs.sh down                       end it and remove every trace of it
#   scripts/hdfs.sh status                     what runs and where its files are; exit status 3 if it is not up
#   scripts/hdfs.sh env                        its addresses, as lines of shell: eval "$(scripts/hdfs.sh env)"
#   scripts/hdfs.sh exec COMMAND...            run a command with those variables; "hdfs" is Hadoop's own: hdfs dfs -ls /
#   scripts/hdfs.sh start|stop|kill|pause|resume DAEMON    for tests; stop is TERM, kill is KILL, pause STOP, resume CONT
#   scripts/hdfs.sh active DAEMON              with --ha: make that namenode the active one, whatever the other does
#   scripts/hdfs.sh blocks DAEMON              the directory with the block files of a datanode
#   scripts/hdfs.sh help
#
# --name NAME (or CLIC_HDFS=NAME) is for several side by side; "clic" unless told. The ports are free ones, chosen
# when it starts and kept until down. --address binds all of it to another address than 127.0.0.1: that of a network namespace that
# the script itself runs in, as 10.244.0.1 by scripts/cluster.sh exec. --ha starts a second namenode and a journal node; the first
# namenode is active then. --kerberos has everybody prove who he is, starts a KDC, and no HttpFS; Hadoop's own programs (exec, active) are
# not for that one. up on one that runs starts what does not run of it, and options are not looked at.
#
# Daemons: namenode, datanode1, datanode2, httpfs; with --ha namenode1, namenode2, journalnode instead of namenode; with --kerberos kdc.
# Variables: HADOOP_CONF_DIR, CLIC_HDFS, CLIC_HDFS_DIR (its files; log/ has what the daemons said), CLIC_HDFS_URI (hdfs://…),
# CLIC_HDFS_NAMENODES (HOST:PORT, comma between), CLIC_HDFS_WEBHDFS and CLIC_HDFS_HTTPFS (http://HOST:PORT), CLIC_HDFS_USER (who may all);
# with --kerberos KRB5_CONFIG and CLIC_HDFS_KEYTAB (the keys of namenode/HOST, who may all, and of alice, in the realm CLIC.TEST).
#
# Files: /var/lib/clic-hdfs/NAME, without root ~/.cache/clic/hdfs-data/NAME (CLIC_HDFS_ROOT=DIR for another place). Programs: see
# scripts/hdfs/programs.sh. Exit status: the command's for exec; else 0, 1 failure, 64 wrong usage, 69 cannot run here.
set -euo pipefail

self=$(readlink -f "${BASH_SOURCE[0]}")
here=$(dirname "$self")
user=$(id -un)
realm=CLIC.TEST
kerberos=false
if [ "$(id -u)" -eq 0 ]; then root=/var/lib/clic-hdfs; else root="${CLIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clic}/hdfs-data"; fi
root=${CLIC_HDFS_ROOT:-$root}

# shellcheck source=scripts/hdfs/layout.sh
. "$here/hdfs/layout.sh"
# shellcheck source=scripts/processes.sh
. "$here/processes.sh"

say() { echo "hdfs.sh: $*" >&2; }

die() {
	say "$2"
	exit "$1"
}

# pid_of DAEMON prints its process id if it runs: the one that was recorded, no later one of its number.
pid_of() {
	local pid start
	{ read -r pid start <"$dir/run/$1"; } 2>/dev/null || return 1
	[ "$(started "$pid")" = "$start" ] || return 1
	echo "$pid"
}

gone() { ! pid_of "$1" >/dev/null; }

# await SECONDS WHAT COMMAND... tries a command until it succeeds. A failure names the logs.
await() {
	local until=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $until ]; then
			die 1 "$what: not within the time allowed; see $dir/log"
		fi
		sleep 0.1
	done
}

# lock FILE waits for another run of this script that has it locked, and sets lock to the descriptor that holds it. What keeps running
# must not inherit it.
lock() {
	mkdir -p "$root"
	while :; do
		exec {lock}>>"$1"
		flock "$lock"
		# Whoever ends something removes the file: who comes later locks another one.
		[ "$(stat -Lc %i "/proc/self/fd/$lock")" != "$(stat -c %i "$1" 2>/dev/null)" ] || return 0
		exec {lock}>&-
	done
}

# lock_name waits for another run that starts or ends this one.
lock_name() {
	lock "$dir.lock"
	own_lock=$lock
}

daemon_start() {
	pid_of "$1" >/dev/null && return
	command_of "$1"
	(
		[ -z "${own_lock-}" ] || exec {own_lock}>&-
		cd "$dir/tmp"
		exec setsid "${command[@]}" </dev/null >>"$dir/log/$1.log" 2>&1
	) &
	echo "$! $(started $!)" >"$dir/run/$1"
	disown
}

# daemon_end SIGNAL DAEMON ends it, by KILL where the signal does not.
daemon_end() {
	local signal pid until
	for signal in "$1" KILL; do
		pid=$(pid_of "$2") || break
		kill -s "$signal" "$pid" 2>/dev/null || true
		# One that was paused takes no other signal.
		kill -s CONT "$pid" 2>/dev/null || true
		until=$((SECONDS + 10))
		until gone "$2" || [ $SECONDS -ge $until ]; do sleep 0.05; done
	done
	rm -f "$dir/run/$2"
}

fetch() { curl --noproxy '*' -sSf --max-time 5 "$1"; }

# datanodes_known succeeds if the namenodes that run all see both datanodes and are ready. What a standby says of safe mode is not
# asked.
datanodes_known() {
	local namenode state
	for namenode in "${namenodes[@]}"; do
		gone "$namenode" && continue
		state=$(fetch "http://$address:$(port "$namenode-http")/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState") || return 1
		grep -q '"NumLiveDataNodes" : 2' <<<"$state" || return 1
		[ "$ha" = true ] || grep -q '"FSState" : "Operational"' <<<"$state" || return 1
	done
}

# datanode_ready DAEMON succeeds if the datanode serves: the namenode counts one that was killed a moment ago as live.
datanode_ready() {
	gone "$1" || fetch "http://$address:$(port "$1-http")/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo" |
		grep -q 'ActorState[^,]*RUNNING'
}

httpfs_ready() { fetch "http://$address:$(port httpfs)/webhdfs/v1/?op=GETFILESTATUS&user.name=$user"; }

# first_time FORMAT... runs a command of a namenode that makes its directory, if there is none.
first_time() {
	[ ! -d "$dir/$1/current" ] || return 0
	command_of "$@"
	"${command[@]}" </dev/null >>"$dir/log/$1.log" 2>&1 || die 1 "cannot make the directory of $1; see $dir/log/$1.log"
}

start_all() {
	local daemon
	if [ "$kerberos" = true ]; then
		daemon_start kdc
		# It says so when all is written and it listens.
		await 60 "the KDC" grep -q "MiniKdc started" "$dir/log/kdc.log"
		await 10 "the KDC's keys" test -s "$dir/kdc/keytab"
	fi
	if [ "$ha" = true ]; then
		daemon_start journalnode
		await 60 "the journal node" fetch "http://$address:$(port journalnode-http)/jmx"
		first_time namenode1 -format -nonInteractive
		daemon_start namenode1
		if [ ! -d "$dir/namenode2/current" ]; then
			await 60 "the first namenode" tool haadmin -getServiceState namenode1
			active namenode1 2>>"$dir/log/namenode1.log" || die 1 "no namenode became active; see $dir/log"
			first_time namenode2 -bootstrapStandby -nonInteractive
		fi
	else
		first_time namenode -format -nonInteractive
	fi
	for daemon in "${daemons[@]}"; do
		daemon_start "$daemon"
	done
	for daemon in datanode1 datanode2; do
		await 120 "$daemon" datanode_ready "$daemon"
	done
	await 120 "the datanodes" datanodes_known
	if [ "$ha" = true ] && ! tool haadmin -getAllServiceState 2>/dev/null | grep -q active; then
		active namenode1
	fi
	[ "$kerberos" = true ] || await 120 "HttpFS" httpfs_ready
}

up() {
	local begin=$SECONDS
	address=127.0.0.1 ha=false kerberos=false
	while [ $# -gt 0 ]; do
		case $1 in
		--ha) ha=true ;;
		--kerberos) kerberos=true ;;
		--address)
			[[ ${2-} =~ ^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$ ]] || die 64 "--address wants an IPv4 address"
			address=$2
			shift
			;;
		*) die 64 "usage: scripts/hdfs.sh up [--name NAME] [--ha|--kerberos] [--address A]" ;;
		esac
		shift
	done
	[ "$ha$kerberos" != truetrue ] || die 64 "--ha and --kerberos do not go together"
	local program missing=()
	for program in java curl ss flock setsid; do
		command -v "$program" >/dev/null || missing+=("$program")
	done
	[ ${#missing[@]} -eq 0 ] || die 69 "HDFS cannot run here, missing: ${missing[*]} (scripts/setup.sh installs the packages)"
	programs=$("$here/hdfs/programs.sh")
	lock_name
	# One whose start failed half-way begins anew.
	if [ ! -e "$dir/ready" ]; then
		remove
		# Two shall not be given the same ports.
		lock "$root/ports.lock"
		base=$(free_ports)
		configure
		exec {lock}>&-
	fi
	settings
	start_all
	touch "$dir/ready"
	say "the HDFS \"$name\" is up ($((SECONDS - begin)) s)"
}

# remove ends what there is of it, running or left over, and removes its files.
remove() {
	local daemon
	if settings; then
		for daemon in "${daemons[@]}"; do
			# All are told before one is waited for.
			kill -s TERM "$(pid_of "$daemon")" 2>/dev/null || true
		done
		for daemon in "${daemons[@]}"; do
			daemon_end KILL "$daemon"
		done
	fi
	rm -rf "$dir"
}

down() {
	[ $# -eq 0 ] || die 64 "usage: scripts/hdfs.sh down [--name NAME]"
	[ -e "$dir" ] || return 0
	lock_name
	remove
	rm -f "$dir.lock"
	# The last one takes all of it along.
	if [ -z "$(find "$root" -mindepth 1 ! -name ports.lock -print -quit)" ]; then
		rm -f "$root/ports.lock"
		rmdir --ignore-fail-on-non-empty "$root"
	fi
}

require_up() {
	settings || die 69 "the HDFS \"$name\" is not up: scripts/hdfs.sh up"
}

status() {
	local daemon pid
	if ! settings; then
		echo "the HDFS \"$name\" is not up"
		return 3
	fi
	echo "the HDFS \"$name\""
	variables | sed 's/^export /  /'
	for daemon in "${daemons[@]}"; do
		if pid=$(pid_of "$daemon"); then
			echo "  $daemon runs (process $pid)"
		else
			echo "  $daemon DOES NOT RUN"
		fi
	done
}

variables() {
	local namenode list=()
	for namenode in "${namenodes[@]}"; do list+=("$address:$(port "$namenode-rpc")"); done
	cat <<-END
		export HADOOP_CONF_DIR=$dir/conf
		export CLIC_HDFS=$name
		export CLIC_HDFS_DIR=$dir
		export CLIC_HDFS_URI=$(uri)
		export CLIC_HDFS_NAMENODES=$(
			IFS=,
			echo "${list[*]}"
		)
		export CLIC_HDFS_WEBHDFS=http://$address:$(port "${namenodes[0]}-http")
		export CLIC_HDFS_HTTPFS=$([ "$kerberos" = true ] || echo "http://$address:$(port httpfs)")
		export CLIC_HDFS_USER=$user
	END
	[ "$kerberos" != true ] || printf 'export KRB5_CONFIG=%s\nexport CLIC_HDFS_KEYTAB=%s\n' "$dir/kdc/krb5.conf" "$dir/kdc/keytab"
}

execute() {
	[ $# -gt 0 ] || die 64 "usage: scripts/hdfs.sh exec [--name NAME] COMMAND..."
	require_up
	eval "$(variables)"
	PATH="$dir/bin:$PATH" exec "$@"
}

# tool NAME ARGUMENT... runs one of Hadoop's programs, as "hdfs NAME" does.
tool() {
	local class logger=WARN,console
	case ${1-} in
	dfs) class=org.apache.hadoop.fs.FsShell ;;
	dfsadmin) class=org.apache.hadoop.hdfs.tools.DFSAdmin ;;
	fsck) class=org.apache.hadoop.hdfs.tools.DFSck ;;
	haadmin) class=org.apache.hadoop.hdfs.tools.DFSHAAdmin ;;
	*) die 64 "hdfs knows dfs, dfsadmin, fsck, haadmin" ;;
	esac
	java_command 256m "$class" "${@:2}"
	"${command[@]}"
}

# active DAEMON makes one namenode the active one. The other becomes a standby if it listens, and is not asked if it does not.
active() {
	local other=namenode1
	[ "$ha" = true ] || die 64 "the HDFS \"$name\" has one namenode: up --ha makes two"
	[[ ${1-} =~ ^namenode[12]$ ]] || die 64 "usage: scripts/hdfs.sh active [--name NAME] namenode1|namenode2"
	[ "$1" = namenode2 ] || other=namenode2
	local pid state=
	if pid=$(pid_of "$other"); then
		read -r _ state < <(grep ^State: "/proc/$pid/status") || true
	fi
	if [[ $state == [RSD]* ]] && fetch "http://$address:$(port "$other-http")/jmx" >/dev/null; then
		tool haadmin -transitionToStandby "$other" >&2
		tool haadmin -transitionToActive "$1" >&2
	else
		# It asks whether one is sure, whatever options say.
		tool haadmin -transitionToActive --forceactive "$1" >&2 < <(echo Y)
	fi
}

one_daemon() {
	local pid
	require_up
	[[ " ${daemons[*]} " == *" ${2-} "* && $# -eq 2 ]] ||
		die 64 "usage: scripts/hdfs.sh $1 [--name NAME] DAEMON (${daemons[*]})"
	case $1 in
	start)
		lock_name
		daemon_start "$2"
		;;
	stop) daemon_end TERM "$2" ;;
	kill) daemon_end KILL "$2" ;;
	pause | resume)
		pid=$(pid_of "$2") || die 1 "$2 does not run"
		if [ "$1" = pause ]; then kill -s STOP "$pid"; else kill -s CONT "$pid"; fi
		;;
	esac
}

blocks() {
	require_up
	[[ ${1-} =~ ^datanode[12]$ ]] || die 64 "usage: scripts/hdfs.sh blocks [--name NAME] datanode1|datanode2"
	find "$dir/$1/current" -type d -name finalized
}

main() {
	local action=${1-}
	shift || true
	name=${CLIC_HDFS:-clic}
	local arguments=()
	while [ $# -gt 0 ]; do
		if [ "$1" = --name ]; then
			name=${2-}
			shift 2 || die 64 "--name wants a name"
			continue
		fi
		# What exec runs may have such an option of its own.
		if [[ $action =~ ^(exec|tool)$ ]]; then
			arguments=("$@")
			break
		fi
		arguments+=("$1")
		shift
	done
	set -- "${arguments[@]}"
	[[ $name =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] || die 64 "name \"$name\": letters a-z, digits and inner dashes make a name"
	dir=$root/$name
	case $action in
	up | down | status | blocks) "$action" "$@" ;;
	env)
		require_up
		variables
		;;
	exec) execute "$@" ;;
	tool | active)
		require_up
		"$action" "$@"
		;;
	start | stop | kill | pause | resume) one_daemon "$action" "$@" ;;
	help | -h | --help) sed -n '2,29s/^# \{0,1\}//p' "$self" ;;
	*)
		sed -n '4,12s/^# \{0,1\}//p' "$self" >&2
		exit 64
		;;
	esac
}

main "$@"
