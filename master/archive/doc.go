// Package archive moves the state of tasks between stores: it exports all of one as text, imports such text into another, and
// takes over what the old Java master left in its Redis.
//
// An archive is text in UTF-8: a JSON object a line, each with one key that says what it is.
//
//	{"archive":{"version":1,…}}      begins it; an export that was continued has another where it went on
//	{"task":{"name":…,…}}            a task's header, its revision and the Seq of its newest history entry
//	{"source":{"json":…}}            the plan as it was submitted
//	{"node":{"index":0,…}}           a node: a line each, ascending, without gaps
//	{"event":{"seq":1,"body":…}}     a history entry: a line each, ascending
//	{"done":{"task":…,…}}            ends the task, with counts and a checksum of its lines
//	{"cursor":"…"}                   all tasks up to here are written; an export can go on after it
//	{"end":{"tasks":…,…}}            ends the archive
//
// The encoded records inside (package dag's) are JSON and stand there as such; anything else is in base64, under a key that
// says so. What is imported is byte for byte what was exported.
//
// Memory is bounded by the largest task (all of its nodes, not its history), whatever the number of tasks.
package archive
