// Package get is "clic get": everything about one task or stage.
package get

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
	"github.com/clic-orchestrator/clic/shell/view"
)

// GetOptions are the arguments of the command.
type GetOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time

	Ref    string
	Plan   bool
	Format output.Format
}

// NewCmdGet makes the command. runF replaces the run function in tests.
func NewCmdGet(f *factory.Factory, runF func(*GetOptions) error) *cobra.Command {
	opts := &GetOptions{IO: f.IO, Client: f.Client, Now: f.Now}
	cmd := &cobra.Command{
		Use:     "get {TASK | STAGE}",
		Aliases: []string{"describe", "show"},
		Short:   "Show everything about a task or a stage",
		Long: `Show everything that the master knows about one task or stage.

A task is named in full or by a beginning that no other task has (the plan's name, say); a stage by its
id or as TASK/NAME. Values of parameters that look like secrets are not shown.`,
		Example: `  clic get wordcount-qwertyui
  clic get wordcount                      # if only one task begins so
  clic get wordcount-qwertyui/count       # a stage by its name
  clic get wordcount-qwertyui --plan      # the plan as it was submitted
  clic get wordcount-qwertyui -o json | jq -r .status`,
		Args:              args.Exactly("TASK"),
		ValidArgsFunction: complete.Stages(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Ref = a[0]
			if runF != nil {
				return runF(opts)
			}
			return getRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.Plan, "plan", false, "print the task's plan as it was submitted")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.Wide, output.JSON, output.YAML, output.Name)
	return cmd
}

func getRun(ctx context.Context, opts *GetOptions) error {
	c, err := opts.Client()
	if err != nil {
		return err
	}
	target, err := resolve.Either(ctx, c, opts.Ref)
	if err != nil {
		return err
	}
	if opts.Plan {
		return printPlan(ctx, opts, c, target)
	}
	if target.Stage != nil && target.Stage.Explanation == nil {
		// The reason is worth a question of its own, and its absence is not worth an error.
		if e, err := c.Explain(ctx, target.Stage.StageId); err == nil {
			target.Stage.Explanation = e
		}
	}
	return show(opts, target)
}

func printPlan(ctx context.Context, opts *GetOptions, c *client.Client, target resolve.Target) error {
	var name string
	if target.Stage != nil {
		name = target.Stage.TaskName
	} else {
		name = target.Task.TaskName
	}
	plan, err := c.GetPlan(ctx, name)
	if err != nil {
		return err
	}
	_, err = io.WriteString(opts.IO.Out, plan)
	return err
}

func show(opts *GetOptions, target resolve.Target) error {
	switch opts.Format {
	case output.JSON, output.YAML:
		var v any
		if target.Stage != nil {
			v = view.FromStage(target.Stage)
		} else {
			v = view.FromTask(target.Task)
		}
		return output.Encode(opts.IO.Out, opts.Format, v)
	case output.Name:
		_, err := fmt.Fprintln(opts.IO.Out, target.Name())
		return err
	}
	d := &details{io: opts.IO, now: opts.Now(), wide: opts.Format == output.Wide}
	if target.Stage != nil {
		d.stage(target.Stage)
	} else {
		d.task(target.Task)
	}
	return d.write()
}
