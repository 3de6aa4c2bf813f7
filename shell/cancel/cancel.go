// Package cancel is "clic cancel": stop a task or a stage.
package cancel

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/follow"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/resolve"
)

// CancelOptions are the arguments of the command.
type CancelOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time
	Who    func() string

	Refs     []string
	Reason   string
	Handlers bool
	Wait     bool
	Timeout  time.Duration
}

// NewCmdCancel makes the command. runF replaces the run function in tests.
func NewCmdCancel(f *factory.Factory, runF func(*CancelOptions) error) *cobra.Command {
	opts := &CancelOptions{IO: f.IO, Client: f.Client, Now: f.Now, Who: f.Who}
	cmd := &cobra.Command{
		Use:   "cancel {TASK | STAGE}...",
		Short: "Stop a task or a stage",
		Long: `Stop tasks or stages. What runs is asked to end, and killed after its grace period. What depends on
a cancelled stage is omitted. "clic retry" can run it again later.`,
		Example: `  clic cancel wordcount-qwertyui --reason "wrong input"
  clic cancel wordcount-qwertyui --handlers --wait
  clic cancel wordcount-qwertyui/count`,
		Args:              args.Between(1, "TASK..."),
		ValidArgsFunction: complete.Stages(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Refs = a
			if runF != nil {
				return runF(opts)
			}
			return cancelRun(cmd.Context(), opts)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&opts.Reason, "reason", "", "why, for those who will ask")
	fl.BoolVar(&opts.Handlers, "handlers", false, "for tasks: run the plan's exit handler")
	fl.BoolVar(&opts.Wait, "wait", false, "for tasks: wait until everything has stopped")
	fl.DurationVar(&opts.Timeout, "timeout", 0, "with --wait: give up after so long")
	return cmd
}

func cancelRun(ctx context.Context, opts *CancelOptions) error {
	c, err := opts.Client()
	if err != nil {
		return err
	}
	for _, ref := range opts.Refs {
		target, err := resolve.Either(ctx, c, ref)
		if err != nil {
			return err
		}
		if err := one(ctx, opts, c, target); err != nil {
			return err
		}
	}
	return nil
}

func one(ctx context.Context, opts *CancelOptions, c *client.Client, target resolve.Target) error {
	if target.Stage != nil {
		if opts.Handlers || opts.Wait {
			return exit.Usagef("--handlers and --wait are for tasks; %s is a stage", target.Name())
		}
		if err := c.CancelStage(ctx, target.Stage.StageId, opts.Reason, opts.Who()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(opts.IO.Out, "%s is being cancelled\n", target.Name())
		return err
	}
	if err := c.CancelTask(ctx, target.Task.TaskName, opts.Reason, opts.Handlers, opts.Who()); err != nil {
		return err
	}
	if !opts.Wait {
		_, err := fmt.Fprintf(opts.IO.Out, "%s is being cancelled\n", target.Name())
		return err
	}
	t, err := follow.Until(ctx, follow.Options{
		IO: opts.IO, Service: c, Now: opts.Now, Task: target.Name(), Mode: follow.Silent, Timeout: opts.Timeout,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(opts.IO.Out, "%s has ended: %s\n", t.TaskName, t.State)
	return err
}
