// Package chaos holds no code, only the tests that kill, stop and cut off real masters again and again while they run large
// plans.
//
// The programs are the real clic-master, built for the test, each a process of its own, and real processes as stages. Every
// attempt writes down its own start and end in one file, the journal, which no master ever sees: the order of its lines is the
// order in which things happened. What the masters say is held against it.
//
// One master (TestMasterIsKilled) is killed with SIGKILL at random moments, while it starts as well as while it runs, and started
// again; in between, stages are suspended and continued over Thrift. In the end all must be as in a run that nobody disturbed.
//
// Three masters share a Redis (TestMastersTakeOver), each by way of a proxy of its own. The leader is killed, stopped with
// SIGSTOP until another one leads, asked to stop, or cut off from Redis; so are followers, and Redis is killed, restarted, or set
// back by half a second; connections are cut, answers lost and delayed. Meanwhile people, through any of the masters, submit
// tasks, suspend, continue and cancel, and retry what failed; and stages report to one address before all masters.
//
//   - Every submission that was acknowledged is there, and each request is one task; every task ends.
//   - No attempt was started twice, and none that ended is unknown to the masters or known otherwise.
//   - No stage was started before what it depends on was done.
//   - What was acknowledged to a caller is in the task's history once, what was refused is not there; stages that were suspended
//     were not launched until they were continued.
//   - The history of each task leads to the state that it has.
//   - A task that nobody but the masters' fate interfered with ended as its plan says, with as many attempts.
//   - No process is left, neither of a stage nor of the executor.
//
// Two masters lead at once in TestStaleLaunches and TestStaleWrites: whatever the old one still launches or writes is refused.
//
// `go test` does it on a small scale; `make chaos` (build tag chaos) with 500 stages and a master that is killed again and again,
// and with 2000 stages and as many rounds of all kinds. What a test needs to be repeated is in its first line.
//
// # What a crash of Redis's machine may lose
//
// With appendfsync always, nothing. With everysec, a machine that loses its power loses what Redis has acknowledged in the last
// second, or two where the disk is slow. As long as the leading master lives, it sends that again ("Redis loses half a second" is
// a round here), so that nothing is lost. If the leading master is lost in the same moment, these last changes are: tasks are as
// they were up to two seconds before. A submission of that time is gone; a stage that ended is taken for running, and the executor
// tells its end once more; one that was launched is launched again, and adopted where its executor still knows it.
package chaos
