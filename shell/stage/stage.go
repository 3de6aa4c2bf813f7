package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/clic-orchestrator/clic/shell/exit"
)

// Process is what the helper is given by whoever starts it.
type Process struct {
	Version string
	// Env is the environment, as NAME=value.
	Env            []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Help is what --help prints.
const Help = `clic-stage runs a stage's program inside its container, and lets the program talk to the master.

The executor starts these; nobody has to write them:
  clic-stage install DIR                     copy this program into DIR, and the script of $CLIC_STAGE_SCRIPT
  clic-stage run [--] COMMAND [ARG...]       run the stage's program; ends with its exit status

A program may use these, in a script as well (the helper is in its PATH):
  clic-stage prepared                        my output can be read: stages that wait for it may start
  clic-stage progress DONE TOTAL [MESSAGE]   how far I am, in any unit
  clic-stage output NAME [VALUE|-]           the value of an output parameter, instead of its file (-: from standard input)
  clic-stage error MESSAGE|-                 what to tell people if I end with another status than 0

  clic-stage version | --help

prepared and progress need CLIC_MASTER and CLIC_STAGE_ID in the environment, which every stage has. prepared waits until the
master has taken note, for ten minutes at most (prepared --patience 30s: for so long). progress tries for five seconds, and
is no error if nobody listens. output and error work below "run" only.

Exit statuses: 0 done; 4 the master knows no such stage; 5 refused; 64 wrong usage; 65 a value that cannot be taken;
69 no master answers; 75 not now; 77 the token is not that of this attempt. "run": those of the program, 128+n if signal n
ended it, 64 if its command cannot be executed.
`

// Main runs one command, and gives the exit status.
func Main(p *Process, args []string) int {
	status, err := p.command(args)
	if err == nil {
		return status
	}
	var e *exit.Error
	_, _ = fmt.Fprintln(p.Stderr, "clic-stage: "+err.Error())
	if errors.As(err, &e) && e.Hint != "" {
		_, _ = fmt.Fprintln(p.Stderr, e.Hint)
	}
	return exit.Status(err)
}

func (p *Process) command(args []string) (int, error) {
	if len(args) == 0 {
		return 0, usagef("no command; clic-stage --help lists them")
	}
	name, args := args[0], args[1:]
	ctx := context.Background()
	switch name {
	case "run":
		return p.run(args)
	case "install":
		return 0, p.install(args)
	case "prepared":
		return 0, p.prepared(ctx, args)
	case "progress":
		return 0, p.progress(ctx, args)
	case "output":
		return 0, p.output(args)
	case "error":
		return 0, p.error(args)
	case "version", "--version":
		_, err := fmt.Fprintln(p.Stdout, "clic-stage "+p.Version)
		return 0, err
	case "help", "--help", "-h":
		_, err := io.WriteString(p.Stdout, Help)
		return 0, err
	}
	return 0, usagef("unknown command %q; clic-stage --help lists them", name)
}

func usagef(format string, args ...any) error { return exit.Usagef(format, args...) }

func (p *Process) getenv(name string) string {
	value, _ := p.lookup(name)
	return value
}

// lookup finds a variable; of several with one name the last counts, as in a shell.
func (p *Process) lookup(name string) (value string, ok bool) {
	for _, v := range p.Env {
		if rest, found := strings.CutPrefix(v, name+"="); found {
			value, ok = rest, true
		}
	}
	return value, ok
}

// setenv gives a copy of env in which a variable is set, once.
func setenv(env []string, name, value string) []string {
	out := make([]string, 0, len(env)+1)
	for _, v := range env {
		if !strings.HasPrefix(v, name+"=") {
			out = append(out, v)
		}
	}
	return append(out, name+"="+value)
}
