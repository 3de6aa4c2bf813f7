// Package remove is "clic delete": forget a task.
package remove

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/ask"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
)

// DeleteOptions are the arguments of the command.
type DeleteOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Who    func() string

	Tasks   []string
	Force   bool
	Outputs bool
	Yes     bool
}

// NewCmdDelete makes the command. runF replaces the run function in tests.
func NewCmdDelete(f *factory.Factory, runF func(*DeleteOptions) error) *cobra.Command {
	opts := &DeleteOptions{IO: f.IO, Client: f.Client, Who: f.Who}
	cmd := &cobra.Command{
		Use:     "delete TASK...",
		Aliases: []string{"rm"},
		Short:   "Delete ended tasks with their history and logs",
		Long: `Delete tasks that have ended, with their history, their stages' logs, and what was uploaded for them
and no other task uses. Files that stages wrote as their results are not touched, unless --outputs: then what
their plans declare with clic.io/output goes as well, soon after, with what attempts have left unpublished
beside it. What another task declares too, and what lies above or below it, is kept.
A task that has not ended is refused unless --force, which cancels it first.

On a terminal a confirmation is asked for.`,
		Example: `  clic delete wordcount-qwertyui
  clic list --status failed --before 30d -o name | xargs clic delete --yes`,
		Args:              args.Between(1, "TASK..."),
		ValidArgsFunction: complete.Tasks(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Tasks = a
			if runF != nil {
				return runF(opts)
			}
			return deleteRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.Force, "force", false, "cancel a task that has not ended, and delete it then")
	cmd.Flags().BoolVar(&opts.Outputs, "outputs", false, "delete the outputs that their plans declare as well")
	cmd.Flags().BoolVarP(&opts.Yes, "yes", "y", false, "do not ask")
	return cmd
}

func deleteRun(ctx context.Context, opts *DeleteOptions) error {
	c, err := opts.Client()
	if err != nil {
		return err
	}
	var names []string
	for _, ref := range opts.Tasks {
		name, err := resolve.TaskName(ctx, c, ref)
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	if !opts.Yes && opts.IO.InTerminal {
		what := "history, logs and uploads"
		if opts.Outputs {
			what = "history, logs, uploads and declared outputs"
		}
		question := fmt.Sprintf("Delete %s with its %s?", names[0], what)
		if len(names) > 1 {
			question = fmt.Sprintf("Delete %s with their %s?", output.Count(len(names), "task"), what)
		}
		if err := ask.Yes(opts.IO, question); err != nil {
			return err
		}
	}
	remove, also := c.DeleteTask, ""
	if opts.Outputs {
		remove, also = c.DeleteTaskAndOutputs, "; its outputs are being deleted"
	}
	for _, name := range names {
		if err := remove(ctx, name, opts.Force, opts.Who()); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(opts.IO.Out, "%s has been deleted%s\n", name, also); err != nil {
			return err
		}
	}
	return nil
}
