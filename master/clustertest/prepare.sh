#!/usr/bin/env bash
# Make the image that these tests load into the cluster: the helper of stages.
#
#   master/clustertest/prepare.sh DIRECTORY       writes DIRECTORY/stage.tar
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ $# -eq 1 ] || {
	sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 64
}
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/" ./scripts/images ./shell/clic-stage
"$work/images" -o "$out/stage.tar" -tag clic.test/stage:1 -file "$work/clic-stage:/clic-stage:0755" -entrypoint /clic-stage -user 65532:65532
