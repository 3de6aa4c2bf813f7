package engine

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/master/store"
)

// sourceVersion is the version of the envelope in which a submission is stored.
const sourceVersion = 1

// source is what a task was submitted as: all that is needed to compile its plan again. It is stored once, as JSON.
type source struct {
	Version int               `json:"v"`
	File    string            `json:"file,omitempty"`
	Plan    string            `json:"plan"`
	YAML    string            `json:"yaml"`
	Options plan.BuildOptions `json:"options,omitzero"`
}

func (s *source) encode() ([]byte, error) {
	s.Version = sourceVersion
	return json.Marshal(s)
}

func decodeSource(b []byte) (*source, error) {
	var s source
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("cannot read the stored plan: %w", err)
	}
	if s.Version > sourceVersion {
		return nil, fmt.Errorf("stored plan has version %d, this program knows %d: %w", s.Version, sourceVersion, store.ErrNewer)
	}
	return &s, nil
}

// compile makes the plan of a task from its source.
func (d *documents) compile(task string, s *source) (*dag.Plan, dag.Program, plan.Diagnostics) {
	doc, ds := d.parse(s.File, []byte(s.YAML))
	if doc == nil || ds.HasErrors() {
		return nil, nil, ds
	}
	p, program, more := doc.Build(s.Plan, task, s.Options)
	return p, program, append(ds, more...)
}

// load reads an unfinished task, so that it can go on.
func (e *Engine) load(ctx context.Context, name string) (*task, error) {
	rec, err := e.cfg.Store.Load(ctx, name)
	if err != nil {
		return nil, readError("task", name, err)
	}
	return e.revive(rec)
}

// revive makes an active run from a stored record.
func (e *Engine) revive(rec *store.Record) (t *task, err error) {
	name := rec.Header.Task
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot load task %q: panic: %v", name, r)
		}
	}()
	src, err := decodeSource(rec.Source)
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", name, err)
	}
	_, program, ds := e.documents.compile(name, src)
	if err := ds.Err(); err != nil {
		return nil, fmt.Errorf("cannot compile the plan of task %q again: %w", name, err)
	}
	run, err := dag.Load(rec.Header.Body, records(rec), program)
	if err != nil {
		return nil, fmt.Errorf("cannot load task %q: %w", name, err)
	}
	t = newTask(name, run, program)
	t.seq, t.revision = rec.LastSeq, rec.Revision
	return t, nil
}

func records(rec *store.Record) []dag.Record {
	nodes := make([]dag.Record, len(rec.Nodes))
	for i, n := range rec.Nodes {
		nodes[i] = dag.Record{Spec: n.Spec, State: n.State}
	}
	return nodes
}
