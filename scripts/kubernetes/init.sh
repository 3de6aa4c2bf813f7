#!/usr/bin/env bash
# The first process of a cluster's own process, mount and network namespaces (scripts/cluster.sh starts it there).
#
#   init.sh DIR CGROUP       DIR is the cluster's directory, CGROUP the name of its control group
#
# It arranges the mounts and the network, says so by writing DIR/ready, and then only reaps what dies. With it end all processes of
# the cluster, its pods too, all mounts, all addresses and all firewall rules: that is how a cluster is removed without a trace.
set -euo pipefail

dir=$1 cgroup=$2

# tell_identity writes our process id outside and when we started; what we see of /proc is still the outside.
tell_identity() {
	local stat
	read -r stat </proc/self/stat
	# The name in parentheses may hold spaces: the fields after it count from the state, the third.
	read -ra fields <<<"${stat##*) }"
	printf '%s %s\n' "${stat%% *}" "${fields[19]}" >"$dir/init.new"
	mv "$dir/init.new" "$dir/init"
}

# enter_mounted_root makes the root a mount point, as runc's pivot_root wants: that of a chroot is none.
enter_mounted_root() {
	if awk '$5 == "/" { found = 1 } END { exit !found }' /proc/self/mountinfo; then
		return
	fi
	mkdir -p "$dir/root"
	mount --rbind / "$dir/root"
	exec chroot "$dir/root" "$BASH" "${BASH_SOURCE[0]}" "$dir" "$cgroup"
}

# cover_var_lib makes a private /var/lib of the machine's directories in it, but for two that programs have a fixed idea of.
cover_var_lib() {
	local entry name
	mkdir /run/var-lib
	mount --rbind /var/lib /run/var-lib
	mount -t tmpfs -o mode=755 tmpfs /var/lib
	mkdir /var/lib/kubelet /var/lib/cni
	for entry in /run/var-lib/*; do
		name=${entry##*/}
		if [ -e "/var/lib/$name" ]; then
			continue
		elif [ -d "$entry" ] && [ ! -L "$entry" ]; then
			mkdir "/var/lib/$name"
			mount --rbind "$entry" "/var/lib/$name"
		else
			cp -P "$entry" "/var/lib/$name"
		fi
	done
}

arrange_mounts() {
	local file
	mount -t proc proc /proc
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/lock
	cover_var_lib
	mount -t tmpfs -o mode=755 tmpfs /var/log
	if [ "$(readlink -f /var/run)" != /run ]; then
		mount --rbind /run /var/run
	fi
	# The kubelet tunes the machine's kernel. It shall tune copies.
	mkdir /run/tunables
	for file in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
		kernel/keys/root_maxbytes; do
		[ -e "/proc/sys/$file" ] || continue
		cat "/proc/sys/$file" >"/run/tunables/${file//\//-}"
		mount --bind "/run/tunables/${file//\//-}" "/proc/sys/$file"
	done
}

# arrange_cgroups mounts the control groups where the machine shows none (a bare chroot), and makes the cluster's own.
arrange_cgroups() {
	local controllers hierarchy
	if [ ! -e /sys/kernel ]; then
		mount -t sysfs sysfs /sys
	fi
	if ! grep -q ' /sys/fs/cgroup' /proc/mounts; then
		if [ "$(wc -l </proc/self/cgroup)" -eq 1 ]; then
			mount -t cgroup2 cgroup2 /sys/fs/cgroup
		else
			mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
			while IFS=: read -r _ controllers _; do
				[ -n "$controllers" ] || continue
				hierarchy=/sys/fs/cgroup/${controllers#name=}
				mkdir "$hierarchy"
				mount -t cgroup -o "$controllers" cgroup "$hierarchy"
			done </proc/self/cgroup
		fi
	fi
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		mkdir -p "/sys/fs/cgroup/$cgroup"
		return
	fi
	for hierarchy in /sys/fs/cgroup/*/; do
		# A link is a second name of one that is met under its first.
		[ ! -L "${hierarchy%/}" ] || continue
		[ -e "${hierarchy}cgroup.procs" ] || continue
		mkdir -p "$hierarchy$cgroup"
		if [ -e "${hierarchy}cpuset.cpus" ]; then
			cat "${hierarchy}cpuset.cpus" >"$hierarchy$cgroup/cpuset.cpus"
			cat "${hierarchy}cpuset.mems" >"$hierarchy$cgroup/cpuset.mems"
		fi
	done
}

# arrange_network makes a bridge that is the node's only way, with its address on it. Nothing leads out of here.
arrange_network() {
	ip link set lo up
	ip link add pods type bridge
	ip address add 10.244.0.1/16 dev pods
	ip link set pods up
	ip route add 10.96.0.0/16 dev pods
	ip route add default dev pods
	echo 1 >/proc/sys/net/ipv4/ip_forward
}

if [ ! -e "$dir/init" ]; then
	tell_identity
fi
enter_mounted_root
mount --make-rslave /
arrange_mounts
arrange_cgroups
arrange_network
touch "$dir/ready"

# bash reaps what becomes its child; the wait ends with the sleep, so it is begun again and again.
trap 'exit 0' TERM
while :; do
	sleep 86400 &
	wait $! || true
done
