// Package stages is "clic stages": the stages of a task.
package stages

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/follow"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
	"github.com/clic-orchestrator/clic/shell/view"
)

// StagesOptions are the arguments of the command.
type StagesOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time

	Task     string
	Statuses []string
	Groups   bool
	Limit    int
	Format   output.Format
}

// NewCmdStages makes the command. runF replaces the run function in tests.
func NewCmdStages(f *factory.Factory, runF func(*StagesOptions) error) *cobra.Command {
	opts := &StagesOptions{IO: f.IO, Client: f.Client, Now: f.Now}
	cmd := &cobra.Command{
		Use:   "stages TASK",
		Short: "List the stages of a task",
		Long: `List the stages of a task in the order of its plan, with what each is waiting for or why it failed.

Stages that come into being while the task runs (loops, conditions) appear when they do.`,
		Example: `  clic stages wordcount-qwertyui
  clic stages wordcount --status failed,suspend
  clic stages wordcount -o name --status failed | xargs -n1 clic logs`,
		Args:              args.Exactly("TASK"),
		ValidArgsFunction: complete.Tasks(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Task = a[0]
			if runF != nil {
				return runF(opts)
			}
			return stagesRun(cmd.Context(), opts)
		},
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&opts.Statuses, "status", nil, "only stages in one of these states: "+strings.ToLower(strings.Join(states(), "|")))
	fl.BoolVar(&opts.Groups, "groups", false, "show also groups (dags, steps, loops)")
	fl.IntVar(&opts.Limit, "limit", 0, "at most so many stages; 0 for all")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.Wide, output.JSON, output.YAML, output.Name)
	_ = cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(states(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func states() []string {
	var names []string
	for s := master.StageState_WAITING; s <= master.StageState_OMITTED; s++ {
		names = append(names, s.String())
	}
	return names
}

func stagesRun(ctx context.Context, opts *StagesOptions) error {
	q := &master.StageQuery{Groups: &opts.Groups, Explain: new(opts.Format != output.Name)}
	for _, name := range opts.Statuses {
		s, err := master.StageStateFromString(strings.ToUpper(strings.TrimSpace(name)))
		if err != nil {
			return exit.Usagef("--status: there is no state %q (one of %s)", name, strings.Join(states(), ", "))
		}
		q.States = append(q.States, s)
	}
	if opts.Limit < 0 {
		return exit.Usagef("--limit must not be negative")
	}
	c, err := opts.Client()
	if err != nil {
		return err
	}
	if q.TaskName, err = resolve.TaskName(ctx, c, opts.Task); err != nil {
		return err
	}
	var found []*master.StageInfo
	err = resolve.EachStage(ctx, c, q, func(s *master.StageInfo) bool {
		found = append(found, s)
		return opts.Limit == 0 || len(found) < opts.Limit
	})
	if err != nil {
		return err
	}
	return show(opts, found)
}

func show(opts *StagesOptions, stages []*master.StageInfo) error {
	switch opts.Format {
	case output.JSON, output.YAML:
		return output.Encode(opts.IO.Out, opts.Format, view.FromStages(stages))
	case output.Name:
		for _, s := range stages {
			if _, err := fmt.Fprintln(opts.IO.Out, s.StageId); err != nil {
				return err
			}
		}
		return nil
	}
	if len(stages) == 0 && opts.IO.OutTerminal {
		_, err := fmt.Fprintln(opts.IO.Err, "no stage matches")
		return err
	}
	return table(opts, stages).Write(opts.IO)
}

func table(opts *StagesOptions, stages []*master.StageInfo) *output.Table {
	wide := opts.Format == output.Wide
	columns := []output.Column{
		{Title: "STAGE", Fixed: true},
		{Title: "STATUS", Fixed: true},
		{Title: "RETRIES", Right: true, Fixed: true},
		{Title: "DURATION", Right: true, Fixed: true},
	}
	if wide {
		columns = append(columns, output.Column{Title: "NAME"}, output.Column{Title: "KIND"}, output.Column{Title: "PLATFORM"},
			output.Column{Title: "STARTED"}, output.Column{Title: "ENDED"}, output.Column{Title: "EXIT", Right: true})
	}
	t := output.NewTable(append(columns, output.Column{Title: "DETAIL"})...)
	style := opts.IO.Style()
	for _, s := range stages {
		cells := []output.Cell{
			output.Text(s.StageId),
			{Text: s.State.String(), Style: style.For(s.State.String())},
			output.Text(fmt.Sprint(s.Retries)), output.Text(Elapsed(s, opts.Now())),
		}
		if wide {
			code := output.None
			if s.ExitCode != nil {
				code = fmt.Sprint(*s.ExitCode)
			}
			cells = append(cells, output.Text(strings.TrimPrefix(s.Path, ".")), output.Text(view.Kind(s.Kind)), output.Text(s.Platform),
				output.Text(output.Moment(client.Millis(s.Started))), output.Text(output.Moment(client.Millis(s.Ended))), output.Text(code))
		}
		t.Row(append(cells, output.Text(follow.Detail(s)))...)
	}
	return t
}

// Elapsed is how long a stage runs, or ran.
func Elapsed(s *master.StageInfo, now time.Time) string {
	if s.Started == 0 {
		return output.None
	}
	end := now
	if s.Ended != 0 {
		end = client.Millis(s.Ended)
	}
	return output.Duration(end.Sub(client.Millis(s.Started)))
}
