package stage

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/exit"
)

// The commands that a stage's program itself may call.

// prepared tells the master that the program's output can be read.
func (p *Process) prepared(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("prepared", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	patience := flags.Duration("patience", 10*time.Minute, "")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return usagef("usage: clic-stage prepared [--patience DURATION]")
	}
	r, err := newReports(p)
	if err != nil {
		return exit.With(exit.Config, err, "")
	}
	defer r.to.Close() //nolint:errcheck // it never fails
	ctx, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	answer, err := r.persist(ctx, r.to.Prepared)
	if err != nil {
		return fmt.Errorf("the master does not know that the data is prepared: %w", err)
	}
	p.remark(answer)
	return nil
}

// progressPatience is for how long progress is told: it is out of date soon.
const progressPatience = 5 * time.Second

// progress tells the master how far the program is. That nobody listens is no error: the program should not die of it.
func (p *Process) progress(ctx context.Context, args []string) error {
	const usage = "usage: clic-stage progress DONE TOTAL [MESSAGE]"
	if len(args) < 2 || len(args) > 3 {
		return usagef(usage)
	}
	done, err1 := strconv.ParseInt(args[0], 10, 64)
	total, err2 := strconv.ParseInt(args[1], 10, 64)
	if err1 != nil || err2 != nil || done < 0 || total < 0 {
		return usagef("DONE and TOTAL are numbers from 0 on; %s", usage)
	}
	text := ""
	if len(args) == 3 {
		text = args[2]
	}
	r, err := newReports(p)
	if err != nil {
		return exit.With(exit.Config, err, "")
	}
	defer r.to.Close() //nolint:errcheck // it never fails
	ctx, cancel := context.WithTimeout(ctx, progressPatience)
	defer cancel()
	answer, err := r.persist(ctx, func(ctx context.Context) (*master.ReportAnswer, error) {
		return r.to.Progress(ctx, done, total, text)
	})
	switch {
	case err != nil && final(err):
		return fmt.Errorf("the master does not take the progress: %w", err)
	case err != nil:
		_, _ = fmt.Fprintln(p.Stderr, "clic-stage: nobody was told of the progress: "+err.Error())
	default:
		p.remark(answer)
	}
	return nil
}

// remark passes on what the master says beside yes.
func (p *Process) remark(answer *master.ReportAnswer) {
	if answer.CancelRequested {
		_, _ = fmt.Fprintln(p.Stderr, "clic-stage: the master wants this stage to stop")
	}
}

// errNoHelper says that a command has nobody to leave its note for.
var errNoHelper = errors.New("no helper runs this program (" + EnvDir + " is not set), so there is nobody to take this back")

// notesDir is where notes are left.
func (p *Process) notesDir() (string, error) {
	dir := p.getenv(EnvDir)
	if dir == "" {
		return "", exit.With(exit.Config, errNoHelper, "")
	}
	return dir, nil
}

// output leaves the value of an output parameter.
func (p *Process) output(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return usagef("usage: clic-stage output NAME [VALUE|-]")
	}
	dir, err := p.notesDir()
	if err != nil {
		return err
	}
	options, err := ParseOptions(p.getenv(EnvOptions))
	if err != nil {
		return exit.With(exit.Config, err, "")
	}
	at := -1
	var names []string
	for i, f := range options.Outputs {
		if names = append(names, f.Name); f.Name == args[0] {
			at = i
		}
	}
	if at < 0 {
		hint := "It declares none."
		if len(names) > 0 {
			hint = "It declares " + strings.Join(names, ", ") + "."
		}
		return exit.With(exit.Usage, fmt.Errorf("the stage's template declares no output parameter %q", args[0]), hint)
	}
	value, err := p.value(args[1:], options.OutputLimit)
	if err != nil {
		return err
	}
	return leaveNote(noteOf(dir, at), value)
}

// value is an argument, or what comes from the standard input. One line end is added to an argument, because one is taken from
// what is read back.
func (p *Process) value(args []string, limit int64) ([]byte, error) {
	if len(args) == 1 && args[0] != "-" {
		if int64(len(args[0])) >= limit {
			return nil, tooLarge(limit)
		}
		return []byte(args[0] + "\n"), nil
	}
	b, err := io.ReadAll(io.LimitReader(p.Stdin, limit+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the value: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, tooLarge(limit)
	}
	return b, nil
}

func tooLarge(limit int64) error {
	return exit.With(exit.BadPlan, fmt.Errorf("the value has more than the %d bytes that it may have", limit), "")
}

// error leaves what is to be told of a failure.
func (p *Process) error(args []string) error {
	if len(args) != 1 {
		return usagef("usage: clic-stage error MESSAGE|-")
	}
	dir, err := p.notesDir()
	if err != nil {
		return err
	}
	text, err := p.value(args, maxMessage)
	if err != nil {
		return err
	}
	return leaveNote(filepath.Join(dir, errorName), text)
}

func leaveNote(file string, b []byte) error {
	err := writeFile(file, os.FileMode(0o644), func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot leave a note for the helper: %w", err)
	}
	return nil
}
