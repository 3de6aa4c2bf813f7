package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/shell/output"
)

// colours of statuses in Mermaid and DOT, readable on white and on black.
func colour(status string) string {
	switch status {
	case "COMPLETED":
		return "#2da44e"
	case "FAILED":
		return "#cf222e"
	case "RUNNING", "LAUNCHING":
		return "#0969da"
	case "PREPARED":
		return "#1b7c83"
	case "SUSPEND", "RETRYING", "CANCELLING", "CANCELLED":
		return "#bf8700"
	}
	return "#6e7781"
}

// Mermaid writes the graph in Mermaid's language, as Markdown pages of many sites show it.
func Mermaid(g *Graph) string {
	m := &mermaid{ids: map[*Node]string{}}
	for i, n := range g.Nodes {
		m.ids[n] = fmt.Sprintf("n%d", i)
	}
	fmt.Fprintf(&m.b, "flowchart TD\n")
	m.nodes("  ", g.Roots)
	for _, n := range g.Nodes {
		for _, p := range n.Parents {
			fmt.Fprintf(&m.b, "  %s --> %s\n", m.ids[p], m.ids[n])
		}
	}
	m.classes(g)
	return m.b.String()
}

type mermaid struct {
	b   strings.Builder
	ids map[*Node]string
}

func (m *mermaid) nodes(indent string, nodes []*Node) {
	for _, n := range nodes {
		text := quoteMermaid(n.label())
		switch {
		case n.Group() && len(n.Children) > 0:
			fmt.Fprintf(&m.b, "%ssubgraph %s[\"%s\"]\n", indent, m.ids[n], text)
			m.nodes(indent+"  ", n.Children)
			fmt.Fprintf(&m.b, "%send\n", indent)
		case n.Group():
			fmt.Fprintf(&m.b, "%s%s[[\"%s\"]]\n", indent, m.ids[n], text)
		case n.Kind == "gate":
			fmt.Fprintf(&m.b, "%s%s{{\"%s\"}}\n", indent, m.ids[n], text)
		default:
			fmt.Fprintf(&m.b, "%s%s[\"%s\"]\n", indent, m.ids[n], text)
		}
	}
}

// classes colours the nodes that have a status.
func (m *mermaid) classes(g *Graph) {
	byStatus := map[string][]string{}
	for _, n := range g.Nodes {
		if n.Status != "" && !n.Group() {
			byStatus[n.Status] = append(byStatus[n.Status], m.ids[n])
		}
	}
	var statuses []string
	for s := range byStatus {
		statuses = append(statuses, s)
	}
	slices.Sort(statuses)
	for _, s := range statuses {
		fmt.Fprintf(&m.b, "  classDef %s stroke:%s,stroke-width:3px\n", strings.ToLower(s), colour(s))
		fmt.Fprintf(&m.b, "  class %s %s\n", strings.Join(byStatus[s], ","), strings.ToLower(s))
	}
}

// quoteMermaid writes what its strings cannot contain as entities.
func quoteMermaid(s string) string {
	return strings.NewReplacer("&", "#amp;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "#", "#35;").Replace(output.Clean(s))
}

// DOT writes the graph in the language of Graphviz.
func DOT(g *Graph) string {
	d := &dot{ids: map[*Node]string{}}
	for i, n := range g.Nodes {
		d.ids[n] = fmt.Sprintf("n%d", i)
	}
	fmt.Fprintf(&d.b, "digraph %s {\n  compound=true\n  rankdir=TB\n  node [shape=box, style=rounded, fontname=\"sans-serif\"]\n", quoteDOT(g.Name))
	d.nodes("  ", g.Roots)
	for _, n := range g.Nodes {
		for _, p := range n.Parents {
			d.edge(p, n)
		}
	}
	d.b.WriteString("}\n")
	return d.b.String()
}

type dot struct {
	b   strings.Builder
	ids map[*Node]string
}

func (d *dot) nodes(indent string, nodes []*Node) {
	for _, n := range nodes {
		if n.Group() && len(n.Children) > 0 {
			fmt.Fprintf(&d.b, "%ssubgraph cluster_%s {\n%s  label=%s\n", indent, d.ids[n], indent, quoteDOT(n.label()))
			d.nodes(indent+"  ", n.Children)
			fmt.Fprintf(&d.b, "%s}\n", indent)
			continue
		}
		attributes := "label=" + quoteDOT(n.label())
		if n.Kind == "gate" {
			attributes += ", shape=hexagon"
		}
		if n.Status != "" {
			attributes += fmt.Sprintf(", color=%q, tooltip=%q", colour(n.Status), n.Status)
		}
		fmt.Fprintf(&d.b, "%s%s [%s]\n", indent, d.ids[n], attributes)
	}
}

// edge draws an edge. One to or from a group is drawn to or from a node in it and cut at the group's border.
func (d *dot) edge(from, to *Node) {
	var attributes []string
	tail, head := from, to
	for tail.Group() && len(tail.Children) > 0 {
		tail = tail.Children[len(tail.Children)-1]
	}
	for head.Group() && len(head.Children) > 0 {
		head = head.Children[0]
	}
	if tail != from {
		attributes = append(attributes, "ltail=cluster_"+d.ids[from])
	}
	if head != to {
		attributes = append(attributes, "lhead=cluster_"+d.ids[to])
	}
	text := ""
	if len(attributes) > 0 {
		text = " [" + strings.Join(attributes, ", ") + "]"
	}
	fmt.Fprintf(&d.b, "  %s -> %s%s\n", d.ids[tail], d.ids[head], text)
}

func quoteDOT(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(output.Clean(s)) + `"`
}
