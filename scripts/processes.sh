# shellcheck shell=bash
# What the scripts that start servers know of processes. A process id alone is not enough: numbers are used again.

# started PID prints when a process started, in ticks since boot; nothing for one that is gone or a zombie.
started() {
	local stat fields
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
	read -ra fields <<<"${stat##*) }"
	[ "${fields[0]}" = Z ] || echo "${fields[19]}"
}
