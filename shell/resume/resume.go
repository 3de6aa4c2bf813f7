// Package resume is "clic continue": take a hold away.
package resume

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/resolve"
)

// ContinueOptions are the arguments of the command.
type ContinueOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Who    func() string

	Refs []string
}

// NewCmdContinue makes the command. runF replaces the run function in tests.
func NewCmdContinue(f *factory.Factory, runF func(*ContinueOptions) error) *cobra.Command {
	opts := &ContinueOptions{IO: f.IO, Client: f.Client, Who: f.Who}
	return &cobra.Command{
		Use:     "continue {STAGE | TASK}...",
		Aliases: []string{"resume", "release"},
		Short:   "Take a hold away, so that what was suspended goes on",
		Long: `Take away the hold that "clic suspend" put on a stage or a task, and open a gate (a suspend template of the plan).

A stage that is held at another place as well goes on waiting for that; a stage that is held only because
something it depends on is held is refused, and the answer says which stage to continue.`,
		Example: `  clic continue wordcount-qwertyui-java-3
  clic continue wordcount-qwertyui`,
		Args:              args.Between(1, "STAGE..."),
		ValidArgsFunction: complete.Stages(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Refs = a
			if runF != nil {
				return runF(opts)
			}
			return continueRun(cmd.Context(), opts)
		},
	}
}

func continueRun(ctx context.Context, opts *ContinueOptions) error {
	c, err := opts.Client()
	if err != nil {
		return err
	}
	for _, ref := range opts.Refs {
		target, err := resolve.Either(ctx, c, ref)
		if err != nil {
			return err
		}
		if target.Stage != nil {
			err = c.Resume(ctx, target.Stage.StageId, opts.Who())
		} else {
			err = c.ResumeTask(ctx, target.Task.TaskName, opts.Who())
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(opts.IO.Out, "%s has been continued\n", target.Name()); err != nil {
			return err
		}
	}
	return nil
}
