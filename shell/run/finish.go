package run

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/follow"
	"github.com/clic-orchestrator/clic/shell/output"
)

const (
	// tail is how many lines of a failed stage's output are shown; shown how many failed stages, and how many results.
	tail = 20
	// printed is of how many completed stages the output is shown.
	shown   = 10
	printed = 3
	// logBytes bounds what is read of a log.
	logBytes = 64 << 10
)

// finish says how it ended: what failed stages printed last, or where the results are. The master is still there.
func finish(ctx context.Context, opts *RunOptions, c *client.Client, t *master.TaskInfo) error {
	if opts.Format == output.JSON {
		return nil
	}
	if t.State == master.TaskState_FAILED {
		if err := failures(ctx, opts, c, t); err != nil {
			return err
		}
	}
	if err := follow.Summary(ctx, opts.IO, silent{c}, t, nil); err != nil {
		return err
	}
	if t.State == master.TaskState_COMPLETED && !opts.Quiet {
		return results(ctx, opts, c, t)
	}
	return nil
}

// silent lists no stages: what failed has been shown, and "clic logs" would find no master.
type silent struct{ *client.Client }

// ListStages gives an empty page.
func (silent) ListStages(context.Context, *master.StageQuery) (*master.StagePage, error) {
	return &master.StagePage{NextAfter: -1}, nil
}

func failures(ctx context.Context, opts *RunOptions, c *client.Client, t *master.TaskInfo) error {
	page, err := c.ListStages(ctx, &master.StageQuery{
		TaskName: t.TaskName, States: []master.StageState{master.StageState_FAILED}, Limit: new(int32(shown)),
	})
	if err != nil {
		return err
	}
	style := opts.IO.ErrStyle()
	var b strings.Builder
	for _, s := range page.Stages {
		fmt.Fprintf(&b, "%s %s: %s\n", style.Red("failed:"), s.StageId, output.Clean(follow.Detail(s)))
		b.WriteString(lastLines(ctx, opts, c, s.StageId))
	}
	_, err = io.WriteString(opts.IO.Err, b.String())
	return err
}

// lastLines is what a stage printed last, marked and indented; "" for one that was never launched or printed nothing.
func lastLines(ctx context.Context, opts *RunOptions, c *client.Client, stageID string) string {
	log, err := c.ReadLog(ctx, &master.LogRequest{StageId: stageID, TailLines: new(int32(tail)), Limit: new(int32(logBytes))})
	if err != nil {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(string(log.Data)) {
		b.WriteString("  " + opts.IO.ErrStyle().Dim("|") + " " + strings.TrimRight(line, "\r\n") + "\n")
	}
	return b.String()
}

// results prints what came of the plan: where the results of the stages are that nothing depends on, and what those
// without a result printed that ended last, because their output is removed with the private master.
func results(ctx context.Context, opts *RunOptions, c *client.Client, t *master.TaskInfo) error {
	page, err := c.ListStages(ctx, &master.StageQuery{
		TaskName: t.TaskName, States: []master.StageState{master.StageState_COMPLETED}, Limit: new(int32(1000)),
	})
	if err != nil {
		return err
	}
	var b strings.Builder
	n := 0
	var others []*master.StageInfo
	for _, s := range page.Stages {
		if len(s.Children) > 0 {
			continue
		}
		if r, err := c.GetResult(ctx, s.StageId); err != nil || r.Path == "" {
			others = append(others, s)
		} else if n++; n <= shown {
			fmt.Fprintf(&b, "Result of %s: %s\n", s.Name, output.Clean(r.Path))
		}
	}
	slices.SortStableFunc(others, func(x, y *master.StageInfo) int { return cmp.Compare(x.Ended, y.Ended) })
	if more := len(others) - printed; more > 0 {
		others = others[more:]
	}
	for _, s := range others {
		if lines := lastLines(ctx, opts, c, s.StageId); lines != "" {
			fmt.Fprintf(&b, "%s printed:\n%s", s.Name, lines)
		}
	}
	_, err = io.WriteString(opts.IO.Err, b.String())
	return err
}
