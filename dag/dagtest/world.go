package dagtest

import (
	"bytes"
	"errors"
	"fmt"
	"sort"

	"github.com/clic-orchestrator/clic/dag"
)

// World drives a run and keeps beside it what a store and an executor would know. After each step it checks every rule
// that must hold whatever happens; the checks look at all nodes and remember as little as they can.
type World struct {
	Run *dag.Run
	X   dag.Expander
	Now dag.Time
	// Live are the attempts that run outside, by node; Kept are those that are paused there.
	Live, Kept map[int32]int32
	// Launches counts how often each attempt was launched.
	Launches map[string]int
	// Log is the history so far.
	Log []dag.Entry

	header  []byte
	records []dag.Record
	last    []dag.Status
	// carried is the model of the holds: which nodes carry which hold.
	carried map[int64]map[int32]bool
}

// NewWorld makes the world of a plan, and starts it.
func NewWorld(p *dag.Plan, x dag.Expander) (*World, error) {
	r, d, err := dag.New(p, x, 1)
	if err != nil {
		return nil, err
	}
	w := &World{Run: r, X: x, Now: 1, Live: map[int32]int32{}, Kept: map[int32]int32{}, Launches: map[string]int{}, carried: map[int64]map[int32]bool{}}
	w.store(d)
	if err := w.check(nil, d); err != nil {
		return nil, err
	}
	err = w.Do(dag.Start{At: w.Now})
	return w, err
}

// Do applies an event and checks everything. Refusals are given back; a broken rule is an error that is no Refusal.
func (w *World) Do(ev dag.Event) error {
	before := w.snapshot()
	d, err := w.Run.Step(ev)
	if err != nil {
		if errors.Is(err, dag.ErrRefused) {
			if !bytes.Equal(before, w.snapshot()) {
				return fmt.Errorf("a refused %T changed the run", ev)
			}
		}
		return err
	}
	w.Log = append(w.Log, d.Log...)
	w.store(d)
	if err := w.check(ev, d); err != nil {
		return fmt.Errorf("after %T%+v: %w", ev, ev, err)
	}
	return nil
}

func (w *World) snapshot() []byte {
	b := w.Run.AppendHeader(nil)
	for i := range w.Run.Len() {
		b = w.Run.AppendState(w.Run.AppendSpec(b, int32(i)), int32(i))
	}
	return b
}

// Table is the run in a line a node, for messages.
func (w *World) Table() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\n%s", w.header)
	for i := range w.Run.Len() {
		n := w.Run.Node(int32(i))
		fmt.Fprintf(&b, "\n%3d %-10s %-10s ^%-3d %-10s att=%d holds=%v on=%v call=%q hookof=%d ready=%v live=%v kept=%v intent=%d %s", i, n.Spec.ID, n.Spec.Kind, n.Spec.Parent,
			n.Status, n.Attempt, n.Holds, n.Spec.Depends.On, n.Spec.Call, n.Spec.HookOf, n.Ready, n.Live, n.Kept, n.Intent, n.Message)
	}
	return b.String()
}

// store writes what the delta names, as an engine would.
func (w *World) store(d dag.Delta) {
	if d.Header {
		w.header = w.Run.AppendHeader(nil)
	}
	for len(w.records) < w.Run.Len() {
		w.records = append(w.records, dag.Record{})
	}
	for _, i := range d.Added {
		w.records[i] = dag.Record{Spec: w.Run.AppendSpec(nil, i), State: w.Run.AppendState(nil, i)}
	}
	for _, i := range d.Respecced {
		w.records[i].Spec = w.Run.AppendSpec(nil, i)
	}
	for _, i := range d.Changed {
		w.records[i].State = w.Run.AppendState(nil, i)
	}
}

// Reload replaces the run by one that was loaded from what was stored.
func (w *World) Reload() error {
	r, err := dag.Load(w.header, w.records, w.X)
	if err != nil {
		return err
	}
	if a, b := fmt.Sprint(effects(w.Run)), fmt.Sprint(effects(r)); a != b {
		return fmt.Errorf("loading changed what is pending:\n%s\n%s", a, b)
	}
	old := w.snapshot()
	w.Run = r
	if loaded := w.snapshot(); !bytes.Equal(old, loaded) {
		return fmt.Errorf("loading changed the run:\n%s\n%s", old, loaded)
	}
	return nil
}

func effects(r *dag.Run) []dag.Effect {
	list := r.Pending()
	sort.SliceStable(list, func(a, b int) bool { return list[a].Node < list[b].Node })
	return list
}

func (w *World) check(ev dag.Event, d dag.Delta) error {
	for _, rule := range []func(dag.Event, dag.Delta) error{
		w.checkFinal, w.checkStored, w.checkCounts, w.checkReady, w.checkOrder, w.checkHolds, w.checkLive, w.checkTask, w.checkOutputs,
	} {
		if err := rule(ev, d); err != nil {
			return err
		}
	}
	w.last = w.last[:0]
	for i := range w.Run.Len() {
		w.last = append(w.last, w.Run.Node(int32(i)).Status)
	}
	return nil
}

// checkFinal: nothing leaves a terminal status but by RetryTask.
func (w *World) checkFinal(ev dag.Event, _ dag.Delta) error {
	if _, again := ev.(dag.RetryTask); again {
		return nil
	}
	for i, s := range w.last {
		if n := w.Run.Node(int32(i)); s.Terminal() && n.Status != s {
			return fmt.Errorf("%s left %s for %s", n.Spec.ID, s, n.Status)
		}
	}
	return nil
}

// checkStored: the delta named everything that changed.
func (w *World) checkStored(_ dag.Event, _ dag.Delta) error {
	if !bytes.Equal(w.header, w.Run.AppendHeader(nil)) {
		return fmt.Errorf("the header changed, and the delta does not say so:\n%s\n%s", w.header, w.Run.AppendHeader(nil))
	}
	for i := range w.Run.Len() {
		k := int32(i)
		if !bytes.Equal(w.records[i].Spec, w.Run.AppendSpec(nil, k)) || !bytes.Equal(w.records[i].State, w.Run.AppendState(nil, k)) {
			return fmt.Errorf("%s changed, and the delta does not say so:\n%s\n%s", w.Run.Node(k).Spec.ID, w.records[i].State, w.Run.AppendState(nil, k))
		}
	}
	return nil
}

// checkCounts: the header's numbers are those of the nodes.
func (w *World) checkCounts(dag.Event, dag.Delta) error {
	t := w.Run.Task()
	counts, stages := t.Counts, int32(0)
	for i := range counts {
		counts[i] = 0
	}
	for i := range w.Run.Len() {
		if n := w.Run.Node(int32(i)); !n.Spec.Kind.Group() {
			counts[n.Status]++
			stages++
		}
	}
	if counts != t.Counts || stages != t.Stages || int(t.Nodes) != w.Run.Len() {
		return fmt.Errorf("counts are %v of %d, not %v of %d", t.Counts, t.Stages, counts, stages)
	}
	return nil
}

// checkReady: a waiting node whose group runs, whose dependencies have ended and that nobody holds is ready, unless a
// parallelism is used up.
func (w *World) checkReady(ev dag.Event, _ dag.Delta) error {
	if ev == nil {
		return nil // not started yet
	}
	for i := range w.Run.Len() {
		n := w.Run.Node(int32(i))
		x := w.Run.Explain(n.Index)
		if n.Status == dag.Waiting && !n.Ready && w.free(n) && x.Reason != dag.ReasonLimit {
			return fmt.Errorf("%s waits for nothing and does not start (%s):\n%s", n.Spec.ID, x.Text, w.Table())
		}
		if x.Text == "" {
			return fmt.Errorf("%s has no explanation", n.Spec.ID)
		}
	}
	return nil
}

// free reports whether nothing but a limit can keep a waiting node, looking at everything.
func (w *World) free(n *dag.Node) bool {
	switch {
	case len(n.Holds) > 0:
		return false
	case n.Spec.Parent != dag.NoParent:
		if g := w.Run.Node(n.Spec.Parent); g.Status != dag.Running || g.Intent != dag.IntentNone {
			return false
		}
	case n.Index != 0 && !w.ended(0):
		return false
	}
	for _, d := range n.Spec.Depends.On {
		if !w.ended(d) && !w.Run.Node(d).Promised {
			return false
		}
		if w.Run.Node(d).Promised && !w.ended(d) && (n.Spec.Depends.Expr != nil || len(n.Spec.Depends.Cancel) > 0) {
			return false // whether a promise is enough is for checkOrder
		}
	}
	return true
}

func (w *World) ended(i int32) bool {
	n := w.Run.Node(i)
	if !n.Status.Terminal() {
		return false
	}
	for _, h := range n.Hooked() {
		if !w.Run.Node(h).Status.Terminal() {
			return false
		}
	}
	return true
}

// checkOrder: what was started had its dependencies.
func (w *World) checkOrder(_ dag.Event, d dag.Delta) error {
	for _, e := range d.Log {
		if e.Node < 0 || e.From != dag.Waiting.String() || e.To != dag.Launching.String() && e.To != dag.Running.String() {
			continue
		}
		n := w.Run.Node(e.Node)
		for _, i := range n.Spec.Depends.On {
			p := w.Run.Node(i)
			if n.Spec.Depends.Expr == nil && !p.Promised && p.Status != dag.Completed && p.Status != dag.Skipped &&
				(n.Spec.Depends.Expr == nil && p.Spec.Policy == nil || !p.Status.Terminal()) {
				return fmt.Errorf("%s started while %s is %s", n.Spec.ID, p.Spec.ID, p.Status)
			}
			if !w.ended(i) && !p.Promised {
				return fmt.Errorf("%s started before %s had ended (%s)", n.Spec.ID, p.Spec.ID, p.Status)
			}
		}
	}
	return nil
}

// checkTask: the task has ended exactly when everything in it has.
func (w *World) checkTask(dag.Event, dag.Delta) error {
	t, open := w.Run.Task(), ""
	for i := range w.Run.Len() {
		if n := w.Run.Node(int32(i)); !n.Status.Terminal() {
			open = n.Spec.ID + " is " + n.Status.String()
		}
	}
	if t.Status.Terminal() && open != "" {
		return fmt.Errorf("the task is %s, and %s:\n%s", t.Status, open, w.Table())
	}
	if !t.Status.Terminal() && open == "" {
		return fmt.Errorf("everything has ended, and the task is %s:%s", t.Status, w.Table())
	}
	return nil
}
