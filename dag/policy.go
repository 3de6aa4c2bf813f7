package dag

import "math"

// verdict is what a retry policy decides.
type verdict struct {
	again bool
	// free repeats without spending a retry.
	free  bool
	delay Duration
	// message is the node's, where nothing is repeated.
	message string
}

// Delays between repetitions of attempts that never started, in milliseconds.
const (
	unstartedBase Duration = 1_000
	unstartedCap  Duration = 60_000
)

// decide applies the retry policy to an attempt that ended with f.
func (r *Run) decide(n *Node, f *Failure, random float64) verdict {
	if r.task.Stop != nil || r.beingStopped(n.Spec.Parent) {
		return verdict{message: f.Message}
	}
	p := n.Spec.Policy
	if p == nil {
		p = &Policy{}
	}
	if n.neverStarted(f) && n.Unstarted < p.unstarted() {
		return verdict{again: true, free: true, delay: backoff(unstartedBase, 2, unstartedCap, n.Unstarted)}
	}
	if p.Retry == nil || f.Permanent || !p.Retry.covers(f) || p.barredAfterStart(n) {
		return verdict{message: f.Message}
	}
	return r.decideTry(n, p.Retry, f, random)
}

func (r *Run) decideTry(n *Node, p *Retry, f *Failure, random float64) verdict {
	tries := n.Tries - n.TriesBase
	if p.Limit >= 0 && tries >= p.Limit {
		return verdict{message: "No more retries left"}
	}
	if p.Within > 0 && n.FirstStarted > 0 && r.step.now-n.FirstStarted >= Time(p.Within) {
		return verdict{message: "Max duration limit exceeded"}
	}
	if p.Expression && r.x != nil {
		ok, err := r.x.RetryAllowed(r, n.Index, f)
		if err != nil {
			return verdict{message: "cannot evaluate retryStrategy.expression: " + err.Error()}
		}
		if !ok {
			return verdict{message: "retryStrategy.expression evaluated to false"}
		}
	}
	d := backoff(p.Base, p.Factor, p.Cap, tries)
	if p.Jitter > 0 && random > 0 && random < 1 {
		d -= Duration(float64(d) * math.Min(p.Jitter, 1) * random)
	}
	return verdict{again: true, delay: d}
}

// neverStarted reports whether the attempt cannot have done anything: it never was seen to run.
func (n *Node) neverStarted(f *Failure) bool {
	if n.Spec.Kind != KindStage || f.Permanent || n.Seen&(SeenStarted|SeenRunning|SeenPrepared|SeenCompleted) != 0 {
		return false
	}
	return f.Kind == FailLaunch || f.Kind == FailEvicted || f.Kind == FailLost
}

func (p *Policy) unstarted() int32 {
	switch {
	case p.Unstarted < 0:
		return 0
	case p.Unstarted == 0:
		return DefaultUnstarted
	}
	return p.Unstarted
}

// barredAfterStart: a stage of the CLIC form appends to its output, so that once it has started it is repeated only
// where the plan or the configuration asks for exactly that.
func (p *Policy) barredAfterStart(n *Node) bool {
	return p.Callbacks != CallbacksNone && n.Seen&SeenStarted != 0 && !p.Retry.Started
}

func (p *Retry) covers(f *Failure) bool {
	if p.Kinds != 0 && p.Kinds&(1<<f.Kind) == 0 {
		return false
	}
	if !p.Failed && !p.Errored {
		return true
	}
	return f.Errored && p.Errored || !f.Errored && p.Failed
}

// backoff is base*factor^n, at most limit where that is not 0.
func backoff(base Duration, factor float64, limit Duration, n int32) Duration {
	if base <= 0 {
		return 0
	}
	d := float64(base)
	if factor > 0 {
		d *= math.Pow(factor, float64(n))
	}
	const longest = float64(1000 * 60 * 60 * 24 * 365)
	if limit > 0 && d > float64(limit) {
		d = float64(limit)
	}
	if d > longest {
		d = longest
	}
	return Duration(d)
}

// beingStopped reports whether a group around is being cancelled or failed.
func (r *Run) beingStopped(g int32) bool {
	for ; g != NoParent; g = r.nodes[g].Spec.Parent {
		if r.nodes[g].Intent != IntentNone {
			return true
		}
	}
	return false
}
