package graph

import (
	"cmp"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/view"
)

// Graph is what is drawn: the nodes of a task or a plan, groups and what is in them.
type Graph struct {
	Name  string
	Nodes []*Node
	// Roots are the nodes that are in no group.
	Roots []*Node
}

// Node is a stage or a group.
type Node struct {
	ID, Name string
	// Kind is that of package view: stage, dag, steps, step-group, fan-out, retry, gate.
	Kind string
	// Status is "" in a plan that has not run.
	Status string
	// Parents are what it waits for, siblings all. Children are what is in a group, in topological order.
	Parents, Children []*Node

	index int
}

// Group reports whether the node contains others.
func (n *Node) Group() bool { return n.Kind != "stage" && n.Kind != "gate" }

// Dependents gives, for each of the nodes, those of them that wait for it.
func Dependents(nodes []*Node) map[*Node][]*Node {
	dependents := make(map[*Node][]*Node, len(nodes))
	for _, n := range nodes {
		for _, p := range n.Parents {
			dependents[p] = append(dependents[p], n)
		}
	}
	return dependents
}

// FromTask makes the graph of a task from its nodes.
func FromTask(task string, stages []*master.StageInfo) *Graph {
	b := newBuilder(task)
	for _, s := range stages {
		b.add(&Node{ID: s.StageId, Name: s.Name, Kind: view.Kind(s.Kind), Status: s.State.String(), index: int(s.Index)}, s.Group, s.Parents)
	}
	return b.graph()
}

// builder collects nodes that name each other by id.
type builder struct {
	g       *Graph
	byID    map[string]*Node
	group   map[*Node]string
	parents map[*Node][]string
}

func newBuilder(name string) *builder {
	return &builder{
		g: &Graph{Name: name}, byID: map[string]*Node{}, group: map[*Node]string{}, parents: map[*Node][]string{},
	}
}

func (b *builder) add(n *Node, group string, parents []string) {
	if n.Name == "" {
		n.Name = n.ID
	}
	b.g.Nodes = append(b.g.Nodes, n)
	b.byID[n.ID] = n
	b.group[n] = group
	b.parents[n] = parents
}

func (b *builder) graph() *Graph {
	for _, n := range b.g.Nodes {
		for _, id := range b.parents[n] {
			if p := b.byID[id]; p != nil {
				n.Parents = append(n.Parents, p)
			}
		}
		if g := b.byID[b.group[n]]; g != nil {
			g.Children = append(g.Children, n)
		} else {
			b.g.Roots = append(b.g.Roots, n)
		}
	}
	b.g.Roots = sorted(b.g.Roots)
	for _, n := range b.g.Nodes {
		n.Children = sorted(n.Children)
	}
	return b.g
}

// sorted orders siblings so that each comes after what it waits for, and otherwise in the order of the plan. What a cycle
// keeps from being ordered comes last, so that a broken plan can be drawn as well.
func sorted(nodes []*Node) []*Node {
	slices.SortFunc(nodes, func(a, b *Node) int { return cmp.Compare(a.index, b.index) })
	dependents := Dependents(nodes)
	open := make(map[*Node]int, len(nodes))
	for _, n := range nodes {
		open[n] = 0
	}
	for _, n := range nodes {
		for _, p := range n.Parents {
			if _, sibling := open[p]; sibling {
				open[n]++
			}
		}
	}
	var ready, order []*Node
	for _, n := range nodes {
		if open[n] == 0 {
			ready = append(ready, n)
		}
	}
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		order = append(order, n)
		for _, d := range dependents[n] {
			if open[d]--; open[d] == 0 {
				ready = append(ready, d)
			}
		}
	}
	for _, n := range nodes {
		if open[n] > 0 {
			order = append(order, n)
		}
	}
	return order
}

// label is the node's name, and its kind where it is no plain stage.
func (n *Node) label() string {
	if n.Kind == "stage" {
		return n.Name
	}
	return n.Name + " (" + strings.ReplaceAll(n.Kind, "-", " ") + ")"
}
