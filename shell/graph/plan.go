package graph

import "github.com/clic-orchestrator/clic/dag"

// FromPlan makes the graph of a plan that has not run.
func FromPlan(p *dag.Plan) *Graph {
	b := newBuilder(p.Name)
	for i := range p.Nodes {
		spec := &p.Nodes[i]
		group := ""
		if spec.Parent >= 0 {
			group = p.Nodes[spec.Parent].ID
		}
		var parents []string
		for _, on := range spec.Depends.On {
			parents = append(parents, p.Nodes[on].ID)
		}
		name := spec.Name
		if i == 0 {
			name = p.Name // the task that it is named after does not exist
		}
		b.add(&Node{ID: spec.ID, Name: name, Kind: spec.Kind.String(), index: i}, group, parents)
	}
	return b.graph()
}
