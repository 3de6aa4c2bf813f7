package archive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/archive"
	"github.com/clic-orchestrator/clic/master/store"
)

// led is a store with somebody who leads it.
type led struct {
	store.Store
	epoch uint64
}

func lead(t testing.TB, s store.Store, err error) led {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	epoch, err := s.Lead(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return led{Store: s, epoch: epoch}
}

func (s led) commit(t testing.TB, batch ...store.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), s.epoch, batch); err != nil {
		t.Fatal(err)
	}
}

// everyPair runs a test from each kind of store to each, bothWays only between different ones.
func everyPair(t *testing.T, run func(t *testing.T, from, to led)) {
	t.Helper()
	for a, from := range kinds {
		t.Run(a+" to "+a, func(t *testing.T) { run(t, from(t), from(t)) })
	}
	bothWays(t, run)
}

func bothWays(t *testing.T, run func(t *testing.T, from, to led)) {
	t.Helper()
	for a, from := range kinds {
		for b, to := range kinds {
			if a != b {
				t.Run(a+" to "+b, func(t *testing.T) { run(t, from(t), to(t)) })
			}
		}
	}
}

// odd are records that JSON cannot hold, or not as they are.
var odd = [][]byte{
	[]byte(`{"a":1}`), []byte(`{"a": 1}`), []byte("{\"a\":\n1}"), []byte("\x00\xff"),
	{},
	[]byte("null"), []byte(`[1]`), []byte(`{"a":"<&>\u2028"}`),
	[]byte("{\"a\":\"\xff\"}"), []byte(`{"a":"é \u00e9 ` + "\u2028" + `"}`), []byte(`{"a":1}x`), []byte(`"text"`), []byte(`{`),
}

// fill makes tasks of all kinds.
func fill(t testing.TB, s led) {
	t.Helper()
	var batch []store.Change
	for i := range 250 {
		name := fmt.Sprintf("plan%d-%s", i%3, letters(i))
		h := &store.Header{
			Task: name, Plan: fmt.Sprintf("plan%d", i%3), Status: dag.TaskRunning, Submitted: dag.Time(1_700_000_000_000 + i),
			Body: odd[i%len(odd)],
		}
		if i%2 == 0 {
			h.Status, h.Ended, h.Expires = dag.TaskCompleted, 1_700_000_100_000, 1_900_000_000_000
		}
		if i%5 == 0 {
			h.Labels = map[string]string{"team": "a", "": "x", "odd": "\xff", "o\xffdd": "y", "quote": "\"\n"}
			h.Request = "request \xff " + name
		}
		c := store.Change{Create: true, Task: name, Header: h, Source: odd[(i+1)%len(odd)], Log: []store.LogEntry{{Seq: 1, Body: odd[i%len(odd)]}}}
		for n := range i % 7 {
			c.Nodes = append(c.Nodes, store.NodeRecord{
				Index: int32(n), Stage: fmt.Sprintf("%s-sh-%d", name, n), Spec: odd[(i+n)%len(odd)], State: odd[(i+n+5)%len(odd)], Status: "RUNNING",
			})
		}
		batch = append(batch, c)
	}
	s.commit(t, batch...)
	history(t, s, batch[77].Task, 2, 2500)
}

// history appends entries with the numbers from up to to.
func history(t testing.TB, s led, task string, from, to uint64) {
	t.Helper()
	c := store.Change{Task: task}
	for seq := from; seq <= to; seq++ {
		c.Log = append(c.Log, store.LogEntry{Seq: seq, Body: fmt.Appendf(nil, `{"entry":%d}`, seq)})
	}
	s.commit(t, c)
}

func letters(i int) string {
	s := []byte("aaaaaaaa")
	for p := 7; i > 0; p, i = p-1, i/26 {
		s[p] = 'a' + byte(i%26)
	}
	return string(s)
}

// content is all there is in a store.
type content struct {
	Records map[string]*store.Record
	Logs    map[string][]store.LogEntry
}

func contentOf(t testing.TB, s store.Store) content {
	t.Helper()
	all := content{Records: map[string]*store.Record{}, Logs: map[string][]store.LogEntry{}}
	for q := (store.Query{Limit: 1000}); ; {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Headers {
			name := page.Headers[i].Task
			r, err := s.Load(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			all.Records[name] = r
			for after := uint64(0); ; {
				log, err := s.History(t.Context(), name, after, 0)
				if err != nil {
					t.Fatal(err)
				}
				if len(log) == 0 {
					break
				}
				all.Logs[name] = append(all.Logs[name], log...)
				after = log[len(log)-1].Seq
			}
		}
		if page.Next == "" {
			return all
		}
		q.Cursor = page.Next
	}
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	loosely := cmp.Options{
		cmpopts.EquateEmpty(), cmpopts.IgnoreFields(store.Record{}, "Revision"), cmpopts.IgnoreFields(store.NodeRecord{}, "Status"),
	}
	// Byte by byte, only what is different.
	filled := func(x, y []byte) bool { return len(x)+len(y) > 0 }
	if !cmp.Equal(want, got, loosely, cmp.FilterValues(filled, cmp.Comparer(bytes.Equal))) {
		t.Errorf("%s (-want +got):\n%s", what, cmp.Diff(want, got, loosely))
	}
}

func export(t testing.TB, s store.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := archive.Export(t.Context(), s, &b, archive.ExportOptions{Program: "test"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func load(t testing.TB, s led, text []byte) *archive.Imported {
	t.Helper()
	got, err := archive.Import(t.Context(), s, s.epoch, bytes.NewReader(text), archive.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRoundTrip(t *testing.T) {
	everyPair(t, func(t *testing.T, from, to led) {
		fill(t, from)
		text := export(t, from)
		for n := range bytes.Lines(text) {
			if !json.Valid(n) {
				t.Fatalf("not JSON: %q", n)
			}
		}
		want := &archive.Imported{Counts: archive.Counts{Tasks: 250, Nodes: 745, Events: 250 + 2499}}
		same(t, "import", want, load(t, to, text))
		same(t, "content", contentOf(t, from), contentOf(t, to))
		same(t, "import again", &archive.Imported{Identical: 250}, load(t, to, text))
		checked, err := archive.Import(t.Context(), nil, 0, bytes.NewReader(text), archive.ImportOptions{Check: true})
		if err != nil || checked.Tasks != 250 {
			t.Errorf("check: %+v, %v", checked, err)
		}
		// What was imported is exported the same, but for revisions.
		same(t, "export of the import", withoutRevisions(t, text), withoutRevisions(t, export(t, to)))
	})
}

// withoutRevisions takes out of an archive what a store need not keep.
func withoutRevisions(t testing.TB, text []byte) []string {
	t.Helper()
	var out []string
	for l := range bytes.Lines(text) {
		var one map[string]map[string]any
		if err := json.Unmarshal(l, &one); err == nil {
			delete(one["task"], "revision")
			delete(one["done"], "sha256")
			delete(one["node"], "status")
		} else if !bytes.HasPrefix(l, []byte(`{"cursor"`)) {
			t.Fatal(err)
		} else {
			continue // cursors are each store's own
		}
		back, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(back))
	}
	return out
}

// cutter fails after so many bytes.
type cutter struct {
	r    io.Reader
	left int
}

var errCut = errors.New("the line was cut")

func (c *cutter) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, errCut
	}
	n, err := c.r.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// TestInterruptedImport breaks an import off again and again, and repeats it from the start.
func TestInterruptedImport(t *testing.T) {
	bothWays(t, func(t *testing.T, from, to led) {
		fill(t, from)
		text := export(t, from)
		written := 0
		for part := 1; part < 5; part++ {
			r := &cutter{r: bytes.NewReader(text), left: part * len(text) / 5}
			got, err := archive.Import(t.Context(), to, to.epoch, r, archive.ImportOptions{})
			written += got.Tasks
			if !errors.Is(err, errCut) {
				t.Fatalf("error is %v", err)
			}
			if len(got.Different) > 0 {
				t.Fatalf("differences: %v", got.Different)
			}
		}
		written += load(t, to, text).Tasks
		if written != 250 {
			t.Errorf("%d tasks were written, want 250", written)
		}
		same(t, "content", contentOf(t, from), contentOf(t, to))
	})
}

// refuser is a store of which commits fail after a number of them.
type refuser struct {
	store.Store
	left int
}

func (r *refuser) Commit(ctx context.Context, epoch uint64, batch []store.Change) error {
	if r.left--; r.left < 0 {
		return store.ErrUnavailable
	}
	return r.Store.Commit(ctx, epoch, batch)
}

// TestLargeHistory is about a task whose history is written in parts, with a store that goes away in between.
func TestLargeHistory(t *testing.T) {
	const entries = 3000 // a little more than is kept in memory
	bothWays(t, func(t *testing.T, from, to led) {
		h := &store.Header{Task: "p-aaaaaaaa", Plan: "p", Submitted: 1, Body: []byte("{}")}
		from.commit(t, store.Change{Create: true, Task: h.Task, Header: h, Source: []byte("x")})
		c := store.Change{Task: h.Task}
		for seq := range uint64(entries) {
			c.Log = append(c.Log, store.LogEntry{Seq: 3*seq + 1, Body: bytes.Repeat([]byte("x"), 2200)})
		}
		from.commit(t, c)
		text := export(t, from)
		_, err := archive.Import(t.Context(), &refuser{Store: to, left: 1}, to.epoch, bytes.NewReader(text), archive.ImportOptions{})
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), `task "p-aaaaaaaa"`) || !strings.Contains(err.Error(), "line ") {
			t.Fatalf("error is %v", err)
		}
		before := len(contentOf(t, to).Logs[h.Task])
		if before == 0 || before == entries {
			t.Fatalf("%d entries were written before the store went away", before)
		}
		got := load(t, to, text)
		same(t, "import", &archive.Imported{Counts: archive.Counts{Events: int64(entries - before)}, Completed: 1}, got)
		same(t, "content", contentOf(t, from), contentOf(t, to))
	})
}

// failing fails after so many bytes were written.
type failing struct {
	bytes.Buffer
	left int
}

func (f *failing) Write(b []byte) (int, error) {
	n, _ := f.Buffer.Write(b[:min(len(b), f.left)])
	f.left -= n
	if n < len(b) {
		return n, errCut
	}
	return n, nil
}

// TestContinuedExport breaks an export off at every place of some, continues it into the same file, and imports that.
func TestContinuedExport(t *testing.T) {
	from := kinds["bolt"](t)
	fill(t, from)
	whole := len(export(t, from))
	for _, at := range []int{0, 1, 100, whole / 2, whole - 300, whole - 3} {
		file := &failing{left: at}
		first, err := archive.Export(t.Context(), from, file, archive.ExportOptions{Program: "test"})
		if !errors.Is(err, errCut) {
			t.Fatalf("error is %v", err)
		}
		if _, err := archive.Import(t.Context(), nil, 0, bytes.NewReader(file.Bytes()), archive.ImportOptions{Check: true}); err == nil {
			t.Error("a part is taken for the whole")
		}
		if first.Cursor == "" {
			continue // nothing was written that is of use: one begins anew
		}
		file.left = 1 << 30
		if _, err := archive.Export(t.Context(), from, file, archive.ExportOptions{After: first.Cursor}); err != nil {
			t.Fatal(err)
		}
		to := kinds["bolt"](t)
		if got := load(t, to, file.Bytes()); got.Tasks != 250 || len(got.Different) > 0 {
			t.Errorf("cut at %d of %d: %+v", at, whole, got)
		}
		same(t, "content", contentOf(t, from), contentOf(t, to))
	}
}

func TestDifferences(t *testing.T) {
	everyPair(t, func(t *testing.T, from, to led) {
		name := func(i int) string { return "p-" + letters(i) }
		create := func(i int) store.Change {
			return store.Change{
				Create: true, Task: name(i), Source: []byte("x"), Log: []store.LogEntry{{Seq: 1, Body: []byte("one")}},
				Header: &store.Header{Task: name(i), Plan: "p", Submitted: dag.Time(100 - i), Body: []byte("{}"), Request: "r" + name(i)},
				Nodes:  []store.NodeRecord{{Stage: "s", Spec: []byte("a"), State: []byte("b")}},
			}
		}
		for i := range 9 {
			from.commit(t, create(i))
		}
		history(t, from, name(6), 2, 10)
		for i, change := range map[int]func(c *store.Change){
			0: func(c *store.Change) { c.Header.Status = dag.TaskFailed },
			1: func(c *store.Change) { c.Header.Submitted = 7 },
			2: func(c *store.Change) { c.Source = []byte("y") },
			3: func(c *store.Change) { c.Nodes[0].State = []byte("c") },
			4: func(c *store.Change) { c.Nodes = nil },
			5: func(c *store.Change) { c.Log = append(c.Log, store.LogEntry{Seq: 2}) },
			6: func(c *store.Change) { c.Log = append(c.Log, store.LogEntry{Seq: 3}) },
			7: func(c *store.Change) { c.Header.Labels = map[string]string{"a": "b"} },
		} {
			c := create(i)
			change(&c)
			to.commit(t, c)
		}
		other := create(20)
		other.Header.Request = "r" + name(8)
		to.commit(t, other)
		before := contentOf(t, to)
		got := load(t, to, export(t, from))
		var words []string
		for _, d := range got.Different {
			_, what, _ := strings.Cut(d.String(), ": ")
			words = append(words, what)
		}
		same(t, "differences", []string{
			`task "p-aaaaaaaa": its status is NEW, that of the one that is there FAILED`,
			`task "p-aaaaaaab": it is of plan "p", submitted at 99, the one that is there of plan "p", at 7`,
			`task "p-aaaaaaac": its plan is another one`,
			`task "p-aaaaaaad": its node 0 (s) is another one`,
			`task "p-aaaaaaae": it has 1 nodes, the one that is there 0`,
			`task "p-aaaaaaaf": its history has gone on`,
			`task "p-aaaaaaag": its history is another one at entry 2`,
			`task "p-aaaaaaah": its header is another one`,
			`task "p-aaaaaaai": its request key "rp-aaaaaaai" belongs to task "p-aaaaaaau"`,
		}, words)
		same(t, "content", before, contentOf(t, to))
	})
}

// TestTrimmedHistory: a store may have dropped old entries, before an export or after an import.
func TestTrimmedHistory(t *testing.T) {
	from, to := kinds["bolt"](t), kinds["bolt"](t)
	h := &store.Header{Task: "p-aaaaaaaa", Plan: "p", Submitted: 1, Body: []byte("{}")}
	create := store.Change{Create: true, Task: h.Task, Header: h, Source: []byte("x")}
	from.commit(t, create)
	history(t, from, h.Task, 1, 50)
	to.commit(t, create)
	history(t, to, h.Task, 30, 40)
	same(t, "into one that has dropped some", &archive.Imported{Counts: archive.Counts{Events: 10}, Completed: 1}, load(t, to, export(t, from)))
	same(t, "from one that has dropped some", &archive.Imported{Identical: 1}, load(t, from, export(t, to)))
}

func TestDamage(t *testing.T) {
	from := kinds["bolt"](t)
	h := &store.Header{Task: "p-aaaaaaaa", Plan: "p", Submitted: 1, Body: []byte(`{"name":"p-aaaaaaaa"}`)}
	from.commit(t, store.Change{
		Create: true, Task: h.Task, Header: h, Source: []byte("{}"), Log: []store.LogEntry{{Seq: 4, Body: []byte("{}")}, {Seq: 5}},
		Nodes: []store.NodeRecord{{Stage: "s", Spec: []byte("{}"), State: []byte("{}")}},
	})
	good := string(export(t, from))
	lines := strings.SplitAfter(strings.TrimSuffix(good, "\n"), "\n")
	without := func(n ...int) string {
		var left []string
		for i, l := range lines {
			if len(n) == 0 || i < n[0] || i > n[len(n)-1] {
				left = append(left, l)
			}
		}
		return strings.Join(left, "")
	}
	replace := func(this, that string) string {
		if !strings.Contains(good, this) {
			t.Fatalf("%q is not in the archive:\n%s", this, good)
		}
		return strings.Replace(good, this, that, 1)
	}
	for name, c := range map[string]struct {
		text string
		want error
		says string
	}{
		"empty":             {"", archive.ErrFormat, "line 1"},
		"blank lines":       {"\n\n  \n", archive.ErrFormat, "empty"},
		"something else":    {"apiVersion: v1\n", archive.ErrFormat, "line 1"},
		"no beginning":      {without(0), archive.ErrFormat, "does not begin"},
		"newer":             {replace(`"version":1`, `"version":2`), store.ErrNewer, "version 2"},
		"no version":        {replace(`"version":1`, `"version":0`), archive.ErrFormat, "version 0"},
		"no end":            {without(len(lines) - 1), archive.ErrCut, ""},
		"half a line":       {good[:len(good)-20], archive.ErrCut, "line 8"},
		"no source":         {without(2), archive.ErrFormat, "after the source"},
		"no node":           {without(3), archive.ErrFormat, "0 nodes"},
		"no entry":          {without(4), archive.ErrFormat, "1 history entries"},
		"no done":           {without(6), archive.ErrFormat, "wrong place"},
		"no task":           {without(1, 6), archive.ErrFormat, "it should have"},
		"only its end":      {without(1, 5), archive.ErrFormat, "wrong place"},
		"changed":           {replace(`"name":"p-aaaaaaaa"}`, `"name":"p-aaaaaaab"}`), archive.ErrFormat, "checksum"},
		"wrong index":       {replace(`"index":0`, `"index":1`), archive.ErrFormat, "node 1 after 0"},
		"wrong order":       {replace(`"seq":5`, `"seq":4`), archive.ErrFormat, "entry 4 after 4"},
		"unknown key":       {replace(`{"node"`, `{"knot"`), archive.ErrFormat, "knot"},
		"unknown field":     {replace(`"index"`, `"indes"`), archive.ErrFormat, "indes"},
		"unknown status":    {replace(`"NEW"`, `"OLD"`), archive.ErrFormat, "OLD"},
		"no name":           {replace(`"name":"p-aaaaaaaa","plan"`, `"name":"","plan"`), archive.ErrFormat, "no name"},
		"bad base64":        {replace(`"name":"p-aaaaaaaa","plan"`, `"name":{"base64":"?"},"plan"`), archive.ErrFormat, "base64"},
		"two keys":          {replace(`{"source"`, `{"cursor":"x","source"`), archive.ErrFormat, "exactly one"},
		"two objects":       {replace(`{"source"`, `{"cursor":"x"}{"source"`), archive.ErrFormat, "more than one"},
		"no key":            {replace(lines[2], "{}\n"), archive.ErrFormat, "exactly one"},
		"second source":     {replace(lines[2], lines[2]+lines[2]), archive.ErrFormat, "second source"},
		"task in a task":    {replace(lines[2], lines[1]), archive.ErrFormat, "another task begins"},
		"other end":         {replace(`{"done":{"task":"p-`, `{"done":{"task":"q-`), archive.ErrFormat, "another task"},
		"after the end":     {good + lines[1], archive.ErrFormat, "follows the end"},
		"again":             {good + good, archive.ErrFormat, "follows the end"},
		"beginning in task": {replace(lines[3], lines[0]), archive.ErrFormat, "wrong place"},
	} {
		t.Run(name, func(t *testing.T) {
			to := kinds["bolt"](t)
			_, err := archive.Import(t.Context(), to, to.epoch, strings.NewReader(c.text), archive.ImportOptions{})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %v, want %v that says %q", err, c.want, c.says)
			}
			var at *archive.LineError
			if !errors.As(err, &at) || at.Line == 0 {
				t.Errorf("error names no line: %v", err)
			}
			if n := len(contentOf(t, to).Records); n > 0 && !errors.Is(err, archive.ErrCut) && c.says != "follows the end" {
				t.Errorf("%d tasks were written", n)
			}
		})
	}
	// Without its checksum, an archive may be edited.
	edited := regexp.MustCompile(`,"sha256":"[0-9a-f]*"`).ReplaceAllString(replace(`"name":"p-aaaaaaaa"}`, `"name":"edited"}`), "")
	to := kinds["bolt"](t)
	load(t, to, []byte(edited))
}

func TestLimits(t *testing.T) {
	from := kinds["bolt"](t)
	fill(t, from)
	text := export(t, from)
	for _, o := range []archive.ImportOptions{{Check: true, MaxLine: 300}, {Check: true, MaxTask: 500}} {
		_, err := archive.Import(t.Context(), nil, 0, bytes.NewReader(text), o)
		if !errors.Is(err, archive.ErrTooLarge) {
			t.Errorf("%+v: error is %v", o, err)
		}
	}
	endless := io.MultiReader(bytes.NewReader(text[:bytes.IndexByte(text, '\n')+1]), forever{})
	if _, err := archive.Import(t.Context(), nil, 0, endless, archive.ImportOptions{Check: true}); !errors.Is(err, archive.ErrTooLarge) {
		t.Errorf("a line without an end: %v", err)
	}
}

type forever struct{}

func (forever) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte("x"), len(b))), nil }

func TestFencedImport(t *testing.T) {
	everyPair(t, func(t *testing.T, from, to led) {
		fill(t, from)
		if _, err := to.Lead(t.Context(), "another"); err != nil {
			t.Fatal(err)
		}
		_, err := archive.Import(t.Context(), to, to.epoch, bytes.NewReader(export(t, from)), archive.ImportOptions{})
		if !errors.Is(err, store.ErrFenced) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestContextEnds(t *testing.T) {
	from := kinds["bolt"](t)
	fill(t, from)
	text := export(t, from)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := archive.Export(ctx, from, io.Discard, archive.ExportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("export: %v", err)
	}
	if _, err := archive.Import(ctx, nil, 0, bytes.NewReader(text), archive.ImportOptions{Check: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("import: %v", err)
	}
}

func TestProgress(t *testing.T) {
	from := kinds["bolt"](t)
	fill(t, from)
	var out, in int
	var b bytes.Buffer
	_, err := archive.Export(t.Context(), from, &b, archive.ExportOptions{Now: time.Unix(0, 0).UTC(), Progress: func(c archive.Counts) { out = c.Tasks }})
	if err != nil || !strings.Contains(b.String(), `"made":"1970-01-01T00:00:00Z"`) {
		t.Errorf("%v, %.100s", err, b.String())
	}
	_, err = archive.Import(t.Context(), nil, 0, &b, archive.ImportOptions{Check: true, Progress: func(i *archive.Imported) { in = i.Tasks }})
	if err != nil || in != 250 || out != 250 {
		t.Errorf("%d tasks out, %d in, %v", out, in, err)
	}
}
