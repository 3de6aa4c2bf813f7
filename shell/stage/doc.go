// Package stage is the helper that runs inside the container of a stage (the program clic-stage), where the executor cannot
// see the program itself, as on Kubernetes.
//
// `clic-stage install DIR` runs in an init container: it copies the program into a volume that the stage's container mounts
// too, and writes the text of a script there. `clic-stage run -- COMMAND ARG...` then takes the place of the container's
// command, which it starts and watches. What the program does, prints and ends with stays its own; the helper
//
//   - passes signals on: TERM and INT to all processes of the program, KILL to what is left of them shortly before its grace
//     is over; others to the program alone,
//   - waits for every process whose parent is gone, being the first process of its container, or else a subreaper,
//   - posts over Thrift, with the attempt's token: started, heartbeat (whose answer may ask for the program to be stopped) and
//     completed. A master that cannot be reached, or does not want to hear it, changes nothing for the program,
//   - keeps a copy of the standard output if it is the stage's result, and reads output parameters from their files, by the
//     rules of the local executor,
//   - leaves how it all ended in the termination message of the container, which the executor reads: with the outputs where
//     they fit. Outputs that do not are posted, with patience; if that fails, the message says so.
//
// The program may use the helper as well: to say that its data is prepared, how far it is, what an output parameter is, and
// what to tell people if it fails.
//
// The helper needs no shell, no other file and no right but to execute; where a directory for its notes is missing, only
// those commands that need it do not work. Linux only: it rests on /proc, on subreapers, and on how containers end.
package stage
