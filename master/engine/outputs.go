package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
)

// DeclaredOutput is an output that a stage's plan declares.
type DeclaredOutput struct {
	StageID string
	// Path may have parts that are not known yet, as {{…}}.
	Path string
	// Publish and Expire are the plan's: see dag.Output.
	Publish, Expire bool
	// Attempts are those that were launched.
	Attempts []string
}

// TaskOutputs are all outputs of a task.
type TaskOutputs struct {
	Declared []DeclaredOutput
	// Open are those that stages may declare which do not exist yet, as the plan's templates have them; none once the task has ended.
	Open []string
}

// Outputs gives the outputs that the plan of a task declares, as far as the store knows the task.
func (e *Engine) Outputs(ctx context.Context, name string) (*TaskOutputs, error) {
	rec, err := e.cfg.Store.Load(ctx, name)
	if err != nil {
		return nil, readError("task", name, err)
	}
	src, err := decodeSource(rec.Source)
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", name, err)
	}
	all := &TaskOutputs{}
	if !strings.Contains(src.YAML, plan.AnnotationOutput) {
		return all, nil
	}
	run, err := dag.Load(rec.Header.Body, records(rec), nil)
	if err != nil {
		return nil, fmt.Errorf("cannot load task %q: %w", name, err)
	}
	doc, ds := plan.Parse(src.File, []byte(src.YAML))
	if doc == nil || ds.HasErrors() {
		return nil, fmt.Errorf("cannot compile the plan of task %q again: %w", name, ds.Err())
	}
	_, program, more := doc.Build(src.Plan, name, src.Options)
	if err := more.Err(); err != nil {
		return nil, fmt.Errorf("cannot compile the plan of task %q again: %w", name, err)
	}
	for i := range int32(run.Len()) {
		n := run.Node(i)
		if n.Spec.Kind != dag.KindStage {
			continue
		}
		spec, err := program.Stage(run, i)
		if err != nil || spec.Output == nil || spec.Output.Path == "" {
			continue // what cannot be filled in yet is among the open ones
		}
		out := DeclaredOutput{StageID: n.Spec.ID, Path: spec.Output.Path, Publish: spec.Output.Publish, Expire: spec.Output.Expire}
		if n.Launched != 0 || n.Attempt != 0 {
			for a := range n.Attempt + 1 {
				out.Attempts = append(out.Attempts, dag.AttemptID(n.Spec.ID, a))
			}
		}
		all.Declared = append(all.Declared, out)
	}
	if !run.Task().Status.Terminal() {
		for _, path := range doc.Outputs() {
			all.Open = append(all.Open, strings.ReplaceAll(path, "{{workflow.name}}", name))
		}
	}
	return all, nil
}

// forgetting tells of tasks that are about to be deleted.
func (e *Engine) forgetting(ctx context.Context, tasks []string) {
	if e.cfg.Forgetting != nil && len(tasks) > 0 {
		e.cfg.Forgetting(ctx, tasks)
	}
}
