package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

// Attend follows a task with Until and says on the error output how it ended, or that it goes on where the user interrupted.
// The error is the task's outcome (see Outcome), or what came between.
func Attend(ctx context.Context, o Options) error {
	resized, stop := iostreams.Resized()
	defer stop()
	o.Resized = resized
	t, err := Until(ctx, o)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			fmt.Fprintf(o.IO.Err, "The task goes on; see it with: clic watch %s\n", o.Task)
			return exit.Silent(exit.Interrupted)
		}
		return err
	}
	if o.Mode != JSON {
		if err := Summary(ctx, o.IO, o.Service, t, nil); err != nil {
			return err
		}
	}
	return Outcome(t)
}

// failures is how many failed stages a summary names.
const failures = 5

// Summary says on the error output how a task ended and, where it failed, which stages did and how to see more.
// logs gives the command that shows a stage's log; nil for "clic logs STAGE".
func Summary(ctx context.Context, s *iostreams.Streams, c Service, t *master.TaskInfo, logs func(stageID string) string) error {
	style := s.ErrStyle()
	var b strings.Builder
	state := t.State.String()
	fmt.Fprintf(&b, "Task %s %s", t.TaskName, style.For(state)(strings.ToLower(state)))
	if t.Started != 0 && t.Ended != 0 {
		fmt.Fprintf(&b, " after %s", output.Duration(client.Millis(t.Ended).Sub(client.Millis(t.Started))))
	}
	if m := output.Clean(t.Message); m != "" {
		b.WriteString(": " + m)
	}
	b.WriteByte('\n')
	if t.State == master.TaskState_FAILED {
		if err := failed(ctx, &b, style, c, t, logs); err != nil {
			return err
		}
	}
	_, err := io.WriteString(s.Err, b.String())
	return err
}

func failed(ctx context.Context, b *strings.Builder, style iostreams.Style, c Service, t *master.TaskInfo, logs func(string) string) error {
	if logs == nil {
		logs = func(stageID string) string { return "clic logs " + stageID }
	}
	page, err := c.ListStages(ctx, &master.StageQuery{
		TaskName: t.TaskName, States: []master.StageState{master.StageState_FAILED}, Limit: new(int32(failures + 1)),
	})
	if err != nil {
		return err
	}
	for i, s := range page.Stages {
		if i == failures {
			fmt.Fprintf(b, "  … more: clic stages %s --status failed\n", t.TaskName)
			break
		}
		fmt.Fprintf(b, "  %s %s", style.Red("failed:"), s.StageId)
		if d := output.Clean(Detail(s)); d != "" {
			b.WriteString(": " + d)
		}
		b.WriteString("\n          " + style.Dim(logs(s.StageId)) + "\n")
	}
	return nil
}
