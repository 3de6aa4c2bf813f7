#!/usr/bin/env bash
# Make the images that the test of the deployment loads into the cluster: clic itself, a Redis, and stage programs of the old system
# in Python and Java. It needs the network the first time; what it takes from there is kept in ${CLIC_CACHE:-~/.cache/clic}.
#
#   deploy/deploytest/prepare.sh DIRECTORY       writes DIRECTORY/{clic,redis,python,java}.tar
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ $# -eq 1 ] || {
	sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 64
}
mkdir -p "$1"
out=$(cd "$1" && pwd)
cache=${CLIC_CACHE:-$HOME/.cache/clic}/deploytest
old=master/rpc/oldwire/testdata
thrift_python=0.13.0

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

# pack NAME ROOT VARIABLE=VALUE...: make DIRECTORY/NAME.tar of what is below ROOT.
pack() {
	local name=$1 root=$2 variables=()
	shift 2
	for variable; do
		variables+=(-env "$variable")
	done
	"$work/images" -o "$out/$name.tar" -tag "clic.test/$name:test" -dir /tmp:1777 -tree "$root:/" "${variables[@]}"
}

# libraries ROOT FILE...: copy what these programs and libraries are linked with.
libraries() {
	local root=$1 library
	shift
	{ ldd "$@" 2>/dev/null || true; } | { grep -o '/[^ :]* (0x' || true; } | sort -u | while read -r library _; do
		[ -e "$root$library" ] || install -D -m 755 "$library" "$root$library"
	done
}

# add ROOT FILE...: copy programs, at the same paths, and what they are linked with.
add() {
	local root=$1 file
	for file in "${@:2}"; do
		install -D -m 755 "$file" "$root$file"
	done
	libraries "$@"
}

# add_shell ROOT: what all images of old stage programs have, /bin/sh.
add_shell() {
	local sh
	sh=$(readlink -f /bin/sh)
	install -D -m 755 "$sh" "$1/bin/sh"
	libraries "$1" "$sh"
}

install_thrift() {
	python3 -m venv "$work/venv"
	"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --target "$1" "thrift==$thrift_python"
}

python_image() {
	local root=$work/python interpreter library packages
	add_shell "$root"
	{ read -r interpreter && read -r library; } < <(python3 -c 'import os, sys, sysconfig
print(os.path.realpath(sys.executable))
print(sysconfig.get_path("stdlib"))')
	add "$root" "$interpreter"
	mkdir -p "$root$library" "$root/opt/clic" "$root/usr/local/bin"
	tar -C "$library" -c --exclude='./config-*' --exclude=__pycache__ --exclude='./*-packages' --exclude=./test --exclude=./idlelib \
		--exclude=./ensurepip --exclude=./lib2to3 --exclude=./tkinter . | tar -C "$root$library" -x
	libraries "$root" "$library"/lib-dynload/*.so
	packages=$(once "python-thrift-$thrift_python" install_thrift)
	cp -r "$packages"/. "$root/opt/clic"
	thrift -r --gen py -out "$root/opt/clic" "$old/old/master.thrift"
	cp deploy/deploytest/testdata/stage.py "$root/opt/clic"
	ln -s "$interpreter" "$root/usr/local/bin/python"
	find "$root" -name __pycache__ -prune -exec rm -rf {} +
	pack python "$root" PATH=/usr/local/bin:/bin PYTHONPATH=/opt/clic PYTHONDONTWRITEBYTECODE=1
}

install_libthrift() {
	mvn -q -B -Dstyle.color=never -f "$old/java/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$1"
}

install_runtime() {
	jlink --add-modules java.base,java.logging,java.security.sasl --strip-debug --no-man-pages --no-header-files --output "$1"
}

java_image() {
	local root=$work/java jars runtime release
	add_shell "$root"
	jars=$(once java-libthrift-0.13.0 install_libthrift)
	release=$(java -version 2>&1 | sed -n '1s/.*"\(.*\)".*/\1/p')
	runtime=$(once "java-$release" install_runtime)
	mkdir -p "$root/opt/clic" "$work/generated"
	cp -r "$runtime" "$root/opt/java"
	libraries "$root" "$runtime"/bin/java "$runtime"/lib/*.so "$runtime"/lib/server/*.so
	rm -rf "${root:?}$runtime" # those of its own it finds where it is now
	cp "$jars"/*.jar "$root/opt/clic"
	thrift -r --gen java:generated_annotations=suppress -out "$work/generated" "$old/old/master.thrift"
	# A newer compiler reads containers in the tuple protocol with methods that this libthrift lacks.
	find "$work/generated" -name '*.java' -exec sed -E -i \
		-e 's/iprot\.readMapBegin\(([^,()]+), ([^,()]+)\)/new org.apache.thrift.protocol.TMap(\1, \2, iprot.readI32())/g' \
		-e 's/iprot\.readListBegin\(([^()]+)\)/new org.apache.thrift.protocol.TList(\1, iprot.readI32())/g' {} +
	find "$work/generated" -name '*.java' -exec \
		javac -nowarn -Xlint:none -cp "$jars/*" -d "$root/opt/clic" deploy/deploytest/testdata/Stage.java {} +
	pack java "$root" PATH=/opt/java/bin:/bin
}

redis_image() {
	local root=$work/redis
	add "$root" "$(command -v redis-server)" "$(command -v redis-cli)"
	pack redis "$root" PATH=/usr/bin
}

CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$work/images" ./scripts/images
make --no-print-directory image IMAGE="$out/clic.tar" IMAGE_TAG=clic.test/clic:test
redis_image
python_image
java_image
