package dagtest

import (
	"bytes"
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"github.com/clic-orchestrator/clic/dag"
)

// checkLive follows launches and ends: no attempt is launched twice but one that was paused, no node has two attempts that
// live, and what is paused goes on or is stopped.
func (w *World) checkLive(_ dag.Event, d dag.Delta) error {
	for _, e := range d.Log {
		if e.Node < 0 || e.To != dag.Launching.String() {
			continue
		}
		n := w.Run.Node(e.Node)
		id := dag.AttemptID(n.Spec.ID, e.Attempt)
		kept, paused := w.Kept[e.Node]
		if paused && kept != e.Attempt {
			return fmt.Errorf("attempt %s was launched while attempt %d is paused", id, kept)
		}
		delete(w.Kept, e.Node)
		if w.Launches[id]++; w.Launches[id] > 1 && !paused {
			return fmt.Errorf("attempt %s was launched twice", id)
		}
		if old, lives := w.Live[e.Node]; lives {
			return fmt.Errorf("attempt %s was launched while attempt %d lives", id, old)
		}
		w.Live[e.Node] = e.Attempt
	}
	for i := range w.Run.Len() {
		n := w.Run.Node(int32(i))
		if err := w.checkKept(n); err != nil {
			return err
		}
		if _, lives := w.Live[n.Index]; lives != n.Live {
			return fmt.Errorf("%s: Live is %v, and its attempt lives: %v", n.Spec.ID, n.Live, lives)
		}
	}
	return nil
}

// checkKept: a stage waits with the attempt that is paused, and once it has ended the attempt is stopped.
func (w *World) checkKept(n *dag.Node) error {
	attempt, paused := w.Kept[n.Index]
	switch {
	case !paused:
		if n.Kept && n.Status != dag.Launching && n.Status != dag.Cancelling {
			return fmt.Errorf("%s is %s with a paused attempt that does not exist", n.Spec.ID, n.Status)
		}
		return nil
	case attempt != n.Attempt:
		return fmt.Errorf("%s waits for attempt %d while %d is paused", n.Spec.ID, n.Attempt, attempt)
	case !n.Status.Terminal():
		if !n.Kept || n.Live {
			return fmt.Errorf("%s is %s and forgot that its attempt is paused", n.Spec.ID, n.Status)
		}
		return nil
	case !w.asks(n.Index, dag.EffectCancel):
		return fmt.Errorf("%s is %s, and nobody stops its paused attempt", n.Spec.ID, n.Status)
	}
	w.Live[n.Index] = attempt // until it was stopped
	delete(w.Kept, n.Index)
	return nil
}

// asks reports whether a node has an effect of that kind.
func (w *World) asks(i int32, kind dag.EffectKind) bool {
	for _, e := range w.Run.EffectsOf(i) {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

// stop ends an attempt as it was asked for: where the core lets the executor pause it, and keep says so, it is kept.
func (w *World) stop(i int32, keep bool) error {
	for _, e := range w.Run.EffectsOf(i) {
		if keep && e.Kind == dag.EffectCancel && e.Pause {
			w.Kept[i] = w.Live[i]
			delete(w.Live, i)
			return w.Do(dag.Observed{At: w.Now, Node: i, Attempt: w.Kept[i], Phase: dag.AttemptStopped, Kept: true})
		}
	}
	return w.end(i, dag.AttemptStopped, 143)
}

// sawPaused reports once more that an attempt was paused, as it was seen before it went on: that must change nothing.
func (w *World) sawPaused(i, attempt int32) error {
	for _, e := range w.Run.EffectsOf(i) {
		if e.Pause {
			return nil // it would be news
		}
	}
	before := w.snapshot()
	err := w.Do(dag.Observed{At: w.Now, Node: i, Attempt: attempt, Phase: dag.AttemptStopped, Kept: true})
	if err == nil && !bytes.Equal(before, w.snapshot()) {
		return fmt.Errorf("an old word of a pause changed %s:%s", w.Run.Node(i).Spec.ID, w.Table())
	}
	return err
}

// unlaunchable reports that a live attempt could not be launched. One that was paused before still exists.
func (w *World) unlaunchable(i int32) error {
	attempt := w.Live[i]
	if n := w.Run.Node(i); n.Status != dag.Launching || !n.Kept {
		delete(w.Live, i)
	}
	f := dag.NewFailure(dag.FailLaunch, 0, "no room")
	return w.Do(dag.Observed{At: w.Now, Node: i, Attempt: attempt, Phase: dag.AttemptFailed, Failure: f, Random: 0.5})
}

// end reports the end of a live attempt.
func (w *World) end(i int32, phase dag.AttemptPhase, exit int32) error {
	attempt := w.Live[i]
	delete(w.Live, i)
	o := dag.Observed{At: w.Now, Node: i, Attempt: attempt, Phase: phase, ExitCode: exit, Random: 0.5}
	if phase == dag.AttemptFailed && exit == 0 {
		o.Failure = dag.NewFailure(dag.FailLost, 0, "gone")
	}
	return w.Do(o)
}

// Random does one random thing: something that a user, an executor, a program or the clock may do.
func (w *World) Random(t *rapid.T) error {
	w.Now += dag.Time(rapid.IntRange(0, 15).Draw(t, "elapsed"))
	i := rapid.Int32Range(0, int32(w.Run.Len())-1).Draw(t, "node")
	var err error
	switch pick := rapid.IntRange(0, 29).Draw(t, "what"); {
	case pick < 10:
		err = w.grantOne(i)
	case pick < 17:
		err = w.attempt(t, i)
	case pick < 19:
		mode := rapid.SampledFrom([]dag.Mode{dag.HoldStart, dag.HoldDrain, dag.HoldRequeue}).Draw(t, "mode")
		until := dag.Time(0)
		if rapid.Bool().Draw(t, "until") {
			until = w.Now + 30
		}
		err = w.Do(dag.Suspend{At: w.Now, Node: i, Hold: dag.Hold{Who: "u", Mode: mode, Until: until}})
	case pick < 22:
		if holds := w.Run.Task().Holds; len(holds) > 0 {
			i = holds[rapid.IntRange(0, len(holds)-1).Draw(t, "hold")].Root
		}
		err = w.Do(dag.Continue{At: w.Now, Node: i, Who: "u"})
	case pick < 23:
		err = w.Do(dag.Cancel{At: w.Now, Node: i, Who: "u"})
	case pick < 24 && rapid.IntRange(0, 9).Draw(t, "all") == 0:
		err = w.Do(dag.Cancel{At: w.Now, Node: -1, Who: "u", Handlers: rapid.Bool().Draw(t, "handlers")})
	case pick < 25:
		err = w.Do(dag.SkipStage{At: w.Now, Node: i})
	case pick < 26:
		err = w.Do(dag.RetryTask{At: w.Now})
	case pick < 28:
		err = w.timers()
	default:
		err = w.Reload()
	}
	if errors.Is(err, dag.ErrRefused) {
		return nil
	}
	return err
}

// grantOne gives the first ready stage at or after i its slot.
func (w *World) grantOne(i int32) error {
	for k := range w.Run.Len() {
		if n := w.Run.Node((i + int32(k)) % int32(w.Run.Len())); n.Ready {
			return w.Do(dag.Grant{At: w.Now, Node: n.Index})
		}
	}
	return nil
}

// attempt lets something happen to the live attempt at or after i.
func (w *World) attempt(t *rapid.T, i int32) error {
	for k := range w.Run.Len() {
		node := (i + int32(k)) % int32(w.Run.Len())
		number, lives := w.Live[node]
		if !lives {
			continue
		}
		if rapid.IntRange(0, 9).Draw(t, "stale") == 0 {
			number--
		}
		switch rapid.IntRange(0, 10).Draw(t, "phase") {
		case 0:
			return w.Do(dag.Observed{At: w.Now, Node: node, Attempt: number, Phase: dag.AttemptPending, Reason: "no room"})
		case 1:
			return w.Do(dag.Observed{At: w.Now, Node: node, Attempt: number, Phase: dag.AttemptRunning})
		case 2:
			return w.Do(dag.Report{At: w.Now, Node: node, Attempt: number, What: dag.ReportStarted})
		case 3:
			return w.Do(dag.Report{At: w.Now, Node: node, Attempt: dag.CurrentAttempt, What: dag.ReportPrepared})
		case 4:
			return w.Do(dag.Report{At: w.Now, Node: node, Attempt: number, What: dag.ReportCompleted, Outputs: outputs(t)})
		case 5:
			return w.Do(dag.Report{At: w.Now, Node: node, Attempt: number, What: dag.ReportFailed})
		case 6:
			return w.end(node, dag.AttemptFailed, rapid.Int32Range(0, 8).Draw(t, "exit"))
		case 7, 8:
			if w.asks(node, dag.EffectCancel) {
				return w.stop(node, rapid.Bool().Draw(t, "keep"))
			}
		case 9:
			if w.Run.Node(node).Status == dag.Launching {
				return w.unlaunchable(node)
			}
		case 10:
			return w.sawPaused(node, number)
		}
		return w.end(node, dag.AttemptSucceeded, 0)
	}
	return nil
}

// timers fires everything that is due.
func (w *World) timers() error {
	for _, e := range w.Run.Pending() {
		if e.Kind == dag.EffectTimer && e.At <= w.Now {
			if err := w.Do(dag.Tick{At: w.Now, Node: e.Node}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Finish continues all holds and lets everything succeed, until the task has ended. It fails where that never happens.
func (w *World) Finish() error {
	for round := 0; !w.Run.Task().Status.Terminal() || len(w.Live)+len(w.Kept) > 0; round++ {
		if round > 2_000 {
			return fmt.Errorf("the task does not end:\n%s", w.Table())
		}
		w.Now += 70_000
		if err := w.timers(); err != nil {
			return err
		}
		if err := w.finishRound(); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) finishRound() error {
	if holds := w.Run.Task().Holds; len(holds) > 0 {
		return w.Do(dag.Continue{At: w.Now, Node: holds[0].Root})
	}
	for _, e := range w.Run.Pending() {
		if e.Kind == dag.EffectReady && w.Run.Node(e.Node).Ready {
			return w.Do(dag.Grant{At: w.Now, Node: e.Node})
		}
	}
	for i := range w.Run.Len() {
		node := int32(i)
		if _, lives := w.Live[node]; !lives {
			continue
		}
		if w.asks(node, dag.EffectCancel) {
			return w.stop(node, false)
		}
		if w.Run.Node(node).Status.Active() {
			if err := w.Do(dag.Report{At: w.Now, Node: node, Attempt: dag.CurrentAttempt, What: dag.ReportCompleted}); err != nil {
				return err
			}
		}
		return w.end(node, dag.AttemptSucceeded, 0)
	}
	return nil
}
