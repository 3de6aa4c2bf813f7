#!/usr/bin/env bash
# Build the pinned parts of a Kubernetes for development and tests and print the directory that their binaries are in.
#
#   scripts/kubernetes/build.sh [control-plane|dns|kwok]...      control-plane and dns without a name
#
# control-plane is etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy and kubectl (about 5 minutes
# on 2 cores the first time); dns is coredns (2 minutes); kwok is kwok, which simulates nodes (1 minute). Versions are pinned by
# the go.mod of each directory. Binaries go to ${CLIC_CACHE:-${XDG_CACHE_HOME:-~/.cache}/clic}/kubernetes/KEY, outside the
# checkout; KEY is a hash of those pins and of the Go release, so a second run builds nothing and two checkouts share one build.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${CLIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clic}/kubernetes"

# parts prints the binaries of a module, each with the package it is built from.
parts() {
	case $1 in
	control-plane)
		echo etcd go.etcd.io/etcd/server/v3
		local name
		for name in kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
			echo "$name" "k8s.io/kubernetes/cmd/$name"
		done
		;;
	dns) echo coredns . ;;
	kwok) echo kwok sigs.k8s.io/kwok/cmd/kwok ;;
	*)
		echo "build.sh: unknown part \"$1\"; known: control-plane dns kwok" >&2
		return 64
		;;
	esac
}

# ldflags prints what the binaries of a module are linked with: kubelets and API servers tell each other their version.
ldflags() {
	local flags="-s -w" version
	if [ "$1" = control-plane ]; then
		version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
		flags+=" -X k8s.io/component-base/version.gitVersion=$version"
		flags+=" -X k8s.io/component-base/version.gitMajor=$(cut -d. -f1 <<<"${version#v}")"
		flags+=" -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"${version#v}")"
		flags+=" -X k8s.io/component-base/version.gitTreeState=archive"
	fi
	printf '%s' "$flags"
}

build() {
	local module=$1 dir=$2 list name package flags
	list=$(parts "$module")
	cd "$here/$module"
	mkdir -p "$dir"
	flags=
	while read -r name package; do
		[ -x "$dir/$name" ] && continue
		echo "building $name into $dir (once)" >&2
		[ -n "$flags" ] || flags=$(ldflags "$module")
		# A private name and a rename: two runs at a time both end with a whole binary.
		GOFLAGS=-buildvcs=false CGO_ENABLED=0 go build -trimpath -ldflags "$flags" -o "$dir/.$name.$$" "$package" >&2
		mv -f "$dir/.$name.$$" "$dir/$name"
	done <<<"$list"
}

[ $# -gt 0 ] || set -- control-plane dns
for module in "$@"; do
	parts "$module" >/dev/null
done
# One directory for all parts, whatever was asked for.
key=$({
	cat "$here"/{control-plane,dns,kwok}/go.{mod,sum} "$here"/dns/*.go
	go env GOVERSION GOOS GOARCH
} | sha256sum | cut -c1-12)
for module in "$@"; do
	(build "$module" "$cache/$key")
done
echo "$cache/$key"
