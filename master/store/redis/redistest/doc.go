// Package redistest starts real Redis servers for tests: a single one, a Cluster, and a set that Sentinels watch. It also puts a
// proxy in front of one, which loses, holds back and delays what goes through it as a test says.
//
// Every server listens on 127.0.0.1 only, on a port of its own, with a directory and a configuration of its own; nothing is
// shared with the Redis of the machine. A server ends with its test, and with the test binary, even if that is killed.
//
// The program is the redis-server on the PATH, version 6.2 or newer (7.0 for what a comment says); a test fails where there
// is none.
//
// Functions that take a testing.TB end the test when something cannot be started. The methods of a Server give errors instead,
// so that any goroutine may call them.
package redistest
