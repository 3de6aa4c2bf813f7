#!/usr/bin/env bash
# Make the Spark image of the test cluster, without a container engine, and print the archive's path.
#
#   scripts/spark/image.sh
#
# It has the tag clic.test/spark:VERSION: a Java runtime made by jlink, this machine's Python, bash and busybox, Spark's jars but for
# those of Hive, machine learning and streaming state, and the applications of the tests in /opt/app. The entry point is
# /opt/entrypoint.sh, the user spark (185). The archive is kept in ${CLIC_CACHE:-~/.cache/clic}/spark/images/KEY.tar.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=$("$here/home.sh")
apps=$("$here/apps.sh")
version=${home##*/}
java=$(dirname "$(dirname "$(readlink -f "$(command -v jlink)")")")
python=$(readlink -f /usr/bin/python3)
key=$({ cat "$here/image/entrypoint.sh" "${BASH_SOURCE[0]}" "$here"/../images/*.go; echo "$apps $("$java/bin/java" -version 2>&1) $python"; } | sha256sum | cut -c1-12)
to=${home%/*}/images/$key.tar
if [ -e "$to" ]; then
	echo "$to"
	exit
fi
echo "image.sh: making the Spark image (once)" >&2
mkdir -p "${to%/*}"
work=$(mktemp -d "${to%/*}/new.XXXXXX")
trap 'rm -rf "$work"' EXIT

jlink --module-path "$java/jmods" --output "$work/jre" --strip-debug --no-header-files --no-man-pages \
	--add-modules java.se,jdk.unsupported,jdk.crypto.ec,jdk.management,jdk.naming.dns,jdk.zipfs,jdk.security.jgss,jdk.security.auth,jdk.charsets,jdk.localedata,jdk.incubator.vector,jdk.jfr
# Shared class data halve the start of each JVM; jlink leaves them out.
"$work/jre/bin/java" -Xshare:dump >/dev/null 2>&1 || true

mkdir "$work/spark"
cp -r "$home/bin" "$work/spark/bin"
rm -f "$work"/spark/bin/*.cmd
mkdir -p "$work/spark/jars" "$work/spark/conf" "$work/spark/python/lib"
# Links would be followed one by one anyway: name the jars that are left out, so that a new version brings its own.
find "$home/jars" -name '*.jar' | grep -vE '/(rocksdbjni|breeze|spire|cats-kernel|algebra|spark-mllib_|spark-graphx|derby|hive-(exec|metastore|beeline|cli|jdbc|llap|serde|service|shims)|spark-hive|spark-connect_|spark-repl|jline|scala-compiler|datanucleus|libthrift|bonecp|HikariCP|jpam|javolution|arpack|blas|lapack|netlib)[^/]*$' |
	xargs cp -t "$work/spark/jars"
cp "$home"/python/lib/*.zip "$work/spark/python/lib/"
echo "Spark $version" >"$work/spark/RELEASE"

mkdir -p "$work/python"
pylib=/usr/lib/$(basename "$python")
cp -r "$pylib" "$work/python/"
rm -rf "$work"/python/*/{test,idlelib,lib2to3,ensurepip,turtledemo,tkinter,dist-packages} "$work"/python/*/config-*
find "$work/python" -name __pycache__ -prune -exec rm -rf {} +

cd "$here/../.."
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$work/images" ./scripts/images
options=()
# Libraries of the runtime and of Python's own modules, which no program names.
while read -r library; do
	options+=(-file "$library:$library")
done < <(find "$work/jre" "$work/python" -name '*.so*' -type f -exec ldd {} + 2>/dev/null |
	awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | grep -v "^$work" | sort -u)
# Those of the C and C++ libraries that the native parts inside of jars (zstd, snappy, lz4) ask for.
while read -r library; do
	options+=(-file "$library:$library")
done < <(ldconfig -p | awk -v machine="$(uname -m)" '/^\t(libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|libm\.so\.6|libresolv\.so\.2|libutil\.so\.1|libgcc_s\.so\.1|libstdc\+\+\.so\.6) / && $NF ~ machine { print $NF }')
busybox=$(command -v busybox)
while read -r command; do
	[ "$command" = busybox ] || options+=(-link "/bin/busybox:/usr/bin/$command")
done < <("$busybox" --list | grep -vxE 'bash|env')
"$work/images" -o "$work/spark.tar" -tag "clic.test/spark:$version" \
	"${options[@]}" \
	-file "$busybox:/bin/busybox:0755" -link /bin/busybox:/bin/sh -link /bin/busybox:/usr/bin/env \
	-program "$(command -v bash):/bin/bash" -link /bin/bash:/usr/bin/bash -program "$(command -v tini):/usr/bin/tini" \
	-program "$work/jre/bin/java:/opt/java/bin/java" -tree "$work/jre:/opt/java" \
	-program "$python:/usr/bin/python3" -link "python3:/usr/bin/python" -tree "$work/python/$(basename "$python"):$pylib" \
	-tree "$work/spark:/opt/spark" -tree "$apps:/opt/app" \
	-file "$here/image/entrypoint.sh:/opt/entrypoint.sh:0755" \
	-dir /tmp:1777 -dir /var/tmp:1777 -dir /opt/spark/work-dir:1777 -dir /home/spark:0755:185:0 -dir /var/data:1777 \
	-text '/etc/passwd=root:x:0:0:root:/root:/bin/bash\nspark:x:185:0:spark:/home/spark:/bin/bash\nnobody:x:65534:65534:nobody:/tmp:/bin/bash\n' \
	-text '/etc/group=root:x:0:\nnogroup:x:65534:\n' \
	-text '/etc/nsswitch.conf=hosts: files dns\n' \
	-env PATH=/opt/java/bin:/opt/spark/bin:/usr/bin:/bin -env JAVA_HOME=/opt/java -env SPARK_HOME=/opt/spark -env HOME=/home/spark \
	-env PYSPARK_PYTHON=/usr/bin/python3 -env PYTHONDONTWRITEBYTECODE=1 -env LANG=C.UTF-8 \
	-workdir /opt/spark/work-dir -user 185:0 -entrypoint /opt/entrypoint.sh
mv "$work/spark.tar" "$to"
echo "$to"
