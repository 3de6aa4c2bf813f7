package nursery

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A nursery may be killed at any moment while it moves what an attempt had on to the next one. Whatever it leaves, the next
// nursery knows how the attempt ended, does not start it again, and forgets it whole.
func TestKilledWhileRecycling(t *testing.T) {
	begun, end := &Begun{ID: "a", PID: 7, Started: 1}, &End{At: 2, Started: 1, Exit: 3}
	dir, link := Dir("", "a"), endedFile(Dir("", "a"))
	steps := []struct {
		name string
		do   func() error
	}{
		{"its end is written down", func() error { return nil }},
		{"its record has another name", func() error { return os.Link(StateFile(dir), link) }},
		{"the directory is another's", func() error { return os.Rename(dir, Dir("", "b")) }},
		{"which has begun", func() error { return addLine(Dir("", "b"), &Record{ID: "b", Begun: &Begun{ID: "b", PID: 8}}) }},
		{"and ended", func() error { return addLine(Dir("", "b"), &Record{ID: "b", End: &End{Exit: 9}}) }},
	}
	for last, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			newNursery(".", slog.New(slog.DiscardHandler)).inherit()
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			err := addLine(dir, &Record{ID: "a", Begun: begun, End: end})
			for _, s := range steps[:last+1] {
				err = errors.Join(err, s.do())
			}
			if err != nil {
				t.Fatal(err)
			}
			n := newNursery(".", slog.New(slog.DiscardHandler))
			n.inherit()
			if last >= 2 {
				if a := lookUp(n, "b"); a.end == nil || last < 4 == (a.end.Lost == "") {
					t.Errorf("b: %+v", a.end)
				}
			}
			a := lookUp(n, "a")
			if diff := cmp.Diff(end, a.end); diff != "" || !known(dir) {
				t.Errorf("known is %v: %s", known(dir), diff)
			}
			n.forget([]string{"a"})
			if a := lookUp(n, "a"); !a.unknown || known(dir) {
				t.Errorf("after it was forgotten: known is %v, %+v", known(dir), a.end)
			}
			if last >= 2 && lookUp(n, "b").unknown {
				t.Error("b was forgotten, too")
			}
		})
	}
}

func addLine(dir string, r *Record) error {
	s, err := openState(dir)
	if err != nil {
		return err
	}
	defer s.close()
	return s.add(r)
}

// lookUp resolves an attempt that does not run.
func lookUp(n *nursery, id string) *attempt {
	a, mine := n.claim(id, nil)
	if mine {
		n.resolve(a)
	}
	return a
}

// A spare is used once, and not at all once the attempt whose name it has was forgotten.
func TestSpare(t *testing.T) {
	t.Chdir(t.TempDir())
	n := newNursery(".", slog.New(slog.DiscardHandler))
	n.inherit()
	begin := func(id string) *attempt {
		t.Helper()
		a, _ := n.claim(id, nil)
		if err := n.makeDir(a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	end := func(a *attempt) {
		t.Helper()
		if err := a.state.add(&Record{ID: a.id, Begun: &Begun{ID: a.id}, End: &End{}}); err != nil {
			t.Fatal(err)
		}
		a.child, a.drained, a.end = true, true, &End{}
		n.recycle(a)
		n.settleAs(a, false)
	}
	fresh := func(id string) *attempt {
		t.Helper()
		a := begin(id)
		if a.state != nil {
			t.Fatalf("%s has what another had", id)
		}
		if err := n.furnish(a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	a, b := fresh("a"), fresh("b")
	end(a)
	end(b)
	c := begin("c")
	if c.state != b.state {
		t.Error("c does not have what b had")
	}
	n.forget([]string{"a"})
	if d := fresh("d"); d.state == a.state {
		t.Error("d has what a had, which was forgotten")
	}
	end(c)
	if !Ended(Dir("", "b")) || !Ended(Dir("", "c")) {
		t.Error("how b or c ended is not known")
	}
	if _, err := os.Stat(Dir("", "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("b has a directory: %v", err)
	}
	// Too many lines are not kept together.
	e := begin("e")
	e.state.size = maxShared
	end(e)
	if len(n.spares) != 0 || !Ended(Dir("", "e")) {
		t.Errorf("%d spares", len(n.spares))
	}
	// A directory that something was left in stays as it is.
	f := fresh("f")
	if err := os.WriteFile(WorkDir(f.dir)+"/left", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	end(f)
	if _, err := os.Stat(WorkDir(f.dir) + "/left"); err != nil || len(n.spares) != 0 {
		t.Errorf("%d spares, %v", len(n.spares), err)
	}
}
