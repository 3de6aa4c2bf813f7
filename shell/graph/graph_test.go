package graph

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/iostreams"
)

// task makes stages from lines "name: parents", in groups named after a slash: "group/name: parents".
func task(lines ...string) *Graph {
	var stages []*master.StageInfo
	groups := map[string]master.NodeKind{"loop": master.NodeKind_FAN_OUT, "sub": master.NodeKind_DAG}
	for i, line := range lines {
		name, on, _ := strings.Cut(line, ":")
		group, name, found := strings.Cut(name, "/")
		if !found {
			group, name = "", group
		}
		s := &master.StageInfo{StageId: name, Name: name, Group: group, Index: int32(i), Parents: strings.Fields(on), State: master.StageState_WAITING}
		if kind, is := groups[name]; is {
			s.Kind = kind
		}
		stages = append(stages, s)
	}
	return FromTask("t", stages)
}

func TestText(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  string
	}{
		{"a chain", []string{"a:", "b: a", "c: b"}, `t
· a  WAITING
· b  WAITING
· c  WAITING
`},
		{"a diamond, out of order", []string{"d: b c", "b: a", "c: a", "a:"}, `t
· a  WAITING
├─╮
· │ b  WAITING
│ · c  WAITING
·─╯ d  WAITING
`},
		{"crossing edges and a free rail", []string{"a:", "b: a", "c: a", "d: a", "e: b d", "f: c e", "g: f", "x:", "h: g x"}, `t
· a  WAITING
├─┬─╮
│ │ │ · x  WAITING
· │ │ │ b  WAITING
│ · │ │ c  WAITING
│ │ · │ d  WAITING
·─┼─╯ │ e  WAITING
·─╯   │ f  WAITING
·     │ g  WAITING
·─────╯ h  WAITING
`},
		{"groups", []string{"a:", "sub: a", "sub/b:", "sub/c: b", "loop: a", "loop/i0:", "loop/i1:", "z: sub loop"}, `t
· a  WAITING
├─╮
· │ sub (dag)  WAITING
│ │  · b  WAITING
│ │  · c  WAITING
│ · loop (fan out)  WAITING
│ │  · i0  WAITING
│ │  · i1  WAITING
·─╯ z  WAITING
`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Text(task(tc.lines...), iostreams.Style{}, true)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTextOfLargeGroups(t *testing.T) {
	lines := []string{"loop:"}
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("loop/i%d:", i))
	}
	got := Text(task(lines...), iostreams.Style{}, true)
	if !strings.HasSuffix(got, "· i11  WAITING\n… and 988 more\n") {
		t.Errorf("a large loop:\n%s", got)
	}
	// A fan-out of plain stages needs too many rails: it becomes a list that says what each waits for.
	lines = []string{"a:"}
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("s%d: a", i))
	}
	got = Text(task(lines...), iostreams.Style{}, false)
	if !strings.Contains(got, ". s99  WAITING  after a\n") {
		t.Errorf("a wide fan-out:\n%s", got)
	}
}

// TestTextProperties draws random graphs: each node stands on one line, below all that it waits for, and one rail per edge
// leads to it.
func TestTextProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var lines []string
		n := 1 + r.IntN(12)
		for i := range n {
			line := fmt.Sprintf("n%d:", i)
			for j := range i {
				if r.IntN(4) == 0 {
					line += fmt.Sprintf(" n%d", j)
				}
			}
			lines = append(lines, line)
		}
		r.Shuffle(n, func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		g := task(lines...)
		text := Text(g, iostreams.Style{}, true)
		if got := strings.Count(text, "WAITING"); got != n {
			t.Fatalf("%d lines for %d nodes:\n%s", got, n, text)
		}
		for _, node := range g.Nodes {
			at := strings.Index(text, " "+node.Name+"  ")
			for _, p := range node.Parents {
				if up := strings.Index(text, " "+p.Name+"  "); up < 0 || up > at {
					t.Fatalf("%s stands above %s:\n%s", node.Name, p.Name, text)
				}
			}
			line := text[strings.LastIndex(text[:at], "\n")+1 : at]
			if ends := strings.Count(line, "╯") + strings.Count(line, "┴"); ends != max(0, len(node.Parents)-1) {
				t.Fatalf("%d rails end beside %s, which has %d parents:\n%s", ends, node.Name, len(node.Parents), text)
			}
		}
	}
}

func TestQuoting(t *testing.T) {
	g := task(`a"b\c<d>&#:`)
	if got, want := Mermaid(g), `n0["a#quot;b\c#lt;d#gt;#amp;#35;"]`; !strings.Contains(got, want) {
		t.Errorf("Mermaid: %s", got)
	}
	if got, want := DOT(g), `label="a\"b\\c<d>&#"`; !strings.Contains(got, want) {
		t.Errorf("DOT: %s", got)
	}
}
