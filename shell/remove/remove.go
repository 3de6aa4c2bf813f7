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

	Tasks []string
	Force bool
	Yes   bool
}

// NewCmdDelete makes the command. runF replaces the run function in tests.
func NewCmdDelete(f *factory.Factory, runF func(*DeleteOptions) error) *cobra.Command {
	opts := &DeleteOptions{IO: f.IO, Client: f.Client, Who: f.Who}
	cmd := &cobra.Command{
		Use:     "delete TASK...",
		Aliases: []string{"rm"},
		Short:   "Delete ended tasks with their history and logs",
		Long: `Delete tasks that have ended, with their history and their stages' logs. Files that stages wrote as
their results are not touched. A task that has not ended is refused unless --force, which cancels it first.

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
		question := fmt.Sprintf("Delete %s with its history and logs?", names[0])
		if len(names) > 1 {
			question = fmt.Sprintf("Delete %s with their history and logs?", output.Count(len(names), "task"))
		}
		if err := ask.Yes(opts.IO, question); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := c.DeleteTask(ctx, name, opts.Force, opts.Who()); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(opts.IO.Out, "%s has been deleted\n", name); err != nil {
			return err
		}
	}
	return nil
}
