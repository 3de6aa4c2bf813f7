package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

const (
	// maxRails is how many edges may be drawn beside each other; a group with more is drawn as a list.
	maxRails = 24
	// maxInstances is how many instances of a loop are drawn.
	maxInstances = 12
)

// rails are the characters of the drawing.
type rails struct {
	vertical, horizontal, cross, split, splitMore, splitLast, mergeMore, mergeLast string
}

func railsFor(utf8 bool) rails {
	if utf8 {
		return rails{"│", "─", "┼", "├", "┬", "╮", "┴", "╯"}
	}
	return rails{"|", "-", "+", "|", ".", ".", "'", "'"}
}

// Text draws the graph for a terminal: one line per node, below what it waits for, with the edges as rails to the left.
func Text(g *Graph, style iostreams.Style, utf8 bool) string {
	t := &textDrawer{style: style, utf8: utf8, rails: railsFor(utf8)}
	roots := g.Roots
	t.b.WriteString(style.Bold(g.Name) + "\n")
	if len(roots) == 1 && roots[0].Group() {
		roots = roots[0].Children // the entry stands for the task
	}
	t.siblings("", roots)
	return t.b.String()
}

type textDrawer struct {
	b     strings.Builder
	style iostreams.Style
	utf8  bool
	rails rails
}

// siblings draws nodes that may wait for each other.
func (t *textDrawer) siblings(prefix string, nodes []*Node) {
	dependents := Dependents(nodes)
	hidden := 0
	if len(nodes) > maxInstances && len(dependents) == 0 {
		hidden = len(nodes) - maxInstances
		nodes = nodes[:maxInstances]
	}
	if widest(nodes, dependents) > maxRails {
		t.list(prefix, nodes)
		return
	}
	var columns []*Node
	for _, n := range nodes {
		columns = t.node(prefix, columns, n, dependents[n])
	}
	if hidden > 0 {
		t.b.WriteString(prefix + t.style.Dim(fmt.Sprintf("… and %d more", hidden)) + "\n")
	}
}

// widest is how many rails the drawing needs.
func widest(nodes []*Node, dependents map[*Node][]*Node) int {
	var columns []*Node
	most := 0
	for _, n := range nodes {
		_, columns = enter(columns, n)
		_, columns = leave(columns, slices.Index(columns, n), dependents[n])
		most = max(most, len(columns))
	}
	return most
}

// enter gives the columns that lead to a node; the first, which may be new, is its own.
func enter(columns []*Node, n *Node) (in []int, after []*Node) {
	for i, c := range columns {
		if c == n {
			in = append(in, i)
		}
	}
	if len(in) == 0 {
		i := slices.Index(columns, nil)
		if i < 0 {
			i = len(columns)
			columns = append(columns, nil)
		}
		columns[i] = n
		in = []int{i}
	}
	for _, i := range in[1:] {
		columns[i] = nil
	}
	return in, columns
}

// leave replaces a node in its column by what waits for it; all but the first get columns to the right.
func leave(columns []*Node, at int, dependents []*Node) (out []int, after []*Node) {
	columns[at] = nil
	for k, d := range dependents {
		i := at
		if k > 0 {
			for i = at + 1; i < len(columns) && columns[i] != nil; i++ {
			}
			if i == len(columns) {
				columns = append(columns, nil)
			}
		}
		columns[i] = d
		out = append(out, i)
	}
	for len(columns) > 0 && columns[len(columns)-1] == nil {
		columns = columns[:len(columns)-1]
	}
	return out, columns
}

// node draws a node, the edges that end in it and those that begin at it, and what is in it.
func (t *textDrawer) node(prefix string, columns []*Node, n *Node, dependents []*Node) []*Node {
	in, columns := enter(columns, n)
	at := in[0]
	mark := t.style.For(n.Status)(output.Mark(n.Status, t.utf8))
	status := ""
	if n.Status != "" {
		status = "  " + t.style.Status(n.Status)
	}
	line := t.line(columns, at, in, mark, t.rails.mergeMore, t.rails.mergeLast)
	t.b.WriteString(prefix + line + " " + output.Clean(n.label()) + status + "\n")
	out, columns := leave(columns, at, dependents)
	if len(out) > 1 {
		slices.Sort(out)
		t.b.WriteString(prefix + strings.TrimRight(t.line(columns, at, out, t.rails.split, t.rails.splitMore, t.rails.splitLast), " ") + "\n")
	}
	if len(n.Children) > 0 {
		t.siblings(prefix+t.line(columns, -1, nil, "", "", "")+"  ", n.Children)
	}
	return columns
}

// line draws the rails of one line. From the column at, ends are connected: those in the middle with more, the last with last.
func (t *textDrawer) line(columns []*Node, at int, ends []int, own, more, last string) string {
	var b strings.Builder
	right := at
	if len(ends) > 0 {
		right = ends[len(ends)-1]
	}
	for i := range max(len(columns), right+1) {
		passing := i < len(columns) && columns[i] != nil
		switch {
		case i == at:
			b.WriteString(own)
		case at >= 0 && i > at && i < right && slices.Contains(ends, i):
			b.WriteString(more)
		case at >= 0 && i == right:
			b.WriteString(last)
		case at >= 0 && i > at && i < right && passing:
			b.WriteString(t.rails.cross)
		case at >= 0 && i > at && i < right:
			b.WriteString(t.rails.horizontal)
		case passing:
			b.WriteString(t.rails.vertical)
		default:
			b.WriteString(" ")
		}
		if at >= 0 && i >= at && i < right {
			b.WriteString(t.rails.horizontal)
		} else if i < max(len(columns), right+1)-1 {
			b.WriteString(" ")
		}
	}
	return b.String()
}

// list draws nodes without rails, and says what each waits for.
func (t *textDrawer) list(prefix string, nodes []*Node) {
	for _, n := range nodes {
		status, from := "", ""
		if n.Status != "" {
			status = "  " + t.style.Status(n.Status)
		}
		if len(n.Parents) > 0 {
			var names []string
			for _, p := range n.Parents {
				names = append(names, output.Clean(p.Name))
			}
			from = t.style.Dim("  after " + strings.Join(names, ", "))
		}
		t.b.WriteString(prefix + t.style.For(n.Status)(output.Mark(n.Status, t.utf8)) + " " + output.Clean(n.label()) + status + from + "\n")
		t.siblings(prefix+"  ", n.Children)
	}
}
