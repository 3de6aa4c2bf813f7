#!/usr/bin/env bash
# Run a command in a copy of the checkout's committed state, on a bare Debian 12 with nothing but Go: does it work for a stranger?
#
#   [WARM=1] scripts/bare-debian.sh COMMAND [ARGUMENT]...         for example: scripts/bare-debian.sh .ci/run
#
# The bare system is a folder with mounts and a process namespace of its own; what it installs and starts is gone afterwards. It
# uses this machine's Go and network. WARM=1 also lends it this machine's Go caches. Needs root and the package mmdebstrap. Exit
# status: the command's, or 69 where this cannot be done here.
set -euo pipefail

if [ $# -eq 0 ]; then
	sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 64
fi
if [ "$(id -u)" -ne 0 ] || ! command -v mmdebstrap >/dev/null; then
	echo "bare-debian.sh: needs root and mmdebstrap (apt-get install mmdebstrap)" >&2
	exit 69
fi

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
archive="${CLIC_CACHE:-$HOME/.cache/clic}/debian-12.tar"
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
root="$work/root"
mkdir "$root"

if [ ! -e "$archive" ]; then
	echo "making a bare Debian 12 in $archive (once)" >&2
	mkdir -p "$(dirname "$archive")"
	mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$work/new.tar"
	mv "$work/new.tar" "$archive"
fi
# Device files are this machine's, by a mount.
tar -C "$root" --exclude='./dev/*' -xf "$archive"

# How this machine finds and trusts its networks: names, certificates, proxies.
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
grep -ls 'Acquire::' /etc/apt/apt.conf.d/* | xargs -r cp -t "$root/etc/apt/apt.conf.d/"

git -c safe.directory='*' clone --quiet "$checkout" "$root/root/checkout"

# A machine behind a proxy knows certificates that Debian does not: they are lent too, a file each, as update-ca-certificates wants.
bundle=/etc/ssl/certs/ca-certificates.crt
if [ -e "$bundle" ]; then
	mkdir -p "$root/usr/local/share/ca-certificates"
	awk -v dir="$root/usr/local/share/ca-certificates" '/BEGIN CERTIFICATE/ { n++ } n { print >(dir "/lent-" n ".crt") }' "$bundle"
fi

lend=("$(go env GOROOT):/usr/local/go")
if [ "${WARM-}" = 1 ]; then
	lend+=("$(go env GOCACHE):/root/.cache/go-build" "$(go env GOMODCACHE):/root/go/pkg/mod")
fi
cat >"$work/enter" <<'ENTER'
set -euo pipefail
root=$1 lend=$2
shift 2
mount --bind "$root" "$root"
for pair in $lend; do
	mkdir -p "$root${pair#*:}"
	mount --bind "${pair%%:*}" "$root${pair#*:}"
done
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
# Not only a chroot, in which there would be no user namespaces, which tests need.
cd "$root"
mkdir outside
pivot_root . outside
umount -l outside
rmdir outside
exec chroot . /usr/bin/env -i HOME=/root LANG=C.UTF-8 TERM=dumb \
	PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	bash -c 'update-ca-certificates >/dev/null 2>&1; cd /root/checkout && "$@"' bash "$@"
ENTER
# Its processes end with the namespace, its mounts too.
unshare --mount --propagation private --pid --fork --kill-child bash "$work/enter" "$root" "${lend[*]}" "$@"
