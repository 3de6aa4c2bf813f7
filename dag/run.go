package dag

import (
	"errors"
	"fmt"
)

// Run is the life of one task. Its methods are not safe for concurrent use.
type Run struct {
	task  Task
	nodes []*Node
	slab  []Node // room for the next nodes, so that a large plan is not a large number of allocations
	x     Expander
	byID  map[string]int32
	names map[int32]map[string]int32 // children of a group by name, made when first asked for

	places   int32 // stages that take a place of the task's parallelism
	waitlist indexHeap
	carriers map[int64][]int32  // nodes that carry a hold
	idle     [numStatuses]int32 // nodes per status, without the groups that are RUNNING

	step stepState
}

// stepState is what a Step collects while it runs.
type stepState struct {
	now   Time
	delta Delta
	marks map[int32]mark // what the delta says of a node already
	ended []int32        // nodes to pass on as settled
	moved []int32        // nodes whose hooks are to be asked
	freed []int32        // groups (NoParent: the task) of which a place became free
	fault error          // a rule of the core was broken: the run must be loaded again
}

type mark uint8

const (
	markAdded mark = 1 << iota
	markChanged
	markRespecced
)

// Record is a node as it is stored: the two halves that AppendSpec and AppendState encode.
type Record struct {
	Spec, State []byte
}

// ErrCorrupt: stored records do not fit together.
var ErrCorrupt = errors.New("stored task is corrupt")

// Task is the run's record as a whole. Read-only.
func (r *Run) Task() *Task { return &r.task }

// Len is the number of nodes. Nodes are never removed; their indices are stable.
func (r *Run) Len() int { return len(r.nodes) }

// Node gives the node with that index. Read-only. It panics for an index outside [0, Len).
func (r *Run) Node(i int32) *Node { return r.nodes[i] }

// Find gives the node with that id.
func (r *Run) Find(id string) (int32, error) {
	if i, ok := r.byID[id]; ok {
		return i, nil
	}
	return 0, fmt.Errorf("%w %q in task %q", ErrUnknownNode, id, r.task.Name)
}

// Child gives the child of a group with that name. For the steps of a KindSteps node the names are those of the step
// groups ("[0]").
func (r *Run) Child(group int32, name string) (int32, bool) {
	m, ok := r.names[group]
	if !ok {
		m = make(map[string]int32, len(r.nodes[group].children))
		for _, c := range r.nodes[group].children {
			if n := r.nodes[c]; n.Spec.HookOf == 0 {
				m[n.Spec.Name] = c
			}
		}
		if r.names == nil {
			r.names = make(map[int32]map[string]int32)
		}
		r.names[group] = m
	}
	i, ok := m[name]
	return i, ok
}

// Path is the node's full name in the tree of calls, the task's name first ("task[0].a").
func (r *Run) Path(i int32) string { return r.task.Name + r.nodes[i].Spec.Path }
