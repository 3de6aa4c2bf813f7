#!/usr/bin/env bash
# Build the pinned developer tools and print the directory that they are in.
#
#   scripts/tools.sh [gofumpt|golangci-lint|benchstat]...     all of them without a name
#
# Versions are pinned by scripts/tools/go.mod. Binaries go to ${CLIC_CACHE:-~/.cache/clic}/tools/KEY, outside the checkout; KEY
# is a hash of that pin and of the Go release, so a second run builds nothing and two checkouts share one build.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/tools"

package_of() {
	case $1 in
	gofumpt) echo mvdan.cc/gofumpt ;;
	golangci-lint) echo github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
	benchstat) echo golang.org/x/perf/cmd/benchstat ;;
	*)
		echo "tools.sh: unknown tool \"$1\"; known: gofumpt golangci-lint benchstat" >&2
		return 64
		;;
	esac
}

key=$({ cat go.mod go.sum; go env GOVERSION GOOS GOARCH; } | sha256sum | cut -c1-12)
dir="${CLIC_CACHE:-$HOME/.cache/clic}/tools/$key"
mkdir -p "$dir"

[ $# -gt 0 ] || set -- gofumpt golangci-lint benchstat
for tool in "$@"; do
	package=$(package_of "$tool")
	[ -x "$dir/$tool" ] && continue
	echo "building $tool into $dir (once)" >&2
	# A private name and a rename: two runs at a time both end with a whole binary.
	GOFLAGS=-buildvcs=false CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$dir/.$tool.$$" "$package" >&2
	mv -f "$dir/.$tool.$$" "$dir/$tool"
done
echo "$dir"
