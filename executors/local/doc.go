// Package local runs attempts as processes of this machine.
//
// A process group per attempt, in a session of its own, under a nursery (package nursery) that outlives the master. What a
// stage finds:
//
//   - Its working directory is empty and its own. It is kept until the attempt is forgotten if anything is in it at the end. A
//     workingDir of the plan is used as it stands, and has to exist; a relative one is made below the attempt's own.
//   - Its environment is clean: PATH, HOME, USER, LOGNAME, LANG, LC_ALL and TZ of the master (with defaults where it has
//     none), TMPDIR (the attempt's own), what Config adds, the plan's variables, CLIC_ATTEMPT_DIR (the attempt's
//     directory), and what executors.Env says. Later ones win, so a plan may set its own PATH or TMPDIR.
//   - Secrets are files <SecretsDir>/<name>/<key>, configuration entries <ConfigDir>/<name>/<key>, whole, without one
//     trailing newline. Their values go into the environment of the one process and nowhere else. What the program itself
//     prints is not searched for them.
//   - In command, args and values of env of the Argo form, $(NAME) and $$ are replaced as Kubernetes does it. Lines of the CLIC form
//     are left to the shell.
//   - A container's command is executed; its image is not used, so a template that relies on the image's own
//     entrypoint cannot run here. CPU and memory limits are not enforced. Sighting.Info says both.
//   - Standard input is empty. Standard output and error are kept up to a limit: the beginning and the end.
//   - An output parameter is read from its path on this machine, if it was written since the attempt started.
//   - When the program has ended, what it left running may go on for Config.Linger and is then stopped.
//
// main has to begin with RunShimIfAsked, because the nursery is the same program, started again.
package local
