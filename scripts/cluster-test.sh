#!/usr/bin/env bash
# Run tests that need a Kubernetes cluster (build tag "cluster").
#
#   scripts/cluster-test.sh [-run REGEXP] [-v] [-count N] [-timeout DURATION] [PACKAGE]...
#
# The packages are paths as ./executors/kube; all that have such tests unless told. Their test binaries are compiled outside, the
# cluster is brought up if it is not (and then stays up: scripts/cluster.sh down ends it), and each binary runs inside it, in its
# package's directory, one after the other. CLIC_CLUSTER and CLIC_TEST_KUBECONFIG say which cluster, see scripts/cluster.sh;
# CLIC_SIMULATED=N says how many simulated nodes it shall have (4). Binaries are static, so that they run in pods of any image too;
# RACE=1 compiles with the race detector instead.
#
# Exit status: 0 all passed, 1 some failed, 64 wrong usage, 69 no cluster can run here (what is missing is said).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=(-test.count=1)
timeout=20m
while [ $# -gt 0 ]; do
	case $1 in
	-v) options+=(-test.v) ;;
	-run | -count | -timeout)
		if [ $# -lt 2 ]; then
			echo "cluster-test.sh: $1 wants a value" >&2
			exit 64
		fi
		if [ "$1" = -timeout ]; then timeout=$2; else options+=("-test.${1#-}=$2"); fi
		shift
		;;
	-*)
		sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
		exit 64
		;;
	*) break ;;
	esac
	shift
done
options+=("-test.timeout=$timeout")

# Packages with tests behind the tag, by the constraint's line: a list would be forgotten.
if [ $# -eq 0 ]; then
	mapfile -t files < <(git -c safe.directory='*' ls-files --cached --others --exclude-standard -- '*_test.go' |
		xargs -r grep -lE '^//go:build (.*[ (])?cluster([ )].*)?$')
	[ ${#files[@]} -gt 0 ] || { echo "cluster-test.sh: no package has tests with the tag cluster" && exit 0; }
	mapfile -t packages < <(printf '%s\n' "${files[@]}" | xargs -n1 dirname | sort -u | sed 's|^|./|')
	set -- "${packages[@]}"
fi

scripts/cluster.sh up --simulated "${CLIC_SIMULATED:-4}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile=(env CGO_ENABLED=0 go test -c -tags cluster)
[ "${RACE-}" != 1 ] || compile=(go test -c -tags cluster -race)

# prepare PACKAGE: make the images that its tests need, outside where there is a network, and load them. An existing cluster cannot
# be loaded: there they have to be already.
prepare() {
	rm -rf "$work/images"
	"$1/prepare.sh" "$work/images" || return 1
	[ -n "${CLIC_TEST_KUBECONFIG-}" ] || scripts/cluster.sh load "$work"/images/*.tar
}

failed=()
for package in "$@"; do
	binary="$work/$(tr / - <<<"${package#./}").test"
	begin=$SECONDS
	# Outside: inside there is no way to a module that is still missing.
	if ! "${compile[@]}" -o "$binary" "$package"; then
		failed+=("$package")
		echo "FAIL	$package [build failed]"
		continue
	fi
	if [ ! -e "$binary" ]; then
		echo "cluster-test.sh: $package has no tests" >&2
		exit 64
	fi
	if [ -x "$package/prepare.sh" ] && ! prepare "$package"; then
		failed+=("$package")
		echo "FAIL	$package [its images could not be made]"
		continue
	fi
	status=0
	(cd "$package" && "$OLDPWD/scripts/cluster.sh" exec "$binary" "${options[@]}") || status=$?
	if [ $status -eq 0 ]; then
		echo "ok  	$package	$((SECONDS - begin))s"
	else
		failed+=("$package")
		echo "FAIL	$package	$((SECONDS - begin))s (exit status $status)"
	fi
done
if [ ${#failed[@]} -gt 0 ]; then
	echo "cluster-test: failed: ${failed[*]}"
	exit 1
fi
