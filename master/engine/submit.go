package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/master/store"
)

// requests are the submissions under way that have an idempotency key, so that the same key submitted twice at once
// makes one task.
type requests struct {
	mu  sync.Mutex
	key map[string]chan struct{} // closed when the submission is over
}

// enter waits until no other submission has the key. leave must be called after a nil error.
func (r *requests) enter(ctx context.Context, key string) error {
	for {
		r.mu.Lock()
		busy, taken := r.key[key]
		if !taken {
			if r.key == nil {
				r.key = map[string]chan struct{}{}
			}
			r.key[key] = make(chan struct{})
		}
		r.mu.Unlock()
		if !taken {
			return nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *requests) leave(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.key[key])
	delete(r.key, key)
}

// Submit validates a plan and starts it. Everything of it becomes visible at once, when it is durable.
func (e *Engine) Submit(ctx context.Context, s Submission) (*Submitted, error) {
	if err := e.ready(); err != nil {
		return nil, err
	}
	if !s.DryRun {
		if err := e.writable(); err != nil {
			return nil, err
		}
	}
	if s.RequestID != "" && !s.DryRun {
		if err := e.requests.enter(ctx, s.RequestID); err != nil {
			return nil, err
		}
		defer e.requests.leave(s.RequestID)
		if old, err := e.submittedBefore(ctx, s.RequestID); old != nil || err != nil {
			return old, err
		}
	}
	draft, err := e.draft(ctx, &s)
	if err != nil {
		return nil, err
	}
	if s.DryRun {
		return draft.answer(false), nil
	}
	if s.Claim != nil {
		if err := s.Claim(ctx, draft.plan.Task); err != nil {
			return nil, err
		}
	}
	err = e.create(ctx, &s, draft)
	if errors.Is(err, store.ErrExists) && s.RequestID != "" {
		if old, oldErr := e.submittedBefore(ctx, s.RequestID); old != nil || oldErr != nil {
			return old, oldErr
		}
	}
	if err != nil {
		return nil, err
	}
	return draft.answer(true), nil
}

// submittedBefore gives the task of an idempotency key, or nil.
func (e *Engine) submittedBefore(ctx context.Context, request string) (*Submitted, error) {
	name, err := e.cfg.Store.Resolve(ctx, store.Key{Request: request})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look for request %q: %w", request, err)
	}
	t, err := e.header2task(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !t.Status.Terminal() && e.active.get(name) == nil {
		e.shardOf(name).post(&stray{quiet{name}})
	}
	return &Submitted{Task: name, Stages: int(t.Stages)}, nil
}

// draft is a submission that was compiled.
type draft struct {
	source  source
	plan    *dag.Plan
	program dag.Program
	notes   plan.Diagnostics
	stages  int
	// options are those of the task.
	options map[string]string
}

func (d *draft) answer(created bool) *Submitted {
	return &Submitted{Task: d.plan.Task, Created: created, Stages: d.stages, Diagnostics: d.notes}
}

// draft compiles a submission, and says everything that is wrong with it at once.
func (e *Engine) draft(ctx context.Context, s *Submission) (*draft, error) {
	o := s.BuildOptions
	if o.Callbacks == nil {
		o.Callbacks = e.cfg.Callbacks
	}
	if o.Created == 0 {
		o.Created = e.now()
	}
	if o.UID == "" {
		o.UID = newUID()
	}
	if o.Limits.Nodes == 0 {
		o.Limits.Nodes = e.cfg.Limits.Nodes
	}
	if o.Limits.Depth == 0 {
		o.Limits.Depth = e.cfg.Limits.Depth
	}
	doc, ds := e.documents.parse(s.File, s.YAML)
	if doc == nil {
		return nil, invalid(ds, "the plan cannot be read")
	}
	name := s.PlanName
	if name == "" {
		name = doc.Name()
	}
	if err := plan.ValidName(name); err != nil {
		ds = append(ds, plan.Diagnostic{
			Severity: plan.SeverityError, File: s.File, Field: "metadata.name", Message: err.Error(), Rule: "plan-name",
			Hint: "give the submission a valid name",
		})
		name = "plan" // so that the rest can be checked as well
	}
	d := &draft{source: source{File: s.File, Plan: name, YAML: string(s.YAML), Options: o}}
	task, err := e.newName(ctx, name)
	if err != nil {
		return nil, err
	}
	p, program, more := doc.Build(name, task, o)
	a := Admission{Document: doc, Options: s.Options, Labels: doc.Labels(o), Diagnostics: append(ds, more...)}
	d.options, ds = e.cfg.admit(a)
	ds = append(ds, e.checkExecutors(s.File, d.options, p)...)
	if ds.HasErrors() || p == nil {
		return nil, invalid(ds, "the plan cannot be built")
	}
	p.Suspended = p.Suspended || s.Suspended
	d.plan, d.program, d.notes = p, program, ds
	for i := range p.Nodes {
		if !p.Nodes[i].Kind.Group() {
			d.stages++
		}
	}
	return d, nil
}

func invalid(ds plan.Diagnostics, otherwise string) error {
	if !ds.HasErrors() {
		ds = append(ds, plan.Diagnostic{Severity: plan.SeverityError, Message: otherwise, Rule: "plan"})
	}
	return ds.Err()
}

// checkExecutors refuses stages that nothing runs.
func (e *Engine) checkExecutors(file string, options map[string]string, p *dag.Plan) (ds plan.Diagnostics) {
	if p == nil {
		return nil
	}
	task := &dag.Task{Options: options}
	told := map[string]bool{}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.Kind != dag.KindStage || n.Deferred || told[n.Platform] {
			continue
		}
		told[n.Platform] = true
		if name := e.cfg.executorOf(task, n); e.cfg.Executors[name] == nil {
			ds = append(ds, plan.Diagnostic{
				Severity: plan.SeverityError, File: file, Rule: "no-executor",
				Message: fmt.Sprintf("template %q is of platform %q, which executor %q should run, but there is none", n.Template, n.Platform, name),
			})
		}
	}
	return ds
}

// create hands a new run to its shard and waits until it is durable. The expensive part, of which there is much in a
// large plan, is done before, not by the shard.
func (e *Engine) create(ctx context.Context, s *Submission, d *draft) error {
	run, delta, err := dag.New(d.plan, d.program, e.now())
	if err != nil {
		return fmt.Errorf("cannot make task %q: %w", d.plan.Task, err)
	}
	t := run.Task()
	t.Owner, t.Request, t.Options, t.Retain = s.Owner, s.RequestID, d.options, s.Retain
	src, err := d.source.encode()
	if err != nil {
		return fmt.Errorf("cannot store the plan of task %q: %w", t.Name, err)
	}
	nt := newTask(t.Name, run, d.program)
	nt.create = &creation{source: src}
	n := &newcomer{quiet: quiet{t.Name}, call: newCall(), run: nt, delta: delta}
	return e.shardOf(t.Name).await(ctx, n, n.call)
}

// newName makes a task name whose suffix no other task has: stages are found by it.
func (e *Engine) newName(ctx context.Context, planName string) (string, error) {
	for {
		name := plan.TaskName(planName, random8())
		if first, _ := e.active.ofStage(name); first != nil {
			continue
		}
		_, err := e.cfg.Store.Resolve(ctx, store.Key{Suffix: suffixOf(name)})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return name, nil
		case err != nil:
			return "", fmt.Errorf("cannot make a name for a task of plan %q: %w", planName, err)
		}
	}
}

func random8() (b [8]byte) {
	rand.Read(b[:]) // never fails: see crypto/rand
	return b
}

// newUID makes an identifier in the form of a random UUID.
func newUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
