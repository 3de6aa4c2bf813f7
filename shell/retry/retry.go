// Package retry is "clic retry": run again what failed.
package retry

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/ask"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/follow"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
)

// RetryOptions are the arguments of the command.
type RetryOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time
	Who    func() string

	Task    string
	Stages  []string
	DryRun  bool
	Yes     bool
	Watch   bool
	Wait    bool
	Timeout time.Duration
	Format  output.Format
}

// NewCmdRetry makes the command. runF replaces the run function in tests.
func NewCmdRetry(f *factory.Factory, runF func(*RetryOptions) error) *cobra.Command {
	opts := &RetryOptions{IO: f.IO, Client: f.Client, Now: f.Now, Who: f.Who}
	cmd := &cobra.Command{
		Use:   "retry TASK [STAGE...]",
		Short: "Run the failed stages of a task again, and keep the completed ones",
		Long: `Run again the stages of a task that failed, were cancelled or omitted, and what depends on them.
Completed stages are kept. With stages named, only these and what depends on them.

What would run again is shown first, and on a terminal a confirmation is asked for.`,
		Example: `  clic retry wordcount-qwertyui --dry-run
  clic retry wordcount-qwertyui --yes --watch
  clic retry wordcount-qwertyui wordcount-qwertyui-java-3`,
		Args:              args.Between(1, "TASK", "STAGE..."),
		ValidArgsFunction: complete.Tasks(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Task, opts.Stages = a[0], a[1:]
			if runF != nil {
				return runF(opts)
			}
			return retryRun(cmd.Context(), opts)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&opts.DryRun, "dry-run", false, "show what would run again, do nothing")
	fl.BoolVarP(&opts.Yes, "yes", "y", false, "do not ask")
	fl.BoolVarP(&opts.Watch, "watch", "w", false, "show the progress until the task's end; the exit status is its outcome")
	fl.BoolVar(&opts.Wait, "wait", false, "wait for the task's end; the exit status is its outcome")
	fl.DurationVar(&opts.Timeout, "timeout", 0, "with --wait or --watch: give up after so long (the task goes on)")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON, output.YAML, output.Name)
	return cmd
}

// plan is the JSON form.
type plan struct {
	Task   string   `json:"task"`
	Reset  []string `json:"reset"`
	Kept   []string `json:"kept"`
	DryRun bool     `json:"dryRun,omitempty"`
}

func retryRun(ctx context.Context, opts *RetryOptions) error {
	c, err := opts.Client()
	if err != nil {
		return err
	}
	task, err := resolve.TaskName(ctx, c, opts.Task)
	if err != nil {
		return err
	}
	ids, err := stageIDs(ctx, c, task, opts.Stages)
	if err != nil {
		return err
	}
	p, err := c.PlanRetry(ctx, task, ids)
	if err != nil {
		return err
	}
	if len(p.Reset) == 0 {
		return exit.With(exit.Refused, fmt.Errorf("nothing of task %s is to be retried", task),
			"only stages that failed, were cancelled or omitted are run again")
	}
	if opts.DryRun {
		return show(opts, opts.IO.Out, task, p)
	}
	if !opts.Format.Structured() && opts.Format != output.Name {
		if err := show(opts, opts.IO.Err, task, p); err != nil {
			return err
		}
	}
	if !opts.Yes && opts.IO.InTerminal {
		if err := ask.Yes(opts.IO, "Run them again?"); err != nil {
			return err
		}
	}
	var cursor int64
	if opts.Watch { // what happens from now on
		if cursor, err = follow.Now(ctx, c, task); err != nil {
			return err
		}
	}
	if p, err = c.RetryTask(ctx, task, ids, opts.Who()); err != nil {
		return err
	}
	if opts.Format.Structured() || opts.Format == output.Name {
		err = show(opts, opts.IO.Out, task, p)
	} else {
		_, err = fmt.Fprintf(opts.IO.Out, "%s is retried: %s to run again\n", task, output.Count(len(p.Reset), "stage"))
	}
	if err != nil || !opts.Wait && !opts.Watch {
		return err
	}
	return wait(ctx, opts, c, task, cursor)
}

// stageIDs resolves the named stages; plain names are taken to be of the task.
func stageIDs(ctx context.Context, c *client.Client, task string, refs []string) ([]string, error) {
	var ids []string
	for _, ref := range refs {
		s, err := resolve.Stage(ctx, c, ref)
		if exit.Status(err) == exit.NotFound && !strings.Contains(ref, "/") {
			s, err = resolve.Stage(ctx, c, task+"/"+ref)
		}
		if err != nil {
			return nil, err
		}
		if s.TaskName != task {
			return nil, exit.With(exit.Usage, fmt.Errorf("stage %s is of another task than %s", s.StageId, task), "")
		}
		ids = append(ids, s.StageId)
	}
	return ids, nil
}

// listed is how many kept stages are named.
const listed = 20

func show(opts *RetryOptions, w io.Writer, task string, p *master.RetryPlan) error {
	switch opts.Format {
	case output.JSON, output.YAML:
		return output.Encode(w, opts.Format, plan{Task: task, Reset: p.Reset, Kept: append([]string{}, p.Kept...), DryRun: opts.DryRun})
	case output.Name:
		_, err := io.WriteString(w, strings.Join(p.Reset, "\n")+"\n")
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of task %s to run again:\n", output.Count(len(p.Reset), "stage"), task)
	for _, id := range p.Reset {
		b.WriteString("  " + id + "\n")
	}
	if len(p.Kept) > 0 {
		fmt.Fprintf(&b, "%s kept as completed:\n", output.Count(len(p.Kept), "stage"))
		for i, id := range p.Kept {
			if i == listed {
				fmt.Fprintf(&b, "  … and %d more\n", len(p.Kept)-listed)
				break
			}
			b.WriteString("  " + id + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func wait(ctx context.Context, opts *RetryOptions, c *client.Client, task string, cursor int64) error {
	mode := follow.Silent
	if opts.Watch {
		mode = follow.Auto(opts.IO)
	}
	return follow.Attend(ctx, follow.Options{
		IO: opts.IO, Service: c, Now: opts.Now, Task: task, Mode: mode, Cursor: cursor, Timeout: opts.Timeout,
	})
}
