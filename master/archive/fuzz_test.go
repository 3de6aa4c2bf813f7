package archive_test

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/archive"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/bolt"
)

// FuzzImport imports anything. What is taken is in the store as the archive says: importing it again finds nothing new, and
// what is exported then can be imported elsewhere.
func FuzzImport(f *testing.F) {
	s, err := bolt.Open(f.TempDir())
	from := lead(f, s, err)
	h := &store.Header{
		Task: "p-aaaaaaaa", Plan: "p", Submitted: 1, Status: dag.TaskFailed, Body: []byte(`{"a":[1,{}]}`),
		Labels: map[string]string{"a": "b", "\xff": "\xfe"}, Request: "r",
	}
	from.commit(f,
		store.Change{
			Create: true, Task: h.Task, Header: h, Source: []byte("{}"), Log: []store.LogEntry{{Seq: 4, Body: []byte("{}")}, {Seq: 5}},
			Nodes: []store.NodeRecord{{Stage: "s", Spec: []byte("{}"), State: []byte("x")}, {Index: 1, Stage: "t", Spec: []byte{}, State: []byte{}}},
		},
		store.Change{Create: true, Task: "q-aaaaaaaa", Header: &store.Header{Task: "q-aaaaaaaa", Plan: "q"}, Source: []byte{}},
	)
	good := export(f, from)
	f.Add(good)
	f.Add(regexp.MustCompile(`,"sha256":"[0-9a-f]*"`).ReplaceAll(good, nil)) // may be changed and is still good
	lines := bytes.SplitAfter(good, []byte("\n"))
	for i := range lines {
		f.Add(bytes.Join(lines[:i], nil))
		f.Add(bytes.Join(append(append([][]byte{}, lines[:i]...), append([][]byte{[]byte("\n"), lines[0]}, lines[i:]...)...), nil))
	}
	f.Add([]byte(`{"archive":{"version":1}}` + "\n" + `{"task":{"name":"a","plan":"","status":"NEW","submitted":0}}` + "\n" +
		`{"source":{}}` + "\n" + `{"done":{"task":"a","nodes":0,"events":0}}` + "\n" + `{"end":{"tasks":1,"nodes":0,"events":0}}`))
	o := archive.ImportOptions{MaxLine: 1 << 16, MaxTask: 1 << 20}
	f.Fuzz(func(t *testing.T, text []byte) {
		check := o
		check.Check = true
		checked, err := archive.Import(t.Context(), nil, 0, bytes.NewReader(text), check)
		if err != nil || checked.Tasks == 0 {
			return // most of all; no file is made for these
		}
		s, err := bolt.Open(t.TempDir())
		to := lead(t, s, err)
		first, err := archive.Import(t.Context(), to, to.epoch, bytes.NewReader(text), o)
		if err != nil {
			return // what is well formed may still be refused by a store, such as a name that is too long
		}
		again, err := archive.Import(t.Context(), to, to.epoch, bytes.NewReader(text), o)
		if err != nil || again.Tasks > 0 || again.Events > 0 || len(again.Different) != len(first.Different) {
			t.Fatalf("imported %+v, then %+v, %v", first, again, err)
		}
		other, err := bolt.Open(t.TempDir())
		third := lead(t, other, err)
		if back := load(t, third, export(t, to)); back.Tasks != first.Tasks {
			t.Fatalf("imported %+v, exported and imported %+v", first, back)
		}
		same(t, "content", contentOf(t, to), contentOf(t, third))
	})
}
