// Package skip is "clic skip": go on without a stage.
package skip

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

// SkipOptions are the arguments of the command.
type SkipOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Who    func() string

	Refs   []string
	Reason string
}

// NewCmdSkip makes the command. runF replaces the run function in tests.
func NewCmdSkip(f *factory.Factory, runF func(*SkipOptions) error) *cobra.Command {
	opts := &SkipOptions{IO: f.IO, Client: f.Client, Who: f.Who}
	cmd := &cobra.Command{
		Use:   "skip STAGE...",
		Short: "Go on without a stage that was not launched yet",
		Long: `Mark stages that were not launched yet as SKIPPED, so that what depends on them goes on as if their
condition had been false. Stages that run are refused: cancel them instead.`,
		Example: `  clic skip wordcount-qwertyui-mail-9 --reason "nobody reads it"
  clic skip wordcount-qwertyui/mail`,
		Args:              args.Between(1, "STAGE..."),
		ValidArgsFunction: complete.Stages(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Refs = a
			if runF != nil {
				return runF(opts)
			}
			return skipRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.Reason, "reason", "", "why, for those who will ask")
	return cmd
}

func skipRun(ctx context.Context, opts *SkipOptions) error {
	c, err := opts.Client()
	if err != nil {
		return err
	}
	for _, ref := range opts.Refs {
		s, err := resolve.Stage(ctx, c, ref)
		if err != nil {
			return err
		}
		if err := c.SkipStage(ctx, s.StageId, opts.Reason, opts.Who()); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(opts.IO.Out, "%s has been skipped\n", s.StageId); err != nil {
			return err
		}
	}
	return nil
}
