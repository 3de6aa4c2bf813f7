// Package list is "clic list": the tasks of the master, newest first.
package list

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/view"
	"github.com/clic-orchestrator/clic/shell/when"
)

// ListOptions are the arguments of the command.
type ListOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time

	Statuses []string
	Plan     string
	Labels   []string
	Since    string
	Before   string
	Limit    int
	Format   output.Format
}

// NewCmdList makes the command. runF replaces the run function in tests.
func NewCmdList(f *factory.Factory, runF func(*ListOptions) error) *cobra.Command {
	opts := &ListOptions{IO: f.IO, Client: f.Client, Now: f.Now}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List tasks, newest first",
		Long: `List the tasks that the master knows, newest first.

On a terminal a table is shown, elsewhere one tab-separated line per task, without a heading.`,
		Example: `  clic list
  clic list --status RUNNING,SUSPENDED
  clic list --plan wordcount --since 24h
  clic list -l team=data -o json | jq -r '.[].name'`,
		Args: args.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(opts)
			}
			return listRun(cmd.Context(), opts)
		},
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&opts.Statuses, "status", nil, "only tasks in one of these states: "+strings.ToLower(strings.Join(states(), "|")))
	fl.StringVar(&opts.Plan, "plan", "", "only tasks of this plan")
	fl.StringArrayVarP(&opts.Labels, "label", "l", nil, "only tasks with this label, as `key=value` (repeatable: all of them)")
	fl.StringVar(&opts.Since, "since", "", "only tasks submitted at or after this `time` (24h, 06:00, 2026-01-31, RFC 3339)")
	fl.StringVar(&opts.Before, "before", "", "only tasks submitted before this `time`")
	fl.IntVar(&opts.Limit, "limit", 50, "at most so many tasks; 0 for all")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.Wide, output.JSON, output.YAML, output.Name)
	_ = cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(states(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func states() []string {
	var names []string
	for s := master.TaskState_NEW; s <= master.TaskState_CANCELLED; s++ {
		names = append(names, s.String())
	}
	return names
}

func listRun(ctx context.Context, opts *ListOptions) error {
	q, err := query(opts)
	if err != nil {
		return err
	}
	c, err := opts.Client()
	if err != nil {
		return err
	}
	tasks, more, err := Tasks(ctx, c, q, opts.Limit)
	if err != nil {
		return err
	}
	switch opts.Format {
	case output.JSON, output.YAML:
		return output.Encode(opts.IO.Out, opts.Format, view.FromTasks(tasks))
	case output.Name:
		for _, t := range tasks {
			if _, err := fmt.Fprintln(opts.IO.Out, t.TaskName); err != nil {
				return err
			}
		}
		return nil
	}
	if len(tasks) == 0 && opts.IO.OutTerminal {
		_, err := fmt.Fprintln(opts.IO.Err, nothing(opts))
		return err
	}
	if err := table(opts, tasks).Write(opts.IO); err != nil {
		return err
	}
	if more && opts.IO.OutTerminal {
		_, err = fmt.Fprintf(opts.IO.Err, "(the newest %d; --limit 0 shows all)\n", len(tasks))
	}
	return err
}

func nothing(opts *ListOptions) string {
	if len(opts.Statuses)+len(opts.Labels) > 0 || opts.Plan+opts.Since+opts.Before != "" {
		return "no task matches"
	}
	return `no tasks yet; "clic submit PLAN.yaml" makes one`
}

func query(opts *ListOptions) (*master.TaskQuery, error) {
	q := &master.TaskQuery{}
	for _, name := range opts.Statuses {
		s, err := master.TaskStateFromString(strings.ToUpper(strings.TrimSpace(name)))
		if err != nil {
			return nil, exit.Usagef("--status: there is no state %q (one of %s)", name, strings.Join(states(), ", "))
		}
		q.States = append(q.States, s)
	}
	if opts.Plan != "" {
		q.Plan = new(strings.ToLower(opts.Plan))
	}
	labels, err := args.Pairs("--label", opts.Labels)
	if err != nil {
		return nil, err
	}
	q.Labels = labels
	for _, b := range []struct {
		flag, value string
		to          **int64
	}{{"--since", opts.Since, &q.Since}, {"--before", opts.Before, &q.Before}} {
		if b.value == "" {
			continue
		}
		t, err := when.Past(b.value, opts.Now())
		if err != nil {
			return nil, exit.Usagef("%s: %w", b.flag, err)
		}
		*b.to = new(t.UnixMilli())
	}
	if opts.Limit < 0 {
		return nil, exit.Usagef("--limit must not be negative")
	}
	return q, nil
}

// pageSize is the most that a master gives at once.
const pageSize = 1000

// Service is what is needed of the master.
type Service interface {
	ListTasks(ctx context.Context, query *master.TaskQuery) (*master.TaskPage, error)
}

// Tasks collects at most limit tasks (0: all), page by page. more says that there are others.
func Tasks(ctx context.Context, c Service, q *master.TaskQuery, limit int) (tasks []*master.TaskInfo, more bool, err error) {
	for {
		n := pageSize
		if limit > 0 {
			n = min(n, limit-len(tasks))
		}
		q.Limit = new(int32(n))
		page, err := c.ListTasks(ctx, q)
		if err != nil {
			return nil, false, err
		}
		tasks = append(tasks, page.Tasks...)
		if page.NextCursor == "" || len(page.Tasks) == 0 {
			return tasks, false, nil
		}
		if limit > 0 && len(tasks) >= limit {
			return tasks, true, nil
		}
		q.Cursor = &page.NextCursor
	}
}

func table(opts *ListOptions, tasks []*master.TaskInfo) *output.Table {
	wide := opts.Format == output.Wide
	columns := []output.Column{
		{Title: "NAME", Fixed: true},
		{Title: "STATUS", Fixed: true},
		{Title: "STAGES", Right: true, Fixed: true},
		{Title: "SUBMITTED", Fixed: true},
		{Title: "DURATION", Right: true, Fixed: true},
	}
	if wide {
		columns = append(columns, output.Column{Title: "PRIORITY", Right: true, Fixed: true}, output.Column{Title: "OWNER"},
			output.Column{Title: "LABELS"})
	}
	columns = append(columns, output.Column{Title: "MESSAGE"})
	t := output.NewTable(columns...)
	style := opts.IO.Style()
	for _, task := range tasks {
		cells := []output.Cell{
			output.Text(task.TaskName),
			{Text: task.State.String(), Style: style.For(task.State.String())},
			output.Text(Progress(task)), output.Text(output.Moment(client.Millis(task.Submitted))),
			output.Text(Elapsed(task, opts.Now())),
		}
		if wide {
			cells = append(cells, output.Text(fmt.Sprint(task.Priority)), output.Text(task.Owner), output.Text(args.Join(task.Labels)))
		}
		t.Row(append(cells, output.Text(task.Message))...)
	}
	return t
}

// Progress is how many stages have ended, and how many there are: 3/12.
func Progress(t *master.TaskInfo) string {
	var done int32
	for _, name := range []string{"COMPLETED", "FAILED", "CANCELLED", "SKIPPED", "OMITTED"} {
		done += t.Counts[name]
	}
	return fmt.Sprintf("%d/%d", done, t.Stages)
}

// Elapsed is how long a task runs, or ran.
func Elapsed(t *master.TaskInfo, now time.Time) string {
	if t.Started == 0 {
		return output.None
	}
	end := now
	if t.Ended != 0 {
		end = client.Millis(t.Ended)
	}
	return output.Duration(end.Sub(client.Millis(t.Started)))
}
