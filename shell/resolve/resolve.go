// Package resolve turns what people type into full names. A task is named by its full name or by the beginning of it
// that no other task shares (the plan's name, most often). A stage is named by its id, or as TASK/NAME, NAME being its
// name or path in the plan.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/exit"
)

// depth is how many of the newest tasks are compared with a prefix; pageSize how many are asked for at once; shown how
// many candidates are printed.
const (
	depth    = 10_000
	pageSize = 1000
	shown    = 8
)

// Service is what is needed of the master.
type Service interface {
	GetTask(ctx context.Context, taskName string) (*master.TaskInfo, error)
	ListTasks(ctx context.Context, query *master.TaskQuery) (*master.TaskPage, error)
	GetStage(ctx context.Context, stageID string) (*master.StageInfo, error)
	ListStages(ctx context.Context, query *master.StageQuery) (*master.StagePage, error)
}

// Task gives the task that ref names.
func Task(ctx context.Context, c Service, ref string) (*master.TaskInfo, error) {
	if ref == "" {
		return nil, exit.Usagef("the task's name is empty")
	}
	t, err := c.GetTask(ctx, ref)
	if client.Code(err) != base.ErrorCode_NOT_FOUND {
		return t, err
	}
	found, err := byPrefix(ctx, c, ref)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, noTask(ref)
	case 1:
		return found[0], nil
	}
	return nil, ambiguous(ref, found)
}

// TaskName is Task for callers who need the name only. A full name is not looked up twice.
func TaskName(ctx context.Context, c Service, ref string) (string, error) {
	t, err := Task(ctx, c, ref)
	if err != nil {
		return "", err
	}
	return t.TaskName, nil
}

func byPrefix(ctx context.Context, c Service, prefix string) ([]*master.TaskInfo, error) {
	var found []*master.TaskInfo
	q := &master.TaskQuery{Limit: new(int32(pageSize))}
	for seen := 0; seen < depth; {
		page, err := c.ListTasks(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Tasks {
			if strings.HasPrefix(t.TaskName, strings.ToLower(prefix)) {
				found = append(found, t)
			}
		}
		seen += len(page.Tasks)
		if page.NextCursor == "" || len(page.Tasks) == 0 {
			break
		}
		q.Cursor = &page.NextCursor
	}
	return found, nil
}

func noTask(ref string) error {
	return exit.With(exit.NotFound, fmt.Errorf("there is no task %q", ref), `"clic list" shows all tasks`)
}

func ambiguous(ref string, found []*master.TaskInfo) error {
	var names []string
	for _, t := range found[:min(len(found), shown)] {
		names = append(names, fmt.Sprintf("\n  %s  (%s)", t.TaskName, t.State))
	}
	more := ""
	if n := len(found) - shown; n > 0 {
		more = fmt.Sprintf("\n  … and %d more", n)
	}
	return exit.Usagef("%d tasks begin with %q, newest first:%s%s\nname one of them in full", len(found), ref,
		strings.Join(names, ""), more)
}

// Stage gives the stage that ref names.
func Stage(ctx context.Context, c Service, ref string) (*master.StageInfo, error) {
	s, err := c.GetStage(ctx, ref)
	if client.Code(err) != base.ErrorCode_NOT_FOUND {
		return s, err
	}
	if task, name, found := strings.Cut(ref, "/"); found {
		return inTask(ctx, c, task, name)
	}
	return nil, exit.With(exit.NotFound, fmt.Errorf("there is no stage %q", ref),
		`"clic stages TASK" shows the stages of a task (TASK/NAME names a stage by its name in the plan)`)
}

// inTask looks for a stage by its name or path.
func inTask(ctx context.Context, c Service, taskRef, name string) (*master.StageInfo, error) {
	task, err := TaskName(ctx, c, taskRef)
	if err != nil {
		return nil, err
	}
	var found []*master.StageInfo
	var names []string
	err = EachStage(ctx, c, &master.StageQuery{TaskName: task, Groups: new(true)}, func(s *master.StageInfo) bool {
		if strings.TrimPrefix(s.Path, ".") == strings.TrimPrefix(name, ".") || s.StageId == task+"-"+name {
			found = []*master.StageInfo{s} // a path is unique
			return false
		}
		if s.Name == name {
			found = append(found, s)
		}
		if len(names) < shown {
			names = append(names, s.Name)
		}
		return true
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return nil, exit.With(exit.NotFound, fmt.Errorf("task %s has no stage %q", task, name),
			fmt.Sprintf("it has %s; \"clic stages %s\" shows all", strings.Join(slices.Compact(names), ", "), task))
	}
	var ids []string
	for _, s := range found[:min(len(found), shown)] {
		ids = append(ids, "\n  "+s.StageId)
	}
	return nil, exit.Usagef("%d stages of task %s are called %q:%s\nname one of them by its id", len(found), task, name,
		strings.Join(ids, ""))
}

// Target is a task or a stage: exactly one is set.
type Target struct {
	Task  *master.TaskInfo
	Stage *master.StageInfo
}

// Name is the full name of either.
func (t Target) Name() string {
	if t.Stage != nil {
		return t.Stage.StageId
	}
	return t.Task.TaskName
}

// Either gives the task or the stage that ref names; an exact name of either goes before the beginning of a task's.
func Either(ctx context.Context, c Service, ref string) (Target, error) {
	task, err := c.GetTask(ctx, ref)
	if client.Code(err) != base.ErrorCode_NOT_FOUND {
		return Target{Task: task}, err
	}
	stage, err := Stage(ctx, c, ref)
	if err == nil {
		return Target{Stage: stage}, nil
	}
	if exit.Status(err) != exit.NotFound || strings.Contains(ref, "/") {
		return Target{}, err
	}
	task, err = Task(ctx, c, ref)
	if e, ok := errors.AsType[*exit.Error](err); ok && e.Status == exit.NotFound {
		err = exit.With(exit.NotFound, fmt.Errorf("there is no task or stage %q", ref),
			`"clic list" shows the tasks, "clic stages TASK" the stages of one`)
	}
	return Target{Task: task}, err
}

// EachStage calls f for every stage of a query, page by page, until f says no.
func EachStage(ctx context.Context, c Service, q *master.StageQuery, f func(*master.StageInfo) bool) error {
	for {
		page, err := c.ListStages(ctx, q)
		if err != nil {
			return err
		}
		for _, s := range page.Stages {
			if !f(s) {
				return nil
			}
		}
		if page.NextAfter < 0 {
			return nil
		}
		q.After = &page.NextAfter
	}
}

// Stages gives all stages of a query.
func Stages(ctx context.Context, c Service, q *master.StageQuery) ([]*master.StageInfo, error) {
	var all []*master.StageInfo
	err := EachStage(ctx, c, q, func(s *master.StageInfo) bool {
		all = append(all, s)
		return true
	})
	return all, err
}
