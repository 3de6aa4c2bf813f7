#!/usr/bin/env bash
# Make the images that every cluster of scripts/cluster.sh has.
#
#   scripts/images/base.sh DIR       DIR/pause.tar (clic.test/pause:1) and DIR/shell.tar (clic.test/shell:1)
#
# The shell is Debian's busybox-static with all its commands in /bin, for any user. It cannot look up names: programs with the C
# library of their own can, and so can Go programs.
set -euo pipefail

to=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$to"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$here"
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$work/images" .
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/pause" ./pause

"$work/images" -o "$to/pause.tar" -tag clic.test/pause:1 -file "$work/pause:/pause:0755" -entrypoint /pause -user 65535:65535

busybox=$(command -v busybox)
options=(-file "$busybox:/bin/busybox:0755" -dir /tmp:1777 -dir /root:0700 -dir /home:0755 -dir /var/tmp:1777)
while read -r command; do
	[ "$command" = busybox ] || options+=(-link "busybox:/bin/$command")
done < <("$busybox" --list)
options+=(
	-text '/etc/passwd=root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n'
	-text '/etc/group=root:x:0:\nnogroup:x:65534:\n'
	-link /bin:/usr/bin
	-env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	-cmd sh
)
"$work/images" -o "$to/shell.tar" -tag clic.test/shell:1 "${options[@]}"
