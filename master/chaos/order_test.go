package chaos

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// latest is what the journal says of the newest attempt of a stage.
type latest struct {
	started, prepared, ended bool
	exit                     string
}

// order checks, by what stages have written themselves, that none was started before what it depends on was done.
type order struct {
	works map[string]work
	cut   map[string]bool     // stages that were cancelled at some time: that counts as failed
	names map[string]string   // of the plan's tasks, by the id of the stage
	ids   map[string][]string // of the stages, by the name
	now   map[string]latest
}

// misorder is an attempt that was started too early.
type misorder struct {
	mark
	need
	parents []string // their ids
}

func (m misorder) String() string {
	return fmt.Sprintf("attempt %s was started, and %s%s is not done", m.id(), m.name, m.how)
}

// misorders goes through the journal of a task, and says which stages were started too early.
func misorders(works map[string]work, nodes []*thriftmaster.StageInfo, cut map[string]bool, marks []mark) []misorder {
	o := &order{works: works, cut: cut, names: map[string]string{}, ids: map[string][]string{}, now: map[string]latest{}}
	for _, v := range nodes {
		if v.Kind == thriftmaster.NodeKind_STAGE {
			name := taskName(v)
			o.names[v.StageId] = name
			o.ids[name] = append(o.ids[name], v.StageId)
		}
	}
	var wrong []misorder
	for _, m := range marks {
		name, ours := o.names[m.stage]
		if !ours {
			continue
		}
		l := o.now[m.stage]
		switch m.verb {
		case markStart:
			l = latest{started: true, prepared: l.prepared} // what was prepared outlives its attempt: see dag.Depends
			for _, n := range works[name].needs {
				if !o.met(n) {
					wrong = append(wrong, misorder{m, n, o.ids[n.name]})
				}
			}
		case markPrepared:
			l.prepared = true
		case markEnd:
			l.ended, l.exit = true, m.word
		}
		o.now[m.stage] = l
	}
	return wrong
}

// taskName is the name that a stage has in the plan; the stages of a loop have that of the loop.
func taskName(v *thriftmaster.StageInfo) string {
	path := strings.TrimPrefix(v.Path, v.TaskName)
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "."), "(")
	return name
}

func (o *order) met(n need) bool {
	w := o.works[n.name]
	if n.how == "" && w.state == "SKIPPED" {
		return true
	}
	ids := o.ids[n.name]
	if w.loop && len(ids) != loopWidth || !w.loop && len(ids) != 1 {
		return false
	}
	for _, id := range ids {
		switch l := o.now[id]; n.how {
		case ".Failed":
			if (!l.ended || l.exit == "0") && !o.cut[id] {
				return false
			}
		case ".Omitted":
			if l.started {
				return false
			}
		default:
			if !l.prepared && (!l.ended || l.exit != "0") {
				return false
			}
		}
	}
	return true
}

// TestMisorders plants what must be found.
func TestMisorders(t *testing.T) {
	works := map[string]work{
		"a": {}, "java": {}, "bad": {state: "FAILED"}, "no": {state: "SKIPPED"}, "gone": {state: "OMITTED"},
		"loop": {loop: true, needs: []need{{"a", ""}}},
		"b":    {needs: []need{{"a", ""}, {"no", ""}}},
		"c":    {needs: []need{{"java", ""}, {"bad", ".Failed"}, {"gone", ".Omitted"}}},
		"d":    {needs: []need{{"loop", ""}}},
		"e":    {needs: []need{{"cut", ".Failed"}}},
		"cut":  {state: "FAILED"},
	}
	var nodes []*thriftmaster.StageInfo
	add := func(path string) {
		nodes = append(nodes, &thriftmaster.StageInfo{TaskName: "t", StageId: strings.TrimPrefix(path, "."), Path: "t" + path})
	}
	for name := range works {
		if name != "loop" {
			add("." + name)
		}
	}
	for i := range loopWidth {
		add(fmt.Sprintf(".loop(%d:x)", i))
	}
	var loop string
	for i := range loopWidth {
		loop += fmt.Sprintf("S loop(%d:x) 0 1\nE loop(%d:x) 0 0\n", i, i)
	}
	for _, c := range []struct {
		name, journal string
		want          []string
	}{
		{"in order", "S a 0 1\nE a 0 0\nS b 0 1\n" + loop + "S d 0 1\nS java 0 1\nP java 0 \nS bad 0 1\nE bad 0 7\nS c 0 1\nE java 0 0", nil},
		{"cancelled is failed", "S cut 0 1\nS e 0 1", nil},
		{"parent runs", "S a 0 1\nS b 0 1", []string{"attempt b 0 was started, and a is not done"}},
		{"parent failed", "S a 0 1\nE a 0 3\nS b 0 1", []string{"attempt b 0 was started, and a is not done"}},
		{"parent runs again", "S a 0 1\nE a 0 0\nS b 0 1\nE b 0 0\nS a 1 1\nS b 1 1", []string{"attempt b 1 was started, and a is not done"}},
		{"never started", "S b 0 1", []string{"attempt b 0 was started, and a is not done"}},
		{"parent prepared, and runs again", "S a 0 1\nP a 0 \nE a 0 3\nS a 1 1\nS b 0 1", nil},
		{"loop not whole", "S a 0 1\nE a 0 0\n" + strings.TrimSuffix(loop, "E loop(7:x) 0 0\n") + "S d 0 1", []string{"attempt d 0 was started, and loop is not done"}},
		{
			"otherwise", "S java 0 1\nS gone 0 1\nS bad 0 1\nE bad 0 0\nS c 0 1",
			[]string{"attempt c 0 was started, and java is not done", "attempt c 0 was started, and bad.Failed is not done", "attempt c 0 was started, and gone.Omitted is not done"},
		},
	} {
		var marks []mark
		for line := range strings.Lines(c.journal) {
			m, ok := parseMark(strings.TrimSuffix(line, "\n"))
			if !ok {
				t.Fatalf("%s: %q", c.name, line)
			}
			marks = append(marks, m)
		}
		var got []string
		for _, m := range misorders(works, nodes, map[string]bool{"cut": true}, marks) {
			got = append(got, m.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
