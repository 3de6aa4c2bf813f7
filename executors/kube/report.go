package kube

import (
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// report looks at what changed, and tells the sink.
func (e *Executor) report() {
	for {
		key, shut := e.news.Get()
		if shut {
			return
		}
		e.reportOne(key)
		e.news.Done(key)
	}
}

func (e *Executor) reportOne(key string) {
	e.mu.Lock()
	at := e.attempts[key]
	if at == nil {
		e.mu.Unlock()
		e.unasked(key)
		return
	}
	s, known, over := e.judge(at)
	news := known && (at.again || !same(s, at.said))
	if known {
		at.said, at.again = s, at.again && !news
	}
	e.mu.Unlock()
	if news {
		if e.ctx.Err() != nil {
			return
		}
		if over {
			e.beforeEnd(at, &s)
		}
		if err := e.sink(e.ctx, s); err != nil {
			if e.ctx.Err() == nil {
				e.cfg.Logger.Error("nobody takes reports any more", "error", err)
			}
			e.cancel()
			return
		}
	}
	if over {
		e.forgetAttempt(at)
	}
}

// forgetAttempt stops watching an attempt whose end was reported, unless it is asked about again.
func (e *Executor) forgetAttempt(at *attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case at.again:
		e.news.Add(at.key)
	case at.launching == 0 && e.attempts[at.key] == at:
		delete(e.attempts, at.key)
	}
}

// same reports whether nothing is new in a report.
func same(a, b executors.Sighting) bool {
	return a.Phase == b.Phase && a.Reason == b.Reason && a.Info == b.Info && a.Started.Equal(b.Started) && a.AttemptID == b.AttemptID &&
		a.Kept == b.Kept
}

// judge says what to report of an attempt, if anything, and whether that is its end. The lock is held.
func (e *Executor) judge(at *attempt) (s executors.Sighting, known, over bool) {
	o := e.look(at)
	if o.Job == nil && !at.known || at.launching > 0 && o.Job == nil && len(o.Pods) == 0 {
		if at.launching > 0 && at.waits != "" {
			return executors.Sighting{AttemptID: at.id, At: o.Now, Phase: dag.AttemptPending, Reason: at.waits}, true, false
		}
		return s, false, false
	}
	if at.cancelled || at.doomed != nil {
		return e.judgeLeaving(at, o)
	}
	s, known, next := sight(o)
	s.AttemptID = at.id
	switch {
	case next.IsZero():
		at.troubled = time.Time{}
	case at.troubled.IsZero():
		at.troubled = o.Now
	}
	if !next.IsZero() {
		e.news.AddAfter(at.key, time.Until(next)+time.Second)
	}
	if known && s.Phase == dag.AttemptFailed && !o.over() {
		at.doomed = s.Failure
		e.chores.Add(chore{what: choreDelete, key: at.key, uid: at.uid})
		return s, false, false
	}
	if s.Phase == dag.AttemptPending && s.Reason == "" && at.said.Reason == "" && !at.again {
		return s, false, false // on its way, which is no news
	}
	return s, known, known && ends(s.Phase)
}

// judgeLeaving is judge for an attempt that is being stopped: it ends when nothing of it is left, or by itself before it was stopped.
func (e *Executor) judgeLeaving(at *attempt, o observation) (s executors.Sighting, known, over bool) {
	o.StartTimeout = 0
	if s, known, _ = sight(o); known && ends(s.Phase) && !s.Kept && o.byItself() {
		s.AttemptID = at.id
		return s, true, true
	}
	if o.Job != nil || o.live() {
		return s, false, false
	}
	s = executors.Sighting{AttemptID: at.id, At: o.Now, Phase: dag.AttemptStopped, Info: "nothing was running"}
	if pod := o.lastPod(); pod != nil {
		end := endOfProgram(pod)
		s.ExitCode, s.Started, s.Outputs, s.Info = exitOf(pod), end.started, end.outputs, infoOf(pod)
	}
	if at.doomed != nil && !at.cancelled {
		s.Phase, s.Failure, s.ExitCode = dag.AttemptFailed, at.doomed, 0
	}
	return s, true, true
}

func ends(p dag.AttemptPhase) bool {
	return p == dag.AttemptSucceeded || p == dag.AttemptFailed || p == dag.AttemptStopped
}

// over reports whether nothing of the attempt runs or will run.
func (o *observation) over() bool {
	return !o.live() && (o.Job == nil || finished(o.Job) || len(o.Pods) > 0)
}

// live reports whether there is a pod that runs or may run.
func (o *observation) live() bool {
	for _, pod := range o.Pods {
		if !ended(pod) {
			return true
		}
	}
	return false
}

// byItself reports whether the attempt's program came to its own end before it was stopped.
func (o *observation) byItself() bool {
	if pod := o.lastPod(); pod != nil && ended(pod) {
		e := endOfProgram(pod)
		return e.finished && !takenAway(pod, e)
	}
	return o.Job != nil && o.Job.DeletionTimestamp == nil && finished(o.Job)
}

// beforeEnd does what has to be done while the attempt's pod is still there.
func (e *Executor) beforeEnd(at *attempt, s *executors.Sighting) {
	if e.cfg.ArchiveLogs {
		e.chores.Add(chore{what: choreArchive, key: at.key, uid: at.uid, id: at.id})
	}
	if s.Phase == dag.AttemptFailed && e.cfg.KeepFailed != e.cfg.TTL {
		e.chores.Add(chore{what: choreKeep, key: at.key, uid: at.uid})
	}
}

// unasked looks at a Job that nobody asked for: if it was left behind, or comes late from a leader that has been replaced, it is
// deleted.
func (e *Executor) unasked(key string) {
	job, pods, _ := e.view.look(key, "")
	if job == nil {
		e.mu.Lock()
		delete(e.orphans, key)
		delete(e.lingering, key)
		e.mu.Unlock()
		return
	}
	if finished(job) {
		return
	}
	e.mu.Lock()
	if until, lingers := e.lingering[key]; lingers {
		if left := time.Until(until); left > 0 {
			e.mu.Unlock()
			e.news.AddAfter(key, left)
			return
		}
		delete(e.lingering, key)
		if !stoppable(job, pods) {
			delete(e.orphans, key)
		}
	}
	if e.own > 0 && epochOf(job) < e.own && !e.spared[key] && e.attempts[key] == nil && stoppable(job, pods) {
		e.orphans[key] = string(job.UID)
	}
	unwanted := e.orphans[key] == string(job.UID)
	e.mu.Unlock()
	if unwanted && job.DeletionTimestamp == nil {
		e.chores.Add(chore{what: choreDelete, key: key, uid: job.UID})
	}
}

// stoppable reports whether something of a Job runs or may run. One whose program has ended stays, with its log, like all that have ended:
// its end was reported to a leader that did not live to see the cluster close the Job, which may take the cluster long.
func stoppable(job *batchv1.Job, pods []*corev1.Pod) bool {
	o := observation{Job: job, Pods: pods}
	return !finished(job) && (suspended(job) || !o.over())
}

// epochOf is the epoch in which a Job was made.
func epochOf(job *batchv1.Job) uint64 {
	n, err := strconv.ParseUint(job.Annotations[annotationEpoch], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// lastPod is the attempt's latest pod, also when it is gone.
func (o *observation) lastPod() *corev1.Pod {
	if pod := o.pod(); pod != nil {
		return pod
	}
	return o.Gone
}
