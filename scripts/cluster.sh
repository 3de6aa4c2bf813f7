#!/usr/bin/env bash
# A real Kubernetes of one node on this machine, for development and tests.
#
#   scripts/cluster.sh up [--simulated N]     build it (once, about 8 minutes), start it (seconds); does nothing where it runs
#   scripts/cluster.sh down                   end it and remove every trace of it
#   scripts/cluster.sh status                 what runs and where its files are; exit status 3 if it is not up
#   scripts/cluster.sh load IMAGE.tar...      bring images in (docker-archives: of scripts/images, docker save, …)
#   scripts/cluster.sh exec COMMAND...        run a command where pods, services and the cluster's names can be reached
#   scripts/cluster.sh stop|start|restart COMPONENT      for tests: kube-apiserver, kubelet, etcd, kube-scheduler, …
#   scripts/cluster.sh help
#
# It has process, mount and network namespaces of its own: nothing in it has a way out, no port, firewall rule or mount of the
# machine is touched, and several stand side by side (CLIC_CLUSTER=NAME, "clic" unless told). The node has the address 10.244.0.1.
# Namespaces: default and argo. Images: clic.test/shell:1 (busybox) and clic.test/pause:1; nothing can be pulled.
#
# exec sets KUBECONFIG, CLIC_CLUSTER, CLIC_CLUSTER_DIR (its files) and CLIC_CLUSTER_SHARED (a directory that pods may mount by
# hostPath and anybody may write to), puts kubectl on the PATH, and resolves names as a pod in the default namespace does. The
# command runs as ever otherwise, with this machine's files; there is no way out to the network.
#
# --simulated N adds N nodes that run nothing (kwok), with the label clic.test/simulated=true and a taint of that name: pods that
# select and tolerate them run as long as their annotation clic.test/run-time says (0s) and end with clic.test/exit-code (0).
#
# CLIC_TEST_KUBECONFIG=FILE: use that cluster instead. up then only makes the namespace argo, load is refused, exec sets KUBECONFIG.
#
# Files: /var/lib/clic-cluster/NAME (CLIC_CLUSTERS=DIR for another place of it all). Needs root, Debian's packages of
# scripts/setup.sh, and Go. Exit status: the command's for exec; else 0, 1 failure, 64 wrong usage, 69 cannot run here.
set -euo pipefail

self=$(readlink -f "${BASH_SOURCE[0]}")
here=$(dirname "$self")
name=${CLIC_CLUSTER:-clic}
dir=${CLIC_CLUSTERS:-/var/lib/clic-cluster}/$name
cgroup=clic-cluster-$name
node=$name
# What is in the cluster's directory: a link to the programs, and the access to it.
bin=$dir/bin
kubeconfig=$dir/credentials/admin.kubeconfig
# Go programs would ask a proxy for addresses that only exist in the cluster.
no_proxies=(env -u http_proxy -u https_proxy -u all_proxy -u HTTP_PROXY -u HTTPS_PROXY -u ALL_PROXY)

# shellcheck source=scripts/kubernetes/components.sh
. "$here/kubernetes/components.sh"
# shellcheck source=scripts/processes.sh
. "$here/processes.sh"

say() { echo "cluster.sh: $*" >&2; }

die() {
	say "$2"
	exit "$1"
}

# check_machine says all that is missing here, and ends if anything is.
check_machine() {
	local missing=() program
	[ "$(id -u)" -eq 0 ] || missing+=("root")
	[ "$(uname -s)" = Linux ] || missing+=("Linux")
	for program in go containerd ctr runc iptables ip busybox openssl nsenter unshare flock setsid; do
		command -v "$program" >/dev/null || missing+=("$program")
	done
	[ -n "$(cni_directory)" ] || missing+=("CNI plugins")
	if [ ${#missing[@]} -gt 0 ]; then
		die 69 "a cluster cannot run here, missing: ${missing[*]} (scripts/setup.sh installs the packages)"
	fi
	if ! unshare --net --mount --propagation unchanged --pid --fork true 2>/dev/null; then
		die 69 "a cluster cannot run here: namespaces are not permitted (unshare --net --mount --pid fails)"
	fi
}

cni_directory() {
	local candidate
	for candidate in /usr/lib/cni /opt/cni/bin; do
		if [ -x "$candidate/bridge" ] && [ -x "$candidate/host-local" ]; then
			echo "$candidate"
			return
		fi
	done
}

# gone PID succeeds if a process is no more, or a zombie.
gone() { [ -z "$(started "$1")" ]; }

# first prints the process id of the cluster's first process, if that runs: the one that was recorded, no later one of its number.
first() {
	local pid start
	{ read -r pid start <"$dir/init"; } 2>/dev/null || return 1
	[ "$(started "$pid")" = "$start" ] || return 1
	echo "$pid"
}

# inside COMMAND... runs in all the cluster's namespaces, with an environment of its own.
inside() {
	nsenter --target "$(first)" --mount --net --pid --root --wd -- \
		env -i HOME=/root LANG=C.UTF-8 PATH="$bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@"
}

# outside COMMAND... runs in the cluster's network only, with the mounts and, but for proxies, the environment of the caller.
outside() { nsenter --target "$(first)" --net -- "${no_proxies[@]}" "$@"; }

kubectl() {
	if [ -n "${CLIC_TEST_KUBECONFIG-}" ]; then
		command kubectl --kubeconfig "$CLIC_TEST_KUBECONFIG" "$@"
	else
		outside "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"
	fi
}

# pid_of COMPONENT prints its process id inside, if it runs.
pid_of() {
	local pid start
	{ read -r pid start <"$dir/run/$1"; } 2>/dev/null || return 1
	# shellcheck disable=SC2016 # for the shell inside
	inside bash -c 'read -r stat <"/proc/$1/stat" || exit 1
		read -ra fields <<<"${stat##*) }"
		[ "${fields[0]}" != Z ] && [ "${fields[19]}" = "$2" ]' bash "$pid" "$start" 2>/dev/null || return 1
	echo "$pid"
}

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

component_start() {
	local component=$1 command pid
	if pid_of "$component" >/dev/null; then
		return
	fi
	command_of "$component"
	# The shell inside is the parent and ends: the cluster's first process inherits the component, and reaps it one day.
	# shellcheck disable=SC2016 # for the shell inside
	inside bash -c 'log=$1 record=$2; shift 2
		setsid "$@" </dev/null >>"$log" 2>&1 &
		read -r stat <"/proc/$!/stat"; read -ra fields <<<"${stat##*) }"
		echo "$! ${fields[19]}" >"$record"' \
		bash "$dir/log/$component.log" "$dir/run/$component" "${command[@]}" {lock}>&-
}

component_stop() {
	local component=$1 pid signal
	for signal in TERM KILL; do
		pid=$(pid_of "$component") || break
		inside kill -s "$signal" "$pid" || true
		local until=$((SECONDS + 5))
		while pid_of "$component" >/dev/null && [ $SECONDS -lt $until ]; do
			sleep 0.05
		done
	done
	rm -f "$dir/run/$component"
}

api_ready() { kubectl get --raw /readyz; }

# start_namespaces makes the namespaces with their first process, and the files that the components need.
start_namespaces() {
	local snapshotter=overlayfs
	mkdir -p "$dir"/{config,log,run,shared,kubelet/volume-plugins}
	chmod 1777 "$dir/shared"
	# An overlay does not lie on an overlay, as the root of a container often is.
	if [ "$(stat -f -c %T "$dir")" = overlayfs ]; then
		snapshotter=native
	fi
	cp -r "$here/kubernetes/config/." "$dir/config"
	find "$dir/config" -type f -exec sed -i -e "s|@DIR@|$dir|g" -e "s|@NODE@|$node|g" -e "s|@CGROUP@|/$cgroup|g" \
		-e "s|@CNI_BIN@|$(cni_directory)|g" -e "s|@SNAPSHOTTER@|$snapshotter|g" {} +
	setsid unshare --net --mount --pid --fork --propagation unchanged -- \
		"$BASH" "$here/kubernetes/init.sh" "$dir" "$cgroup" </dev/null >"$dir/log/init.log" 2>&1 {lock}>&- &
	"$here/kubernetes/credentials.sh" "$dir/credentials" "$node"
	await 60 "the first process in the cluster's namespaces" test -e "$dir/ready"
}

# start_all IMAGES... starts what does not run, and loads the images once. What needs the API server would wait for it by itself, but
# slower than we do.
start_all() {
	local component
	for component in etcd containerd kube-apiserver; do
		component_start "$component"
	done
	if [ ! -e "$dir/run/images" ]; then
		await 60 "containerd" images ls
		load "$@"
		touch "$dir/run/images"
	fi
	await 300 "the API server" api_ready
	for component in "${components[@]:3}"; do
		component_start "$component"
	done
}

# base_images makes the images that every cluster has, once, and prints the directory that they are in.
base_images() {
	local key to
	key=$(cat "$here"/images/*.go "$here"/images/pause/*.go "$(command -v busybox)" | sha256sum | cut -c1-12)
	to="${CLIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clic}/images/$key"
	if [ ! -e "$to/shell.tar" ]; then
		say "making the base images in $to (once)"
		"$here/images/base.sh" "$to"
	fi
	echo "$to"
}

images() { ctr --address "$dir/containerd.sock" --namespace k8s.io images "$@"; }

load() {
	local archive snapshotter config
	snapshotter=$(sed -n 's/.*snapshotter = "\(.*\)"/\1/p' "$dir/config/containerd.toml")
	for archive in "$@"; do
		[ -r "$archive" ] || die 1 "cannot read $archive"
		# An image of the same name goes first: one that is only changed is not announced to the kubelet's side anew.
		tar -xOf "$archive" manifest.json 2>/dev/null | grep -oE '"RepoTags":\[[^]]*' | grep -oE '[^"[,]+:[^",]+' |
			while read -r tag; do images rm "$tag" >/dev/null 2>&1 || true; done || true
		images import --snapshotter "$snapshotter" "$archive" >&2
		# The kubelet's side of containerd hears of it a moment later, and then gives it the name of its configuration.
		config=$(tar -xOf "$archive" manifest.json 2>/dev/null | grep -oE '"Config":"[^"]*' | grep -oE '[0-9a-f]{64}' || true)
		[ -z "$config" ] || await 30 "the image of $archive" images_known "$config"
	done
}

# images_known HASHES succeeds if the kubelet knows the images with configurations of these hashes.
images_known() {
	local hash known
	known=$(images ls -q)
	for hash in $1; do
		grep -qx "sha256:$hash" <<<"$known" || return 1
	done
}

# api_objects makes what pods of every test need.
api_objects() {
	kubectl apply -f "$dir/config/namespaces.yaml" >/dev/null
	await 120 "the node's registration" kubectl get node "$node"
	kubectl wait --for=condition=Ready "node/$node" --timeout=300s >/dev/null
	local namespace
	for namespace in default argo; do
		await 120 "the service account of namespace $namespace" kubectl -n "$namespace" get serviceaccount default
	done
}

# simulate N makes sure of N nodes of kwok.
simulate() {
	local n
	component_start kwok
	for ((n = 0; n < $1; n++)); do
		cat <<-END
			apiVersion: v1
			kind: Node
			metadata:
			  name: simulated-$n
			  labels: {clic.test/simulated: "true", kubernetes.io/hostname: simulated-$n, kubernetes.io/os: linux, type: kwok}
			spec:
			  taints: [{key: clic.test/simulated, value: "true", effect: NoSchedule}]
			---
		END
	done | kubectl apply -f - >/dev/null
	kubectl wait --for=condition=Ready node --selector clic.test/simulated=true --timeout=60s >/dev/null
}

up() {
	local simulated=0 built images begin=$SECONDS
	case "$#:${1-}" in
	0:) ;;
	2:--simulated) simulated=$2 ;;
	*) die 64 "usage: scripts/cluster.sh up [--simulated N]" ;;
	esac
	[[ $simulated =~ ^[0-9]+$ ]] || die 64 "--simulated wants a number, not \"$simulated\""
	if [ -n "${CLIC_TEST_KUBECONFIG-}" ]; then
		kubectl get --raw /readyz >/dev/null
		kubectl get namespace argo >/dev/null 2>&1 || kubectl create namespace argo >/dev/null
		return
	fi
	check_machine
	local parts=(control-plane dns)
	[ "$simulated" -eq 0 ] || parts+=(kwok)
	built=$("$here/kubernetes/build.sh" "${parts[@]}")
	images=$(base_images)
	lock
	if ! first >/dev/null; then
		remove
		mkdir -p "$dir"
		ln -s "$built" "$bin"
		start_namespaces
	elif [ "$(readlink "$bin")" != "$built" ]; then
		say "the cluster \"$name\" runs programs of another version; down and up would renew it"
	fi
	start_all "$images"/{pause,shell}.tar
	api_objects
	[ "$simulated" -eq 0 ] || simulate "$simulated"
	say "the cluster \"$name\" is up ($((SECONDS - begin)) s)"
}

# lock waits for another run of this script that starts or ends the cluster. What keeps running must not inherit the lock.
lock() {
	mkdir -p "${dir%/*}"
	while :; do
		exec {lock}>>"$dir.lock"
		flock "$lock"
		# The one that ended the cluster removed the file: whoever comes later locks another one.
		[ "$(stat -Lc %i "/proc/self/fd/$lock")" != "$(stat -c %i "$dir.lock" 2>/dev/null)" ] || return 0
		exec {lock}>&-
	done
}

# remove ends what there is of the cluster, running or left over, and removes its files.
remove() {
	local pid network
	if pid=$(first); then
		network=$(stat -Lc %i "/proc/$pid/ns/net")
		if [ "$network" = "$(stat -Lc %i /proc/self/ns/net)" ]; then
			die 64 "a cluster cannot be ended from inside"
		fi
		# What exec started is outside of the process namespace; it has lost its network anyway.
		end_commands "$network"
		inside "$BASH" "$here/kubernetes/empty.sh" "$cgroup"
		kill -KILL "$pid" 2>/dev/null || true
		await 60 "the end of process $pid" gone "$pid"
	else
		# A crash of the first process took the others with it, but not the control groups.
		"$here/kubernetes/empty.sh" --groups "$cgroup"
	fi
	if mountpoint -q "$dir/root"; then
		umount --lazy "$dir/root"
	fi
	rm -rf --one-file-system "$dir"
}

# end_commands NETWORK ends the processes of that network namespace that exec started: those in our own process namespace.
end_commands() {
	local signal pids processes
	processes=$(stat -Lc %i /proc/self/ns/pid)
	for signal in TERM KILL; do
		# Most of what stat complains of is gone by the time it is asked.
		mapfile -t pids < <(stat -Lc '%i %n' /proc/[0-9]*/ns/{net,pid} 2>/dev/null | tr / ' ' |
			awk -v net="$1" -v pid="$processes" '$5 == "net" && $1 == net { in_net[$3] }
				$5 == "pid" && $1 == pid { in_pid[$3] }
				END { for (p in in_net) if (p in in_pid) print p }')
		[ ${#pids[@]} -gt 0 ] || return 0
		kill -s "$signal" "${pids[@]}" 2>/dev/null || true
		sleep 0.5
	done
}

down() {
	[ $# -eq 0 ] || die 64 "usage: scripts/cluster.sh down"
	[ -z "${CLIC_TEST_KUBECONFIG-}" ] || return 0
	[ -e "$dir" ] || return 0
	[ "$(id -u)" -eq 0 ] || die 69 "only root can end a cluster"
	lock
	remove
	rm -f "$dir.lock"
	rmdir --ignore-fail-on-non-empty "${dir%/*}"
}

status() {
	local component pid
	if [ -n "${CLIC_TEST_KUBECONFIG-}" ]; then
		echo "an existing cluster: KUBECONFIG=$CLIC_TEST_KUBECONFIG"
		kubectl get nodes
		return
	fi
	if ! first >/dev/null; then
		echo "the cluster \"$name\" is not up"
		return 3
	fi
	cat <<-END
		the cluster "$name"
		  KUBECONFIG=$kubeconfig (in the cluster's network: use exec)
		  CLIC_CLUSTER_DIR=$dir (log/ has what its programs said)
		  CLIC_CLUSTER_SHARED=$dir/shared
	END
	for component in "${components[@]}" kwok; do
		if pid=$(pid_of "$component"); then
			echo "  $component runs (process $pid inside)"
		elif [ "$component" != kwok ]; then
			echo "  $component DOES NOT RUN"
		fi
	done
	kubectl get nodes --no-headers 2>&1 | sort | awk '/^simulated-/ { n++; next } { print "  node " $0 }
		END { if (n) print "  and " n " simulated nodes" }'
}

execute() {
	[ $# -gt 0 ] || die 64 "usage: scripts/cluster.sh exec COMMAND..."
	if [ -n "${CLIC_TEST_KUBECONFIG-}" ]; then
		KUBECONFIG=$CLIC_TEST_KUBECONFIG exec "$@"
	fi
	require_up
	export KUBECONFIG=$kubeconfig CLIC_CLUSTER=$name CLIC_CLUSTER_DIR=$dir CLIC_CLUSTER_SHARED=$dir/shared PATH="$bin:$PATH"
	# The resolver's configuration is the machine's for all but this command and what it starts.
	# shellcheck disable=SC2016 # for the shell there
	exec nsenter --target "$(first)" --net -- "${no_proxies[@]}" unshare --mount --propagation unchanged -- bash -c '
		mount --make-rslave / 2>/dev/null # fails in a chroot, where nobody sees our mounts anyway
		mount --bind "$1" /etc/resolv.conf || echo "cluster.sh: the names of the cluster cannot be looked up" >&2
		shift
		exec "$@"' bash "$dir/config/resolv.conf" "$@"
}

require_up() {
	[ "$(id -u)" -eq 0 ] || die 69 "only root can enter a cluster"
	first >/dev/null || die 69 "the cluster \"$name\" is not up: scripts/cluster.sh up"
}

# one_component COMMAND NAME stops, starts or restarts one; the prefix kube- of the name may be left out.
one_component() {
	local component=${2-} command
	[ $# -eq 2 ] || die 64 "usage: scripts/cluster.sh $1 COMPONENT"
	[[ $component =~ ^(apiserver|controller-manager|scheduler|proxy)$ ]] && component=kube-$component
	command_of "$component" || exit 64
	require_up
	lock
	[ "$1" = start ] || component_stop "$component"
	[ "$1" = stop ] || component_start "$component"
	if [ "$1 $component" != "stop $component" ] && [ "$component" = kube-apiserver ]; then
		await 300 "the API server" api_ready
	fi
}

main() {
	local command=${1-}
	shift || true
	[[ $name =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] || die 64 "CLIC_CLUSTER=\"$name\": letters a-z, digits and inner dashes make a name"
	case $command in
	up | down | status) "$command" "$@" ;;
	load)
		[ $# -gt 0 ] || die 64 "usage: scripts/cluster.sh load IMAGE.tar..."
		[ -z "${CLIC_TEST_KUBECONFIG-}" ] || die 69 "images go into a cluster of your own by your own means"
		require_up
		load "$@"
		;;
	exec) execute "$@" ;;
	start | stop | restart) one_component "$command" "$@" ;;
	help | -h | --help) sed -n '2,32s/^# \{0,1\}//p' "$self" ;;
	*)
		sed -n '4,11s/^# \{0,1\}//p' "$self" >&2
		exit 64
		;;
	esac
}

main "$@"
