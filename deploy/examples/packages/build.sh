#!/usr/bin/env bash
# Build the programs of the example deploy/examples/packages.yaml.
#
#   deploy/examples/packages/build.sh DIRECTORY
#
# Afterwards DIRECTORY has python-stage and java-stage, which start stage programs as the images of the old system would, and the Spark
# applications programs.jar and ranking.py. It needs SPARK_HOME (scripts/spark.sh exec sets it), and javac, mvn, pip and Thrift's compiler,
# which scripts/setup.sh installs. What comes from the network is kept in ${CLIC_CACHE:-~/.cache/clic}.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
old=$here/../../../master/rpc/oldwire/testdata
if [ $# -ne 1 ] || [ -z "${SPARK_HOME-}" ]; then
	sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 64
fi
mkdir -p "$1"
to=$(cd "$1" && pwd)
cache=${CLIC_CACHE:-$HOME/.cache/clic}/examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# once NAME COMMAND...: a directory of the cache that COMMAND fills, given its path as last argument; printed.
once() {
	local dir=$cache/$1
	shift
	mkdir -p "$cache"
	(
		flock 9
		if [ ! -e "$dir.done" ]; then
			rm -rf "$dir"
			"$@" "$dir" >&2
			touch "$dir.done"
		fi
	) 9>"$dir.lock"
	echo "$dir"
}

python_library() {
	python3 -m venv "$work/venv"
	"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --target "$1" thrift==0.13.0
}

java_library() {
	mvn -q -B -Dstyle.color=never -f "$old/java/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$1"
}

# The code of the interface that stage programs have always had.
cp -r "$(once python-thrift-0.13.0 python_library)"/. "$work/python"
thrift -r --gen py -out "$work/python" "$old/old/master.thrift"
thrift -r --gen java:generated_annotations=suppress -out "$work" "$old/old/master.thrift"
# A newer compiler reads containers in the tuple protocol with methods that this libthrift lacks.
find "$work/fdu" -name '*.java' -exec sed -E -i \
	-e 's/iprot\.readMapBegin\(([^,()]+), ([^,()]+)\)/new org.apache.thrift.protocol.TMap(\1, \2, iprot.readI32())/g' \
	-e 's/iprot\.readListBegin\(([^()]+)\)/new org.apache.thrift.protocol.TList(\1, iprot.readI32())/g' {} +

jars=$(once java-libthrift-0.13.0 java_library)
mkdir "$work/classes"
find "$work/fdu" "$here" -name '*.java' -exec javac -nowarn -Xlint:none --release 17 -cp "$jars/*:$SPARK_HOME/jars/*" -d "$work/classes" {} +
jar --create --file "$to/programs.jar" -C "$work/classes" .

rm -rf "$to/python" "$to/java"
cp -r "$work/python" "$to/python"
cp -r "$jars" "$to/java"
cp "$here/stage.py" "$to/python/"
cp "$here/ranking.py" "$to/"
cat >"$to/python-stage" <<-'END'
	#!/bin/sh
	PYTHONPATH=${0%/*}/python exec python3 "${0%/*}/python/stage.py" "$@"
END
cat >"$to/java-stage" <<-'END'
	#!/bin/sh
	# The program is the first argument. Hadoop's client and Parquet are Spark's.
	exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "${0%/*}/programs.jar:${0%/*}/java/*:$HADOOP_CONF_DIR:$SPARK_HOME/jars/*" "$@"
END
chmod 755 "$to/python-stage" "$to/java-stage"
