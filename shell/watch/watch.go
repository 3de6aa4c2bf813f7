// Package watch is "clic watch": follow a task to its end.
package watch

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/follow"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
)

// WatchOptions are the arguments of the command.
type WatchOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time

	Task       string
	ExitStatus bool
	Plain      bool
	Since      int64
	Timeout    time.Duration
	Format     output.Format
}

// NewCmdWatch makes the command. runF replaces the run function in tests.
func NewCmdWatch(f *factory.Factory, runF func(*WatchOptions) error) *cobra.Command {
	opts := &WatchOptions{IO: f.IO, Client: f.Client, Now: f.Now}
	cmd := &cobra.Command{
		Use:   "watch TASK",
		Short: "Follow a task to its end",
		Long: `Follow a task until it has ended. On a terminal its stages are shown in place with their progress and
what they wait for; elsewhere, and with --plain, one line is printed per event, from the task's beginning.

Ctrl-C ends the watching, not the task. A master that is restarted meanwhile is waited for.`,
		Example: `  clic watch wordcount-qwertyui
  clic watch wordcount --exit-status && echo done
  clic watch wordcount --plain
  clic watch wordcount -o json | jq -r 'select(.to == "FAILED") | .stage'`,
		Args:              args.Exactly("TASK"),
		ValidArgsFunction: complete.Tasks(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Task = a[0]
			if runF != nil {
				return runF(opts)
			}
			return watchRun(cmd.Context(), opts)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&opts.ExitStatus, "exit-status", false, "the exit status is the task's outcome: 1 failed, 3 cancelled")
	fl.BoolVar(&opts.Plain, "plain", false, "one line per event also on a terminal")
	fl.Int64Var(&opts.Since, "after", 0, "with lines or JSON: only events after this `number` (the seq of an event)")
	fl.DurationVar(&opts.Timeout, "timeout", 0, "give up after so long (the task goes on)")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON)
	return cmd
}

func watchRun(ctx context.Context, opts *WatchOptions) error {
	c, err := opts.Client()
	if err != nil {
		return err
	}
	task, err := resolve.TaskName(ctx, c, opts.Task)
	if err != nil {
		return err
	}
	err = follow.Attend(ctx, follow.Options{
		IO: opts.IO, Service: c, Now: opts.Now, Task: task, Mode: mode(opts), Cursor: opts.Since, Timeout: opts.Timeout,
	})
	if follow.IsOutcome(err) && !opts.ExitStatus {
		return nil
	}
	return err
}

func mode(opts *WatchOptions) follow.Mode {
	switch {
	case opts.Format == output.JSON:
		return follow.JSON
	case opts.Plain:
		return follow.Lines
	}
	return follow.Auto(opts.IO)
}
