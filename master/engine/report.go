package engine

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/clic-orchestrator/clic/dag"
)

// token proves that a callback comes from an attempt: a keyed hash of the attempt's id.
func (e *Engine) token(attemptID string) string {
	if len(e.cfg.TokenKey) == 0 {
		return ""
	}
	m := hmac.New(sha256.New, e.cfg.TokenKey)
	m.Write([]byte(attemptID))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:18])
}

func (e *Engine) tokenFits(token, stageID string, attempt int32) bool {
	want := e.token(dag.AttemptID(stageID, attempt))
	return want == "" || hmac.Equal([]byte(token), []byte(want))
}

// report is a callback on its way through the shard.
type report struct {
	quiet
	call
	r        *StageReport
	accepted bool
	cancel   bool
}

func (p *report) absent() (bool, error) { return false, errNotActive }

func (p *report) event(s *shard, t *task, now dag.Time) (dag.Event, error) {
	i, err := t.run.Find(p.r.StageID)
	if err != nil {
		return nil, err
	}
	n := t.run.Node(i)
	if n.Spec.Kind != dag.KindStage {
		return nil, &dag.Refusal{Reason: fmt.Sprintf("%q is a group, not a stage", p.r.StageID)}
	}
	attempt := p.r.Attempt
	if attempt < 0 {
		attempt = n.Attempt
	}
	if p.r.Token != "" && !s.e.tokenFits(p.r.Token, p.r.StageID, attempt) {
		return nil, fmt.Errorf("report for stage %q, attempt %d: %w", p.r.StageID, attempt, ErrToken)
	}
	if attempt > n.Attempt {
		return nil, &dag.Refusal{Reason: fmt.Sprintf("stage %q has no attempt %d yet", p.r.StageID, attempt)}
	}
	return dag.Report{
		At: now, Node: i, Attempt: p.r.Attempt, What: p.r.What, Failure: p.r.Failure, Outputs: p.r.Outputs,
		Progress: p.r.Progress, Info: p.r.Info,
	}, nil
}

func (p *report) done(t *task, d dag.Delta, err error) {
	if err == nil && t != nil {
		p.accepted = !d.Empty()
		if i, ferr := t.run.Find(p.r.StageID); ferr == nil {
			n := t.run.Node(i)
			p.cancel = n.Status == dag.Cancelling || n.Status == dag.Cancelled || p.r.Attempt >= 0 && p.r.Attempt != n.Attempt
		}
	}
	p.answer(err)
}

// Report takes a callback of a stage program. When it returns without an error, what it reported is durable.
func (e *Engine) Report(ctx context.Context, r StageReport) (accepted, cancelRequested bool, err error) {
	if err := e.ready(); err != nil {
		return false, false, err
	}
	first, others := e.active.ofStage(r.StageID)
	if first != nil {
		p, err := e.reportTo(ctx, first, &r)
		for _, a := range others {
			if !errors.Is(err, errNotActive) && !errors.Is(err, dag.ErrUnknownNode) {
				break
			}
			p, err = e.reportTo(ctx, a, &r)
		}
		if !errors.Is(err, errNotActive) && !errors.Is(err, dag.ErrUnknownNode) {
			if err != nil {
				return false, false, err // p still belongs to the shard
			}
			return p.accepted, p.cancel, nil
		}
	}
	// What has ended takes no reports: it is only asked whether there is such a stage at all.
	f, i, err := e.endedStage(ctx, r.StageID)
	if err != nil {
		return false, false, err
	}
	defer f.unlock()
	// A task that goes on is another leader's, or about to be this one's: it must not be told that it is too late.
	if err := e.lostLead(); err != nil {
		return false, false, e.stopped()
	}
	if !f.run.Task().Status.Terminal() {
		return false, false, fmt.Errorf("task %q is not run by this master yet: %w", f.name, ErrStopping)
	}
	n := f.run.Node(i)
	attempt := r.Attempt
	if attempt < 0 {
		attempt = n.Attempt
	}
	if r.Token != "" && !e.tokenFits(r.Token, r.StageID, attempt) {
		return false, false, fmt.Errorf("report for stage %q, attempt %d: %w", r.StageID, attempt, ErrToken)
	}
	return false, n.Status == dag.Cancelled, nil
}

func (e *Engine) reportTo(ctx context.Context, a *activeTask, r *StageReport) (*report, error) {
	p := &report{quiet: quiet{a.name}, call: newCall(), r: r}
	return p, a.shard.await(ctx, p, p.call)
}

// unknownStage is the answer for ids that nothing has.
func unknownStage(id string) error { return fmt.Errorf("%w %q", dag.ErrUnknownNode, id) }
