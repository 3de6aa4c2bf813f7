// Package console is the master's side for operators, over HTTP: whether it lives (/healthz), whether it serves (/readyz), what it
// does and who else there is (/status), and figures for Prometheus (/metrics). It only reads. There is no authentication: listen on
// loopback, or where only operators come.
package console
