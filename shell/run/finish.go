package run

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/follow"
	"github.com/clic-orchestrator/clic/shell/output"
)

const (
	// tail is how many lines of a failed stage's output are shown; shown how many failed stages, and how many results.
	tail  = 20
	shown = 10
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
		log, err := c.ReadLog(ctx, &master.LogRequest{StageId: s.StageId, TailLines: new(int32(tail)), Limit: new(int32(logBytes))})
		if err != nil {
			continue // a stage that was never launched has printed nothing
		}
		for line := range strings.Lines(string(log.Data)) {
			b.WriteString("  " + style.Dim("|") + " " + strings.TrimRight(line, "\r\n") + "\n")
		}
	}
	_, err = io.WriteString(opts.IO.Err, b.String())
	return err
}

// results prints where the results of the plan are: those of the stages that nothing depends on.
func results(ctx context.Context, opts *RunOptions, c *client.Client, t *master.TaskInfo) error {
	page, err := c.ListStages(ctx, &master.StageQuery{
		TaskName: t.TaskName, States: []master.StageState{master.StageState_COMPLETED}, Limit: new(int32(1000)),
	})
	if err != nil {
		return err
	}
	n := 0
	for _, s := range page.Stages {
		if len(s.Children) > 0 || n == shown {
			continue
		}
		r, err := c.GetResult(ctx, s.StageId)
		if err != nil || r.Path == "" {
			continue // most stages have none
		}
		n++
		if _, err := fmt.Fprintf(opts.IO.Err, "Result of %s: %s\n", s.Name, output.Clean(r.Path)); err != nil {
			return err
		}
	}
	return nil
}
