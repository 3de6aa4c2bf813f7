package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
)

// put applies a new hold: it is put on its root and on every transitive dependent that was not launched.
func (m *mirror) put(e *dag.Entry) {
	m.lastHold++
	id, root := m.lastHold, e.Node
	m.roots[id] = root
	r := m.nodes[root]
	active := r.status.Active()
	drained := active && strings.HasPrefix(e.Message, "suspended (drain)")
	in := map[int32]bool{}
	if !drained {
		in[root] = true
	}
	for grew := true; grew; {
		grew = false
		for i := range m.nodes {
			if k := int32(i); !in[k] && m.follows(k, in, root, drained) {
				in[k], grew = true, true
			}
		}
	}
	for k := range in {
		if n := m.nodes[k]; n.status.Launchable() || n.spec.Kind.Group() && n.status == dag.Running {
			n.holds[id] = true
		}
	}
	if active && strings.HasPrefix(e.Message, "suspended (requeue)") {
		m.requeue(root, id)
	}
}

// requeue lets what is about to be stopped carry the hold.
func (m *mirror) requeue(i int32, id int64) {
	n := m.nodes[i]
	if n.spec.Kind == dag.KindStage && n.status.Active() {
		n.holds[id] = true
	}
	for _, c := range n.kids {
		m.requeue(c, id)
	}
}

// follows reports whether node k depends on something in the set, or on a group around it, or is inside of it.
func (m *mirror) follows(k int32, in map[int32]bool, root int32, drained bool) bool {
	n := m.nodes[k]
	if n.born < 0 {
		return false
	}
	if p := n.spec.Parent; p >= 0 && in[p] {
		return true
	}
	for _, d := range n.spec.Depends.On {
		if in[d] || drained && (d == root || m.inside(root, d)) {
			return true
		}
		if !m.nodes[d].spec.Kind.Group() {
			continue
		}
		for i := range in {
			if m.inside(i, d) {
				return true
			}
		}
	}
	return false
}

// inside reports whether node i is somewhere in group g.
func (m *mirror) inside(i, g int32) bool {
	for p := m.nodes[i].spec.Parent; p >= 0; p = m.nodes[p].spec.Parent {
		if p == g {
			return true
		}
	}
	return false
}

// release takes the hold away that was put on a root.
func (m *mirror) release(root int32) {
	for id, r := range m.roots {
		if r == root {
			delete(m.roots, id)
			for _, n := range m.nodes {
				delete(n.holds, id)
			}
		}
	}
}

// compareHolds compares the holds with those that are stored, and the statuses with the holds.
func (m *mirror) compareHolds() error {
	if len(m.task.Holds) != len(m.roots) {
		return fmt.Errorf("%d holds are in force, and by the history %d", len(m.task.Holds), len(m.roots))
	}
	for _, h := range m.task.Holds {
		if r, ok := m.roots[h.ID]; !ok || r != h.Root {
			return fmt.Errorf("hold %d on node %d is in force, and not by the history", h.ID, h.Root)
		}
	}
	for _, n := range m.nodes {
		for id := range n.holds {
			if !slices.Contains(n.state.Holds, id) {
				return fmt.Errorf("%s (%s) should carry hold %d, and carries %v", n.spec.ID, n.status, id, n.state.Holds)
			}
		}
		switch {
		case len(n.holds) != len(n.state.Holds):
			return fmt.Errorf("%s (%s) carries %v, and should carry %d", n.spec.ID, n.status, n.state.Holds, len(n.holds))
		case n.status == dag.Suspended && len(n.holds) == 0:
			return fmt.Errorf("%s is SUSPEND and carries no hold", n.spec.ID)
		case len(n.holds) > 0 && (n.status == dag.Waiting || n.status == dag.Retrying || n.status == dag.Launching):
			return fmt.Errorf("%s carries a hold and is %s", n.spec.ID, n.status)
		}
	}
	return nil
}
