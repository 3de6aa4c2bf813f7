// Package explain is "clic explain": why a stage is where it is.
package explain

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
	"github.com/clic-orchestrator/clic/shell/view"
)

// ExplainOptions are the arguments of the command.
type ExplainOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)

	Ref    string
	All    bool
	Format output.Format
}

// NewCmdExplain makes the command. runF replaces the run function in tests.
func NewCmdExplain(f *factory.Factory, runF func(*ExplainOptions) error) *cobra.Command {
	opts := &ExplainOptions{IO: f.IO, Client: f.Client}
	cmd := &cobra.Command{
		Use:   "explain {STAGE | TASK}",
		Short: "Say why a stage is where it is, and what it waits for",
		Long: `Say in one line why a stage is where it is: which stages it waits for, who holds it and until when,
which limit is reached, when it is retried, or what the executor says.

For a task, every stage that has not ended is explained.`,
		Example: `  clic explain wordcount-qwertyui-java-3
  clic explain wordcount-qwertyui/count
  clic explain wordcount-qwertyui`,
		Args:              args.Exactly("STAGE"),
		ValidArgsFunction: complete.Stages(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Ref = a[0]
			if runF != nil {
				return runF(opts)
			}
			return explainRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.All, "all", false, "for a task: also the stages that have ended")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON, output.YAML)
	return cmd
}

// explained is the JSON form.
type explained struct {
	Stage  string `json:"stage"`
	Status string `json:"status"`
	view.Explanation
}

func explainRun(ctx context.Context, opts *ExplainOptions) error {
	c, err := opts.Client()
	if err != nil {
		return err
	}
	target, err := resolve.Either(ctx, c, opts.Ref)
	if err != nil {
		return err
	}
	if target.Stage != nil {
		return stage(ctx, opts, c, target.Stage)
	}
	return task(ctx, opts, c, target.Task)
}

func stage(ctx context.Context, opts *ExplainOptions, c *client.Client, s *master.StageInfo) error {
	e, err := c.Explain(ctx, s.StageId)
	if err != nil {
		return err
	}
	if opts.Format.Structured() {
		return output.Encode(opts.IO.Out, opts.Format, explained{s.StageId, s.State.String(), *view.FromExplanation(e)})
	}
	_, err = fmt.Fprintf(opts.IO.Out, "%s is %s: %s\n", s.StageId, opts.IO.Style().Status(s.State.String()), output.Clean(e.Text))
	return err
}

func task(ctx context.Context, opts *ExplainOptions, c *client.Client, t *master.TaskInfo) error {
	q := &master.StageQuery{TaskName: t.TaskName, Explain: new(true)}
	if !opts.All {
		for s := master.StageState_WAITING; s <= master.StageState_OMITTED; s++ {
			if !ended(s) {
				q.States = append(q.States, s)
			}
		}
	}
	stages, err := resolve.Stages(ctx, c, q)
	if err != nil {
		return err
	}
	if opts.Format.Structured() {
		list := []explained{}
		for _, s := range stages {
			if e := view.FromExplanation(s.Explanation); e != nil {
				list = append(list, explained{s.StageId, s.State.String(), *e})
			}
		}
		return output.Encode(opts.IO.Out, opts.Format, list)
	}
	if len(stages) == 0 {
		_, err := fmt.Fprintf(opts.IO.Err, "task %s is %s: no stage is waiting for anything\n", t.TaskName, t.State)
		return err
	}
	table := output.NewTable(output.Column{Title: "STAGE", Fixed: true}, output.Column{Title: "STATUS", Fixed: true}, output.Column{Title: "WHY", Fixed: true})
	style := opts.IO.Style()
	for _, s := range stages {
		text := s.Message
		if s.Explanation != nil {
			text = s.Explanation.Text
		}
		table.Row(output.Text(s.StageId), output.Cell{Text: s.State.String(), Style: style.For(s.State.String())}, output.Text(text))
	}
	return table.Write(opts.IO)
}

func ended(s master.StageState) bool {
	switch s {
	case master.StageState_COMPLETED, master.StageState_FAILED, master.StageState_CANCELLED, master.StageState_SKIPPED,
		master.StageState_OMITTED:
		return true
	}
	return false
}
