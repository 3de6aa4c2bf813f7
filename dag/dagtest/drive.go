package dagtest

import (
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"github.com/clic-orchestrator/clic/dag"
)

// checkLive follows launches and ends: no attempt is launched twice, and no node has two attempts that live.
func (w *World) checkLive(_ dag.Event, d dag.Delta) error {
	for _, e := range d.Log {
		if e.Node < 0 || e.To != dag.Launching.String() {
			continue
		}
		n := w.Run.Node(e.Node)
		id := dag.AttemptID(n.Spec.ID, e.Attempt)
		if w.Launches[id]++; w.Launches[id] > 1 {
			return fmt.Errorf("attempt %s was launched twice", id)
		}
		if old, lives := w.Live[e.Node]; lives {
			return fmt.Errorf("attempt %s was launched while attempt %d lives", id, old)
		}
		w.Live[e.Node] = e.Attempt
	}
	for i := range w.Run.Len() {
		n := w.Run.Node(int32(i))
		if _, lives := w.Live[n.Index]; lives != n.Live {
			return fmt.Errorf("%s: Live is %v, and its attempt lives: %v", n.Spec.ID, n.Live, lives)
		}
	}
	return nil
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
		switch rapid.IntRange(0, 8).Draw(t, "phase") {
		case 0:
			return w.Do(dag.Observed{At: w.Now, Node: node, Attempt: number, Phase: dag.AttemptPending, Reason: "no room"})
		case 1:
			return w.Do(dag.Observed{At: w.Now, Node: node, Attempt: number, Phase: dag.AttemptRunning})
		case 2:
			return w.Do(dag.Report{At: w.Now, Node: node, Attempt: number, What: dag.ReportStarted})
		case 3:
			return w.Do(dag.Report{At: w.Now, Node: node, Attempt: dag.CurrentAttempt, What: dag.ReportPrepared})
		case 4:
			return w.Do(dag.Report{At: w.Now, Node: node, Attempt: number, What: dag.ReportCompleted})
		case 5:
			return w.Do(dag.Report{At: w.Now, Node: node, Attempt: number, What: dag.ReportFailed})
		case 6:
			return w.end(node, dag.AttemptFailed, rapid.Int32Range(0, 8).Draw(t, "exit"))
		case 7:
			if w.Run.Node(node).Status == dag.Cancelling {
				return w.end(node, dag.AttemptStopped, 143)
			}
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
	for round := 0; !w.Run.Task().Status.Terminal() || len(w.Live) > 0; round++ {
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
		if w.Run.Node(node).Status == dag.Cancelling {
			return w.end(node, dag.AttemptStopped, 143)
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
