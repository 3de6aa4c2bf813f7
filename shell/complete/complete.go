// Package complete proposes names of tasks and stages to the user's shell while a command line is typed.
package complete

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/resolve"
)

const (
	// patience is how long somebody who presses Tab may be kept waiting.
	patience = 2 * time.Second
	// most is how many names are proposed.
	most = 200
)

// Func is what cobra asks for proposals.
type Func = func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective)

// Tasks proposes tasks, for the first argument only.
func Tasks(f *factory.Factory) Func {
	return first(tasks, f)
}

// Stages proposes tasks, and the stages of a task once there is no doubt which.
func Stages(f *factory.Factory) Func { return first(stages, f) }

func first(propose func(context.Context, *client.Client, string) []cobra.Completion, f *factory.Factory) Func {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 {
			return nil, directive
		}
		c, err := f.Client()
		if err != nil {
			return nil, directive // nowhere to show an error, and nothing to propose
		}
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, patience)
		defer cancel()
		return propose(ctx, c, typed), directive
	}
}

func tasks(ctx context.Context, c *client.Client, typed string) []cobra.Completion {
	page, err := c.ListTasks(ctx, &master.TaskQuery{Limit: new(int32(most))})
	if err != nil {
		return nil
	}
	var names []cobra.Completion
	for _, t := range page.Tasks {
		if strings.HasPrefix(t.TaskName, typed) {
			names = append(names, cobra.CompletionWithDesc(t.TaskName, t.State.String()))
		}
	}
	return names
}

func stages(ctx context.Context, c *client.Client, typed string) []cobra.Completion {
	names := tasks(ctx, c, typed)
	if len(names) > 1 {
		return names
	}
	// At most one task is left: what was typed is the beginning of its name, or its name and more.
	page, err := c.ListTasks(ctx, &master.TaskQuery{Limit: new(int32(most))})
	if err != nil {
		return names
	}
	for _, t := range page.Tasks {
		if !strings.HasPrefix(typed, t.TaskName) && !(len(names) == 1 && strings.HasPrefix(t.TaskName, typed)) {
			continue
		}
		_ = resolve.EachStage(ctx, c, &master.StageQuery{TaskName: t.TaskName, Limit: new(int32(most))}, func(s *master.StageInfo) bool {
			if strings.HasPrefix(s.StageId, typed) {
				names = append(names, cobra.CompletionWithDesc(s.StageId, describe(s)))
			}
			return len(names) < most
		})
	}
	return names
}

func describe(s *master.StageInfo) string { return s.State.String() + " " + s.Name }
