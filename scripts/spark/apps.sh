#!/usr/bin/env bash
# Compile the applications of the tests, and print the directory with demo.jar (class demo.App) and app.py.
#
#   scripts/spark/apps.sh
#
# They go to ${CLIC_CACHE:-~/.cache/clic}/spark/apps/KEY, where KEY follows from their text and Spark's version.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=$("$here/home.sh")
key=$({ cat "$here"/apps/*; echo "$home"; } | sha256sum | cut -c1-12)
to=${home%/*}/apps/$key
if [ ! -e "$to/demo.jar" ]; then
	mkdir -p "${to%/*}"
	work=$(mktemp -d "${to%/*}/new.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir "$work/classes" "$work/apps"
	javac -nowarn --release 17 -cp "$home/jars/*" -d "$work/classes" "$here/apps/App.java" >&2
	jar --create --file "$work/apps/demo.jar" -C "$work/classes" . >&2
	cp "$here/apps/app.py" "$work/apps/"
	chmod 755 "$work/apps"
	[ -e "$to" ] || mv -T "$work/apps" "$to"
fi
echo "$to"
