#!/usr/bin/env bash
# Make the Spark that development and tests use, and print the directory it is in (its SPARK_HOME).
#
#   scripts/spark/home.sh
#
# It comes from PyPI's pyspark, whose source archive holds all of Spark but the scripts that start a standalone master. Version and
# place: ${CLIC_CACHE:-~/.cache/clic}/spark/VERSION (CLIC_SPARK_VERSION, 4.3.0 unless told), outside the checkout; what is there
# already is not made again. Needs pip and, for running Spark, Java 17 or newer.
set -euo pipefail

version=${CLIC_SPARK_VERSION:-4.3.0}
cache="${CLIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clic}/spark"
home=$cache/$version

if [ -e "$home/complete" ]; then
	echo "$home"
	exit
fi
mkdir -p "$cache"
exec {lock}>"$cache/lock"
flock "$lock"
if [ ! -e "$home/complete" ]; then
	echo "home.sh: getting Spark $version from PyPI (once, about 460 MB)" >&2
	work=$(mktemp -d "$cache/new.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	# pip unpacks the archive to read what it is, so its temporary directory has to have room.
	mkdir "$work/tmp"
	TMPDIR=$work/tmp pip download --quiet --no-deps --no-binary :all: --dest "$work" "pyspark==$version" >&2
	mkdir "$work/source"
	tar -xzf "$work/pyspark-$version.tar.gz" -C "$work/source" --strip-components=1
	rm -rf "$work/pyspark-$version.tar.gz" "$work/tmp" "$home"
	mkdir -p "$work/home/python/lib"
	# deps holds bin, jars, data, licenses …; the Python package goes where bin/pyspark and PYTHONPATH look for it.
	mv "$work"/source/deps/* "$work/home/"
	mv "$work/source/lib"/*.zip "$work/home/python/lib/" 2>/dev/null || true
	mv "$work/source/pyspark" "$work/home/python/"
	# In the archive it is a directory of links into Spark's own tree.
	if ! compgen -G "$work/home/python/lib/py4j-*-src.zip" >/dev/null; then
		find "$work/source" -name 'py4j-*-src.zip' -exec mv {} "$work/home/python/lib/" \;
	fi
	if [ ! -e "$work/home/python/lib/pyspark.zip" ]; then
		(cd "$work/home/python" && python3 -m zipfile -c lib/pyspark.zip pyspark)
	fi
	chmod -R u+w "$work/home"
	chmod +x "$work"/home/bin/*
	touch "$work/home/complete"
	mv "$work/home" "$home"
fi
echo "$home"
