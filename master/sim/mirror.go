package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// mirror is a second opinion on a task: what its history says, line by line, with the rules that every line must keep. It
// is compared with the states that are stored beside.
type mirror struct {
	name  string
	task  *dag.Task // as the stored header says
	nodes []*mnode
	seq   uint64
	// lastHold counts the holds that were put; roots are the nodes on which those in force were put, by id.
	lastHold int64
	roots    map[int64]int32
	// said are the notes that name somebody, as "what/who".
	said map[string]bool
	// launched are the attempts that were decided to be launched.
	launched map[string]bool
	finished map[string]bool // stages that were ever COMPLETED
	retried  map[string]bool // tasks of which somebody asked for a retry
	// births are those of the nodes, for a mirror that is made again.
	births []int64
}

// mnode is a node of it.
type mnode struct {
	spec   *dag.NodeSpec
	state  dag.NodeState
	status dag.Status // as the history says
	// promised: it was PREPARED since it was reset.
	promised bool
	holds    map[int64]bool
	kids     []int32
	// born is the number of the history's line before it appeared; -1 while a mirror that is made again has not come there.
	born int64
}

func newMirror(name string, retried map[string]bool) *mirror {
	return &mirror{
		name: name, retried: retried, roots: map[int64]int32{}, said: map[string]bool{}, launched: map[string]bool{}, finished: map[string]bool{},
	}
}

// take applies a change that was written, and gives the first rule that it breaks.
func (m *mirror) take(c *store.Change) error {
	if c.Header != nil {
		t, err := dag.DecodeHeader(c.Header.Body)
		if err != nil {
			return err
		}
		m.task = t
	}
	for i := range c.Nodes {
		if err := m.specs(&c.Nodes[i]); err != nil {
			return err
		}
	}
	for _, l := range c.Log {
		if l.Seq <= m.seq {
			continue
		}
		if l.Seq != m.seq+1 {
			return fmt.Errorf("the history goes on with %d after %d", l.Seq, m.seq)
		}
		m.seq = l.Seq
		e, err := dag.DecodeEntry(l.Body)
		if err != nil {
			return err
		}
		m.bear()
		if err := m.line(e); err != nil {
			return fmt.Errorf("history line %d %s: %w", l.Seq, l.Body, err)
		}
	}
	var errs []error
	for i := range c.Nodes {
		errs = append(errs, m.states(&c.Nodes[i]))
	}
	return errors.Join(append(errs, m.whole(), m.compareHolds())...)
}

// specs notes new nodes.
func (m *mirror) specs(r *store.NodeRecord) error {
	if r.Spec == nil {
		return nil
	}
	s, err := dag.DecodeSpec(r.Spec)
	if err != nil {
		return err
	}
	for int(r.Index) >= len(m.nodes) {
		m.nodes = append(m.nodes, &mnode{holds: map[int64]bool{}, born: -1})
	}
	n := m.nodes[r.Index]
	if n.spec == nil && s.Parent >= 0 {
		p := m.nodes[s.Parent]
		p.kids = append(p.kids, r.Index)
	}
	n.spec = s
	if m.births == nil {
		m.appear(n, int64(m.seq))
	}
	return nil
}

// appear lets a node be there. In a group it inherits its holds.
func (m *mirror) appear(n *mnode, at int64) {
	if n.born >= 0 {
		return
	}
	n.born = at
	if n.spec.Parent >= 0 {
		for id := range m.nodes[n.spec.Parent].holds {
			n.holds[id] = true
		}
	}
}

// bear lets the nodes appear that were there before the next line of the history, in a mirror that is made again.
func (m *mirror) bear() {
	for i, at := range m.births {
		if i < len(m.nodes) && at < int64(m.seq) {
			m.appear(m.nodes[i], at)
		}
	}
}

// line applies a line of the history.
func (m *mirror) line(e *dag.Entry) error {
	if e.Who != "" {
		verb, _, _ := strings.Cut(e.Message, " ")
		if e.To == dag.Skipped.String() {
			verb = "skipped"
		}
		m.said[strings.TrimSuffix(verb, ":")+"/"+e.Who] = true
	}
	if e.Node < 0 {
		return nil
	}
	if int(e.Node) >= len(m.nodes) {
		return fmt.Errorf("there is no node %d", e.Node)
	}
	n := m.nodes[e.Node]
	if e.To == "" {
		switch {
		case strings.HasPrefix(e.Message, "suspended ("):
			m.put(e)
		case strings.HasPrefix(e.Message, "continued"):
			m.release(e.Node)
		}
		return nil
	}
	to, err := dag.ParseStatus(e.To)
	if err != nil {
		return err
	}
	if e.From != n.status.String() {
		return fmt.Errorf("%s was %s before", n.spec.ID, n.status)
	}
	if strings.HasPrefix(e.Message, "paused") { // the same attempt is launched again
		delete(m.launched, dag.AttemptID(n.spec.ID, e.Attempt))
	}
	return m.move(n, to, e)
}

// move applies a transition.
func (m *mirror) move(n *mnode, to dag.Status, e *dag.Entry) error {
	from := n.status
	n.status = to
	switch {
	case from.Terminal():
		if !m.retried[m.name] {
			return fmt.Errorf("%s left %s, and nobody asked for a retry", n.spec.ID, from)
		}
		n.promised = false
	case to.Terminal():
		clear(n.holds)
	}
	switch to {
	case dag.Launching:
		return m.launch(n, e.Attempt)
	case dag.Prepared:
		n.promised = true
	case dag.Completed:
		m.finished[n.spec.ID] = true
	}
	if to == dag.Running && n.spec.Kind.Group() && from == dag.Waiting {
		return m.order(n)
	}
	return nil
}

// launch checks that a stage may be launched.
func (m *mirror) launch(n *mnode, attempt int32) error {
	id := dag.AttemptID(n.spec.ID, attempt)
	if m.launched[id] {
		return fmt.Errorf("attempt %s is launched twice", id)
	}
	m.launched[id] = true
	if len(n.holds) > 0 {
		return fmt.Errorf("%s is launched, and held", n.spec.ID)
	}
	return m.order(n)
}

// order checks that a node's dependencies allow its start.
func (m *mirror) order(n *mnode) error {
	for _, d := range n.spec.Depends.On {
		p := m.nodes[d]
		cancels := slices.Contains(n.spec.Depends.Cancel, d)
		switch {
		case p.promised && (!cancels || p.status == dag.Prepared || p.status.Terminal()):
			continue
		case !p.status.Terminal():
			return fmt.Errorf("%s starts while %s is %s", n.spec.ID, p.spec.ID, p.status)
		case n.spec.Depends.Expr != nil || p.status == dag.Completed || p.status == dag.Skipped || p.spec.Policy != nil:
			continue
		}
		return fmt.Errorf("%s starts though %s is %s", n.spec.ID, p.spec.ID, p.status)
	}
	return nil
}

// states compares a stored state with what the history says.
func (m *mirror) states(r *store.NodeRecord) error {
	n := m.nodes[r.Index]
	if r.State == nil {
		return nil
	}
	s, err := dag.DecodeState(r.State)
	if err != nil {
		return err
	}
	n.state = *s
	if s.Status != n.status || r.Status != n.status.String() {
		return fmt.Errorf("%s is %s (%s), and by its history %s", n.spec.ID, s.Status, r.Status, n.status)
	}
	return nil
}

// whole checks what is said of the task.
func (m *mirror) whole() error {
	open := 0
	for _, n := range m.nodes {
		if !n.status.Terminal() {
			open++
		}
	}
	switch t := m.task; {
	case t == nil:
		return errors.New("it has no header")
	case int(t.Nodes) != len(m.nodes):
		return fmt.Errorf("it has %d nodes, and its header says %d", len(m.nodes), t.Nodes)
	case t.Status.Terminal() != (open == 0):
		return fmt.Errorf("it is %s, and %d nodes have not ended", t.Status, open)
	}
	return nil
}
