#!/usr/bin/env bash
# Collect Hadoop's HDFS from Maven Central, as scripts/hdfs/pom.xml pins it, and print the directory that it is in.
#
#   scripts/hdfs/programs.sh
#
# The directory has lib (the jars) and webapps (empty pages that the daemons insist on). It is made once (about a minute, 65 MB) in
# ${CLIC_CACHE:-~/.cache/clic}/hdfs/KEY; nothing is done, and the network not touched, where it is.
#
# Exit status: 0, 1 failure, 69 cannot run here (what is missing is said).
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
key=$(sha256sum <"$here/pom.xml" | cut -c1-12)
cache="${CLIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clic}/hdfs"
to="$cache/$key"

if [ -e "$to/complete" ]; then
	echo "$to"
	exit 0
fi
for program in java mvn flock; do
	if ! command -v "$program" >/dev/null; then
		echo "programs.sh: HDFS cannot run here, missing: $program (scripts/setup.sh installs the packages)" >&2
		exit 69
	fi
done
mkdir -p "$cache"
exec {lock}>>"$cache/lock"
flock "$lock"
if [ ! -e "$to/complete" ]; then
	echo "programs.sh: collecting HDFS in $to (once)" >&2
	rm -rf "$to"
	mkdir -p "$to"
	# Maven writes beside the pom: a copy of it keeps the checkout clean.
	cp "$here/pom.xml" "$to/pom.xml"
	mvn --batch-mode --quiet --file "$to/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
		-DoutputDirectory="$to/lib" >&2
	# The jars have no pages, and the daemons end without the directories of them.
	mkdir -p "$to"/webapps/{hdfs,datanode,journal,secondary,static}
	touch "$to/complete"
fi
echo "$to"
