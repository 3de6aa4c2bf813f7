package old

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
	"github.com/clic-orchestrator/clic/shell/result"
	"github.com/clic-orchestrator/clic/shell/submit"
)

func newCmdSubmit(f *factory.Factory) *cobra.Command {
	return &cobra.Command{
		Use: "submit {NAME PLAN | JAR}", Short: "Submit a plan",
		Args: func(cmd *cobra.Command, a []string) error {
			if len(a) == 1 && submit.IsJar(a[0]) {
				return nil
			}
			if len(a) != 2 {
				return exit.With(exit.Usage, errors.New("-submit needs a name and a plan, or a .jar"),
					`"clic -submit NAME PLAN.yaml" or "clic -submit PLAN.jar"`)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, a []string) error {
			if len(a) == 1 {
				return submit.RunJar(cmd.Context(), f.IO, a[0])
			}
			c, err := f.Client()
			if err != nil {
				return err
			}
			task, err := submitted(cmd.Context(), f, c, a[0], a[1])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(f.IO.Out, "%s has been submitted\n", task)
			return err
		},
	}
}

// submitted sends the plan's text where the file can be read here, else its path: the master may have the file.
func submitted(ctx context.Context, f *factory.Factory, c *client.Client, name, path string) (task string, err error) {
	if file, err := os.Open(path); err != nil {
		return byPath(ctx, c, name, path, err)
	} else if err := file.Close(); err != nil {
		return "", err
	}
	text, _, err := submit.ReadPlan(f.IO, path)
	if err != nil {
		return "", err
	}
	s := &master.Submission{PlanName: name, Plan: text, FileName: &path, RequestId: new(submit.NewRequestID())}
	if who := f.Who(); who != "" {
		s.Owner = &who
	}
	answer, err := c.Submit(ctx, s)
	if err != nil {
		return "", err
	}
	style := f.IO.ErrStyle()
	for _, d := range answer.Diagnostics {
		if d.Severity != "note" {
			fmt.Fprintln(f.IO.Err, exit.DiagnosticLine(d, style))
		}
	}
	return answer.TaskName, nil
}

// byPath uses the old call, which does not say what the task is called: it is the one that was not there before.
func byPath(ctx context.Context, c *client.Client, name, path string, here error) (task string, err error) {
	before, err := newest(ctx, c, name)
	if err != nil {
		return "", err
	}
	if err := c.SubmitPlan(ctx, name, path); err != nil {
		if exit.Status(err) == exit.Unreachable {
			return "", err
		}
		return "", fmt.Errorf("the plan cannot be read here (%w), nor did the master take it: %w", errors.Unwrap(here), err)
	}
	after, err := newest(ctx, c, name)
	if err != nil {
		return "", err
	}
	for _, t := range after {
		if !slices.Contains(before, t) {
			return t, nil
		}
	}
	return strings.ToLower(name), nil
}

// newest gives the newest tasks of a plan, newest first.
func newest(ctx context.Context, c *client.Client, plan string) ([]string, error) {
	page, err := c.ListTasks(ctx, &master.TaskQuery{Plan: new(strings.ToLower(plan))})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range page.Tasks {
		names = append(names, t.TaskName)
	}
	return names, nil
}

func newCmdStageResult(f *factory.Factory) *cobra.Command {
	const lines = 10 // as in the old shell
	return command(f, "stage_result STAGE [LINES]", "Show the result of a stage", args.Between(1, "STAGE", "LINES"),
		func(ctx context.Context, c *client.Client, a []string) error {
			n := lines
			if len(a) == 2 {
				var err error
				if n, err = strconv.Atoi(a[1]); err != nil || n < 0 {
					return exit.Usagef("%q is not a number of lines", a[1])
				}
			}
			s, err := resolve.Stage(ctx, c, a[0])
			if err != nil {
				return err
			}
			p, err := c.PreviewResult(ctx, s.StageId, int32(min(n, 1<<20)))
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(f.IO.Out, p.Result_.Path); err != nil {
				return err
			}
			for _, line := range p.Lines {
				if f.IO.OutTerminal {
					line = output.Clean(line)
				}
				if _, err := fmt.Fprintln(f.IO.Out, line); err != nil {
					return err
				}
			}
			if note := result.Note(p.Result_); note != "" {
				_, err = fmt.Fprintln(f.IO.Err, note)
			}
			return err
		})
}

func newCmdSuspend(f *factory.Factory) *cobra.Command {
	return command(f, "suspend_stage STAGE", "Suspend a stage and what depends on it", args.Exactly("STAGE"),
		func(ctx context.Context, c *client.Client, a []string) error {
			s, err := resolve.Stage(ctx, c, a[0])
			if err != nil {
				return err
			}
			if _, err := c.Suspend(ctx, s.StageId, master.HoldMode_HOLD, "", 0, f.Who()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(f.IO.Out, "%s has been suspended\n", s.StageId)
			return err
		})
}

func newCmdContinue(f *factory.Factory) *cobra.Command {
	return command(f, "continue_stage STAGE", "Continue a suspended stage", args.Exactly("STAGE"),
		func(ctx context.Context, c *client.Client, a []string) error {
			s, err := resolve.Stage(ctx, c, a[0])
			if err != nil {
				return err
			}
			if err := c.Resume(ctx, s.StageId, f.Who()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(f.IO.Out, "%s has been continued\n", s.StageId)
			return err
		})
}
