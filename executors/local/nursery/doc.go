// Package nursery is the process that starts, watches and reaps the attempts of the local executor.
//
// A master that is killed must not take its attempts along, nor lose their exit statuses, which only a parent learns. So
// attempts are not the master's children: one long-lived nursery per data directory starts them, each in a session of its
// own, and writes on disk how each began and ended. Masters talk to it over a socket in the data directory; when one dies
// the nursery goes on, and the next one asks it what happened. Nothing is executed in between a master's decision and the
// program, so an attempt costs one fork and one exec.
//
// The nursery holds no lock on anything but its directory's lock file and keeps no state that is not on disk too. If it is
// killed itself, its attempts run on: their pipes stay open, and the next nursery finds them by their environment, watches
// them through a pidfd, goes on reading their output, and learns their exit status from their remains, or from the kernel (Linux 6.15).
// Where it does not, the attempt counts as lost once it is gone.
//
// Attempts that nobody will ever ask for are not left running. Those of a private master (Want.Private) are stopped when no
// master is connected any more, however the last one ended; and all are if the directory was removed, unless a master is
// connected.
//
// It ends by itself when no master is connected and no attempt is left, and no other signal than SIGKILL ends it before. A
// service manager that ends all processes of a service with the master, as systemd does unless it is told
// KillMode=process, ends nursery and attempts too. Linux only: it rests on /proc, subreapers and
// pidfds.
//
// The directory:
//
//	nursery-v1.lock, nursery-v1.sock, nursery.log
//	epoch                       the highest leader's epoch seen
//	attempts/<name>/            one attempt; the name is its id (Dir)
//	  state                     lines of JSON: how it began, that it was to be stopped, how it ended
//	  stdout, stderr            the beginning of its output; stdout.<offset> a later part
//	  order                     how the two streams were interleaved
//	  run/work/, run/tmp/       its working directory and its TMPDIR; dropped at its end if both are empty
//	  script                    the text of a script
//	ended/<name>                an attempt that left nothing but its record: another name (a hard link) of its state file. The
//	                            directory, with that file in it, becomes a later attempt's; so a file has lines of several
//	spare/                      empty run directories for the next attempts
//	trash/                      what was forgotten and is being removed
package nursery
