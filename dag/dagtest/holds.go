package dagtest

import (
	"fmt"

	"github.com/clic-orchestrator/clic/dag"
)

// checkHolds keeps a model of the holds, and compares: a hold is put on its root and on every transitive dependent that
// was not launched, and taken from all of them at once; a node is SUSPEND exactly while it carries one.
func (w *World) checkHolds(ev dag.Event, d dag.Delta) error {
	inForce := map[int64]dag.Hold{}
	for _, h := range w.Run.Task().Holds {
		inForce[h.ID] = h
		if _, known := w.carried[h.ID]; !known {
			w.carried[h.ID] = w.affected(h)
		}
	}
	for id := range w.carried {
		if _, still := inForce[id]; !still {
			delete(w.carried, id)
		}
	}
	for _, i := range d.Added {
		if p := w.Run.Node(i).Spec.Parent; p != dag.NoParent {
			for id, on := range w.carried {
				if on[p] && id <= w.Run.Task().LastHold {
					on[i] = true
				}
			}
		}
	}
	for i := range w.Run.Len() {
		if err := w.compareHolds(int32(i)); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) compareHolds(i int32) error {
	n := w.Run.Node(i)
	var want int
	for id, on := range w.carried {
		if n.Status.Terminal() {
			delete(on, i)
		}
		if on[i] {
			want++
			if !has(n.Holds, id) {
				return fmt.Errorf("%s (%s) should carry hold %d, and carries %v", n.Spec.ID, n.Status, id, n.Holds)
			}
		}
	}
	if want != len(n.Holds) {
		return fmt.Errorf("%s (%s) carries holds %v, and should carry %d", n.Spec.ID, n.Status, n.Holds, want)
	}
	if n.Status == dag.Suspended && want == 0 {
		return fmt.Errorf("%s is SUSPEND and carries no hold", n.Spec.ID)
	}
	if want > 0 && (n.Status == dag.Waiting || n.Status == dag.Retrying || n.Status == dag.Launching) {
		return fmt.Errorf("%s carries a hold and is %s", n.Spec.ID, n.Status)
	}
	return nil
}

func has(list []int64, v int64) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// affected computes by repetition what a new hold is put on.
func (w *World) affected(h dag.Hold) map[int32]bool {
	root := w.Run.Node(h.Root)
	in := map[int32]bool{}
	drained := h.Mode == dag.HoldDrain && root.Status.Active()
	if !drained {
		in[h.Root] = true
	}
	for grew := true; grew; {
		grew = false
		for i := range w.Run.Len() {
			k := int32(i)
			if !in[k] && w.follows(k, in, h.Root, drained) {
				in[k] = true
				grew = true
			}
		}
	}
	on := map[int32]bool{}
	for k := range in {
		n := w.Run.Node(k)
		group := n.Spec.Kind.Group() && n.Status == dag.Running
		// The gate that opens carries just its own hold; a stage that is requeued carries it while it is being stopped.
		requeued := h.Mode == dag.HoldRequeue && n.Status == dag.Cancelling && has(n.Holds, h.ID)
		if h.Who == "plan" && root.Spec.Kind == dag.KindGate && k != h.Root {
			continue
		}
		if n.Status.Launchable() || group || requeued {
			on[k] = true
		}
	}
	return on
}

// follows reports whether node k depends on something in the set (or on a group around it), or is inside of it.
func (w *World) follows(k int32, in map[int32]bool, root int32, drained bool) bool {
	n := w.Run.Node(k)
	if p := n.Spec.Parent; p != dag.NoParent && in[p] {
		return true
	}
	for _, d := range n.Spec.Depends.On {
		if in[d] || drained && d == root {
			return true
		}
		for i := range in {
			if w.inside(i, d) {
				return true
			}
		}
		if drained && w.inside(root, d) {
			return true
		}
	}
	return false
}

// inside reports whether node i is somewhere in group g.
func (w *World) inside(i, g int32) bool {
	for p := w.Run.Node(i).Spec.Parent; p != dag.NoParent; p = w.Run.Node(p).Spec.Parent {
		if p == g {
			return true
		}
	}
	return false
}
