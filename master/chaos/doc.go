// Package chaos holds no code, only the test that kills a master again and again while it runs a large plan.
//
// A real clic-master, built for the test, runs a plan of real processes as a process of its own. It is killed with SIGKILL at
// random moments, while it starts as well as while it runs, and started again; in between, stages are suspended and continued
// over Thrift. Every attempt writes down its own start and end in a file that the master never sees. In the end all that must
// be as if nothing had happened:
//
//   - every stage ends as in a run that nobody disturbed, after the same attempts with the same exit statuses,
//   - no attempt was started twice, and none that ended is unknown to the master,
//   - every suspension that was answered held until it was taken back,
//   - the history has every event that was ever shown to somebody, and its events lead to the state that the stages have,
//   - no process is left, neither of a stage nor of the executor.
//
// `go test` does it with a small plan; `make chaos` (build tag chaos) with 500 stages and 50 kills.
package chaos
