// Package logstore keeps the logs of attempts in a file system such as HDFS, for when the pods that wrote them are gone.
//
//	<root>/<2 hex digits>/<name>.log
//
// A log is first taken into a directory of this machine, the spool, and written from there in the background: so a file system that is
// away keeps nobody waiting, and neither it nor a restart of the master loses a log. What is to be removed goes the same way. The
// spool is bounded; a log that does not fit in it any more is refused.
package logstore
