// Package oldwire holds the tests with clients of the old system: programs in Java (libthrift 0.13) and Python, generated from
// the old services' IDL alone, which talk to a real master; and stages whose programs report over the old calls.
//
// The tests need the Thrift compiler, a JDK, Maven and Python with venv (scripts/setup.sh installs them), and, the first
// time, Maven Central and PyPI. What they take from there is kept in $CLIC_CACHE, or ~/.cache/clic.
package oldwire
