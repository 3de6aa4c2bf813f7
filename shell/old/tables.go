package old

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/list"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
)

// cut is the width that the old shell cut its cells to. Ids are never cut.
const cut = 35

// unset is how the old shell showed a time that does not exist yet.
const unset = "   -"

func id(title string) output.Column  { return output.Column{Title: title, Fixed: true} }
func col(title string) output.Column { return output.Column{Title: title, Max: cut} }

func newTable(columns ...output.Column) *output.Table {
	t := output.NewTable(columns...)
	t.Header = true // the old shell always printed it
	return t
}

func moment(ms int64) string {
	if ms == 0 {
		return unset
	}
	return client.Millis(ms).Local().Format(output.Clock)
}

// runtime is in whole seconds, empty while it is not known.
func runtime(started, ended int64) string {
	if started == 0 || ended == 0 {
		return ""
	}
	return fmt.Sprint((ended - started) / 1000)
}

func cellsOf(texts ...string) []output.Cell {
	cells := make([]output.Cell, len(texts))
	for i, t := range texts {
		cells[i] = output.Text(t)
	}
	return cells
}

// command makes a hidden command that needs the master.
func command(f *factory.Factory, use, short string, check cobra.PositionalArgs, run func(context.Context, *client.Client, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: check,
		ValidArgsFunction: complete.Stages(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := f.Client()
			if err != nil {
				return err
			}
			return run(cmd.Context(), c, a)
		},
	}
}

func newCmdListTask(f *factory.Factory) *cobra.Command {
	return command(f, "list_task", "List all tasks", args.None, func(ctx context.Context, c *client.Client, _ []string) error {
		tasks, _, err := list.Tasks(ctx, c, &master.TaskQuery{}, 0)
		if err != nil {
			return err
		}
		t := newTable(id("plan_name"), col("submit_time"), col("start_time"), col("complete_time"), col("task_status"), col("task_runtime"))
		for _, k := range tasks {
			t.Row(cellsOf(k.TaskName, moment(k.Submitted), moment(k.Started), moment(k.Ended), k.State.String(), runtime(k.Started, k.Ended))...)
		}
		return t.Write(f.IO)
	})
}

func newCmdTask(f *factory.Factory) *cobra.Command {
	return command(f, "task TASK", "Show a task", args.Exactly("TASK"), func(ctx context.Context, c *client.Client, a []string) error {
		k, err := resolve.Task(ctx, c, a[0])
		if err != nil {
			return err
		}
		stages, err := resolve.Stages(ctx, c, &master.StageQuery{TaskName: k.TaskName})
		if err != nil {
			return err
		}
		ids := make([]string, len(stages))
		for i, s := range stages {
			ids[i] = s.StageId
		}
		t := newTable(id("plan_name"), col("submit_time"), col("start_time"), col("complete_time"), col("task_status"),
			col("task_stage_num"), col("task_runtime"), id("task_stage_list"))
		t.Row(cellsOf(k.TaskName, moment(k.Submitted), moment(k.Started), moment(k.Ended), k.State.String(),
			fmt.Sprint(k.Stages), runtime(k.Started, k.Ended), strings.Join(ids, ","))...)
		return t.Write(f.IO)
	})
}

func newCmdTaskStage(f *factory.Factory) *cobra.Command {
	return command(f, "task_stage TASK", "List the stages of a task", args.Exactly("TASK"), func(ctx context.Context, c *client.Client, a []string) error {
		task, err := resolve.TaskName(ctx, c, a[0])
		if err != nil {
			return err
		}
		stages, err := resolve.Stages(ctx, c, &master.StageQuery{TaskName: task})
		if err != nil {
			return err
		}
		t := newTable(id("stage_id"), col("platform"), col("start_time"), col("complete_time"), col("retry_count"), col("stage_runtime"),
			col("stage_status"))
		for _, s := range stages {
			t.Row(cellsOf(s.StageId, s.Platform, moment(s.Started), moment(s.Ended), fmt.Sprint(s.Retries), runtime(s.Started, s.Ended),
				s.State.String())...)
		}
		return t.Write(f.IO)
	})
}

func newCmdStage(f *factory.Factory) *cobra.Command {
	return command(f, "stage STAGE", "Show a stage", args.Exactly("STAGE"), func(ctx context.Context, c *client.Client, a []string) error {
		s, err := resolve.Stage(ctx, c, a[0])
		if err != nil {
			return err
		}
		t := newTable(id("stage_id"), col("platform"), col("start_time"), col("complete_time"), col("retry_count"), id("parent_list"),
			id("children_list"), col("stage_status"))
		t.Row(cellsOf(s.StageId, s.Platform, moment(s.Started), moment(s.Ended), fmt.Sprint(s.Retries), strings.Join(s.Parents, ","),
			strings.Join(s.Children, ","), s.State.String())...)
		return t.Write(f.IO)
	})
}
