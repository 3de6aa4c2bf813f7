// Package run is "clic run": run a plan here and now, on a private master that ends with it.
package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/follow"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/submit"
)

// RunOptions are the arguments of the command.
type RunOptions struct {
	IO      *iostreams.Streams
	Now     func() time.Time
	Version string
	Who     func() string
	// Interrupts are the user's Ctrl-C: the first cancels the task, the second kills it.
	Interrupts <-chan os.Signal

	File      string
	Name      string
	Params    []string
	ParamFile string
	Labels    []string
	DataDir   string
	Keep      bool
	Slots     int
	Plain     bool
	Quiet     bool
	Timeout   time.Duration
	Format    output.Format
}

// NewCmdRun makes the command. runF replaces the run function in tests.
func NewCmdRun(f *factory.Factory, runF func(*RunOptions) error) *cobra.Command {
	opts := &RunOptions{IO: f.IO, Now: f.Now, Version: f.Version, Who: f.Who}
	cmd := &cobra.Command{
		Use:   "run {FILE | -}",
		Short: "Run a plan here and now, without a master",
		Long: `Run a plan with processes of this machine, on a private master that ends with it, and show its progress.
The exit status is the plan's outcome: 0 completed, 1 failed, 3 cancelled.

Ctrl-C cancels the plan and waits until everything has stopped; a second Ctrl-C kills what still runs.
While it runs, other commands reach the private master at the address that is printed (--master).

Stages that are Spark applications run by the spark-submit of SPARK_HOME, or else of the PATH, with master local[*].

What the stages print is kept in a temporary directory, which is removed when the plan has completed.
With --keep it stays, and with --data-dir it is where you say.`,
		Example: `  clic run plan.yaml
  clic run plan.yaml -p date=2026-01-31 --keep
  clic run plan.yaml --plain > progress.log
  generate-plan | clic run -`,
		Args: args.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.File = a[0]
			if runF != nil {
				return runF(opts)
			}
			interrupts := make(chan os.Signal, 2)
			signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
			defer signal.Stop(interrupts)
			opts.Interrupts = interrupts
			// The command's own context ends with the first Ctrl-C; here that is only the beginning of the end.
			return runRun(context.WithoutCancel(cmd.Context()), opts)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&opts.Name, "name", "", "name of the task, in place of the plan's own")
	fl.StringArrayVarP(&opts.Params, "param", "p", nil, "parameter of the plan as `key=value` (repeatable)")
	fl.StringVar(&opts.ParamFile, "param-file", "", "read parameters from a YAML or JSON `file`; --param goes before it")
	fl.StringArrayVarP(&opts.Labels, "label", "l", nil, "label as `key=value` (repeatable)")
	fl.StringVar(&opts.DataDir, "data-dir", "", "`directory` for the state and the stages' output; it is kept")
	fl.BoolVar(&opts.Keep, "keep", false, "keep the state and the stages' output")
	fl.IntVar(&opts.Slots, "slots", 0, "run at most so many stages at once (default: twice the processors)")
	fl.BoolVar(&opts.Plain, "plain", false, "one line per event also on a terminal")
	fl.BoolVarP(&opts.Quiet, "quiet", "q", false, "show no progress, only how it ended")
	fl.DurationVar(&opts.Timeout, "timeout", 0, "cancel the plan after so long")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON)
	return cmd
}

func runRun(ctx context.Context, opts *RunOptions) error {
	s, err := submission(opts)
	if err != nil {
		return err
	}
	if opts.Slots < 0 {
		return exit.Usagef("--slots must not be negative")
	}
	spark, err := opts.spark(s.GetFileName(), s.Plan)
	if err != nil {
		return err
	}
	dir, temporary, err := directory(opts)
	if err != nil {
		return err
	}
	p, err := start(ctx, opts, dir, spark)
	if err != nil {
		return errors.Join(err, discard(dir, temporary))
	}
	t, err := attend(ctx, opts, p, s)
	stopErr := p.stop()
	for _, d := range dataDirs(dir) {
		stopErr = errors.Join(stopErr, kill(ctx, d, p.left))
	}
	keep := !temporary || opts.Keep || t != nil && t.State != master.TaskState_COMPLETED
	if keep {
		if t != nil && !opts.Quiet && opts.Format != output.JSON {
			var places []string
			for _, d := range dataDirs(dir) {
				places = append(places, filepath.Join(d, "attempts"))
			}
			fmt.Fprintf(opts.IO.Err, "What the stages printed is in %s\n", strings.Join(places, " and "))
		}
	} else {
		stopErr = errors.Join(stopErr, discard(dir, temporary))
	}
	if err == nil {
		err = stopErr
	}
	return err
}

func submission(opts *RunOptions) (*master.Submission, error) {
	text, name, err := submit.ReadPlan(opts.IO, opts.File)
	if err != nil {
		return nil, err
	}
	s := &master.Submission{PlanName: opts.Name, Plan: text, FileName: &name, RequestId: new(submit.NewRequestID())}
	if s.Parameters, err = submit.Params(opts.Params, opts.ParamFile); err != nil {
		return nil, err
	}
	if s.Labels, err = args.Pairs("--label", opts.Labels); err != nil {
		return nil, err
	}
	if who := opts.Who(); who != "" {
		s.Owner = &who
	}
	return s, nil
}

// directory makes the place of the private master's data.
func directory(opts *RunOptions) (dir string, temporary bool, err error) {
	if opts.DataDir != "" {
		dir, err := filepath.Abs(opts.DataDir)
		return dir, false, err
	}
	dir, err = os.MkdirTemp("", "clic-run-")
	if err != nil {
		return "", false, fmt.Errorf("cannot make a place for the run's data: %w", err)
	}
	return dir, true, nil
}

func discard(dir string, temporary bool) error {
	if !temporary {
		return nil
	}
	return os.RemoveAll(dir)
}

// attend submits the plan and follows it to its end.
func attend(ctx context.Context, opts *RunOptions, p *private, s *master.Submission) (*master.TaskInfo, error) {
	answer, err := p.client.Submit(ctx, s)
	if err != nil {
		return nil, err
	}
	style := opts.IO.ErrStyle()
	if mode(opts) != follow.JSON && !opts.Quiet {
		fmt.Fprintln(opts.IO.Err, style.Dim("Task "+answer.TaskName+" on a private master at "+p.client.Address()))
	}
	for _, d := range answer.Diagnostics {
		if d.Severity != "note" && !opts.Quiet {
			fmt.Fprintln(opts.IO.Err, exit.DiagnosticLine(d, style))
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	notices := make(chan string, 4) // more than the guard has to say
	say := func(text string) { fmt.Fprintln(opts.IO.Err, text) }
	if mode(opts) == follow.Live {
		say = func(text string) { notices <- text }
	}
	guard := &guard{opts: opts, client: p.client, task: answer.TaskName, end: cancel, say: say}
	stopGuard := guard.start(ctx)
	resized, stopResized := iostreams.Resized()
	defer stopResized()
	t, err := follow.Until(ctx, follow.Options{
		IO: opts.IO, Service: p.client, Now: opts.Now, Task: answer.TaskName, Mode: mode(opts), Resized: resized, Notices: notices,
	})
	stopGuard()
	if err != nil {
		if errors.Is(context.Cause(ctx), errKilled) {
			fmt.Fprintln(opts.IO.Err, "Killing what still runs.")
			p.left = left(context.WithoutCancel(ctx), p.client, answer.TaskName)
			return &master.TaskInfo{TaskName: answer.TaskName, State: master.TaskState_CANCELLED}, exit.Silent(exit.Interrupted)
		}
		return nil, err
	}
	if err := finish(ctx, opts, p.client, t); err != nil {
		return t, err
	}
	if guard.interrupted() {
		return t, exit.Silent(exit.Interrupted)
	}
	return t, follow.Outcome(t)
}

func mode(opts *RunOptions) follow.Mode {
	switch {
	case opts.Format == output.JSON:
		return follow.JSON
	case opts.Quiet:
		return follow.Silent
	case opts.Plain:
		return follow.Lines
	}
	return follow.Auto(opts.IO)
}
