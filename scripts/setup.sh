#!/usr/bin/env bash
# Install the Debian packages that building, testing and generating need and that this machine lacks. Nothing is installed, and
# the network is not touched, where all is there.
#
#   scripts/setup.sh            install what is missing (as root, or through sudo)
#   scripts/setup.sh --check    only say what is missing; exit status 1 if anything is
#
# Go itself is not installed here. Exit status: 0 all is there, 1 something is missing, 64 wrong usage.
set -euo pipefail

# The Go release that go.mod asks for, as 1.MINOR.
go_minor=26

have() { command -v "$1" >/dev/null 2>&1; }

# missing_packages prints one Debian package a line, with what it is needed for after a tab.
missing_packages() {
	have make || printf 'make\tthe Makefile\n'
	have git || printf 'git\tversions and checks of the checkout\n'
	have curl || printf 'curl\tend-to-end tests of the HTTP side\n'
	have ps || printf 'procps\tlooking for left-over processes\n'
	# The race detector needs cgo, so a C compiler and the C library's headers.
	have cc || have gcc || printf 'gcc\tgo test -race\n'
	[ -e /usr/include/stdlib.h ] || printf 'libc6-dev\tgo test -race\n'
	have thrift || printf 'thrift-compiler\tgenerated code and old clients\n'
	have redis-server || printf 'redis-server\ttests with a real Redis\n'
	have shellcheck || printf 'shellcheck\tchecks of the scripts\n'
	have python3 || printf 'python3\ta real old Python client\n'
	# Debian splits ensurepip off: without it a virtual environment has no pip.
	{ have python3 && python3 -c 'import venv, ensurepip' 2>/dev/null; } ||
		printf 'python3-venv\ta real old Python client\n'
	{ have java && have javac; } || printf 'default-jdk-headless\ta real old Java client\n'
	have mvn || printf 'maven\ta real old Java client\n'
	# What a Kubernetes of one node is made of, but for its own programs, which Go builds.
	{ have containerd && have ctr; } || printf 'containerd\ta Kubernetes cluster for tests\n'
	have runc || printf 'runc\ta Kubernetes cluster for tests\n'
	{ [ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ]; } ||
		printf 'containernetworking-plugins\ta Kubernetes cluster for tests\n'
	have iptables || printf 'iptables\ta Kubernetes cluster for tests\n'
	have ip || printf 'iproute2\ta Kubernetes cluster for tests\n'
	have busybox || printf 'busybox-static\timages of the cluster for tests\n'
	have tini || printf 'tini\tthe Spark image of the cluster for tests\n'
	have openssl || printf 'openssl\tcertificates of the cluster for tests\n'
}

check_go() {
	local found
	if ! have go; then
		echo "setup.sh: Go 1.$go_minor or newer is needed and not on the PATH" >&2
		return 1
	fi
	found=$(go env GOVERSION)
	if [[ $found =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -lt "$go_minor" ]; then
		echo "setup.sh: Go 1.$go_minor or newer is needed, found $found" >&2
		return 1
	fi
}

install_packages() {
	local sudo=()
	if ! have apt-get; then
		echo "setup.sh: no apt-get here: install what the packages above provide by other means" >&2
		return 1
	fi
	if [ "$(id -u)" -ne 0 ]; then
		if ! have sudo; then
			echo "setup.sh: run this as root once, there is no sudo: apt-get install $*" >&2
			return 1
		fi
		sudo=(sudo)
	fi
	"${sudo[@]}" apt-get update -qq
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

main() {
	local only_check=false missing packages
	case "$#:${1-}" in
	0:) ;;
	1:--check) only_check=true ;;
	*)
		sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
		return 64
		;;
	esac

	check_go
	missing=$(missing_packages)
	if [ -z "$missing" ]; then
		echo "setup.sh: everything is installed"
		return 0
	fi
	echo "setup.sh: missing Debian packages:"
	awk -F'\t' '{ printf "  %-22s for %s\n", $1, $2 }' <<<"$missing"
	if $only_check; then
		return 1
	fi
	mapfile -t packages < <(cut -f1 <<<"$missing")
	echo "setup.sh: installing them"
	install_packages "${packages[@]}"
	missing=$(missing_packages)
	if [ -n "$missing" ]; then
		echo "setup.sh: still missing after the installation: $(cut -f1 <<<"$missing" | tr '\n' ' ')" >&2
		return 1
	fi
}

main "$@"
