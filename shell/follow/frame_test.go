package follow

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

func now() time.Time { return time.Date(2026, 3, 5, 14, 30, 0, 0, time.UTC) }

func ago(seconds int64) int64 { return now().UnixMilli() - seconds*1000 }

func exampleTask() (*master.TaskInfo, []*master.StageInfo) {
	const name = "words-abcdefgh"
	stage := func(i int32, n string, s master.StageState) *master.StageInfo {
		return &master.StageInfo{TaskName: name, StageId: name + "-" + n, Name: n, Path: "." + n, State: s, Index: i}
	}
	fetch := stage(0, "fetch", master.StageState_COMPLETED)
	fetch.Started, fetch.Ended = ago(60), ago(50)
	count := stage(1, "count", master.StageState_RUNNING)
	count.Started, count.ProgressDone, count.ProgressTotal = ago(50), new(int64(40)), new(int64(100))
	sort := stage(2, "sort", master.StageState_FAILED)
	sort.Started, sort.Ended = ago(50), ago(49)
	sort.Failure = &master.Failure{Kind: "exit", ExitCode: 3, Message: "Error (exit code 3)\x1b[31m"}
	join := stage(3, "join", master.StageState_WAITING)
	join.Explanation = &master.Explanation{Kind: "parents", Text: "waits for " + name + "-count (RUNNING)"}
	hold := stage(4, "合计-of-everything", master.StageState_SUSPEND)
	hold.Explanation = &master.Explanation{Kind: "hold", Text: "held by bob until 15:00: wait for the dump"}
	return &master.TaskInfo{
		TaskName: name, State: master.TaskState_RUNNING, Started: ago(61), Stages: 5, RemainingMillis: new(int64(90_000)),
		Counts: map[string]int32{"COMPLETED": 1, "RUNNING": 1, "FAILED": 1, "WAITING": 1, "SUSPEND": 1},
	}, []*master.StageInfo{fetch, count, sort, join, hold}
}

func TestFrame(t *testing.T) {
	task, stages := exampleTask()
	tests := []struct {
		name string
		look Look
		want []string
	}{
		{"wide", Look{Columns: 100, Rows: 24, UTF8: true}, []string{
			"words-abcdefgh  RUNNING  1m01s, about 1m30s left",
			"████████████░░░░░░░░░░░░░░░░░░ 2/5  1 waiting, 1 running, 1 completed, 1 failed, 1 suspend",
			"  ✓ fetch               COMPLETED       10s",
			"  ▶ count               RUNNING         50s  ████░░░░░░ 40%",
			"  ✗ sort                FAILED         1.0s  Error (exit code 3)",
			"  · join                WAITING              waits for count (RUNNING)",
			"  ‖ 合计-of-everything  SUSPEND              held by bob until 15:00: wait for the dump",
		}},
		{"narrow, low, ASCII, with a notice", Look{Columns: 50, Rows: 7, Notice: "lost the master"}, []string{
			"words-abcdefgh  RUNNING  1m01s, about 1m30s left",
			"[####----------] 2/5  1 waiting, 1 running, ...",
			"  > count  RUNNING         50s  [##------] 40%",
			"  x sort   FAILED         1.0s  Error (exit co...",
			"  and 3 more (clic stages words-abcdefgh)",
			"! lost the master",
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tc.look.Now = now()
			got := Frame(task, stages, tc.look)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s\n%s", diff, strings.Join(got, "\n"))
			}
		})
	}
}

// TestFrameFits draws on terminals of all sizes: no line is wider, no frame is higher.
func TestFrameFits(t *testing.T) {
	task, stages := exampleTask()
	task.Message = strings.Repeat("long ", 50)
	for columns := 21; columns < 150; columns += 3 {
		for rows := 8; rows < 30; rows += 4 {
			lines := Frame(task, stages, Look{Columns: columns, Rows: rows, UTF8: rows%8 == 0, Now: now(), Notice: "n"})
			if len(lines) > rows {
				t.Errorf("%d×%d: %d lines", columns, rows, len(lines))
			}
			for _, l := range lines {
				if w := runewidth.StringWidth(output.Bare(l)); w > columns-1 {
					t.Errorf("%d×%d: line of %d columns: %q", columns, rows, w, l)
				}
			}
		}
	}
}

// TestScreen shows random frames on a small terminal of our own, and looks at what is on it after each.
func TestScreen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var out bytes.Buffer
	io := &iostreams.Streams{Out: &out}
	io.SetSize(40, 20)
	s := newScreen(io)
	term := &terminal{rows: []string{"$ clic watch t"}, y: 1}
	for range 300 {
		var frame []string
		for i := range 1 + r.IntN(8) {
			frame = append(frame, fmt.Sprintf("line %d %s", i, strings.Repeat("x", r.IntN(20))))
		}
		if err := s.show(frame); err != nil {
			t.Fatal(err)
		}
		term.write(out.String())
		out.Reset()
		want := append([]string{"$ clic watch t"}, frame...)
		if diff := cmp.Diff(want, term.shown()); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	}
	if err := s.show(s.frame); err != nil || out.Len() > 0 {
		t.Errorf("the same frame again: %q, %v", out.String(), err)
	}
	s.close()
	if !strings.Contains(out.String(), showCursor) {
		t.Errorf("the cursor stays hidden: %q", out.String())
	}
}

// terminal understands what screen sends.
type terminal struct {
	rows []string
	x, y int
}

func (t *terminal) write(text string) {
	for len(text) > 0 {
		switch {
		case strings.HasPrefix(text, eraseLine):
			t.rows[t.y] = t.rows[t.y][:min(t.x, len(t.rows[t.y]))]
			text = text[len(eraseLine):]
		case strings.HasPrefix(text, eraseBelow):
			t.grow()
			t.rows[t.y] = t.rows[t.y][:min(t.x, len(t.rows[t.y]))]
			t.rows = t.rows[:t.y+1]
			text = text[len(eraseBelow):]
		case strings.HasPrefix(text, upLine):
			t.y--
			text = text[len(upLine):]
		case strings.HasPrefix(text, "\x1b[?"):
			text = text[strings.IndexAny(text, "hl")+1:]
		case text[0] == '\r':
			t.x = 0
			text = text[1:]
		case text[0] == '\n':
			t.y++
			t.grow()
			text = text[1:]
		default:
			t.grow()
			row := t.rows[t.y] + strings.Repeat(" ", max(0, t.x-len(t.rows[t.y])))
			t.rows[t.y] = row[:t.x] + text[:1] + row[min(t.x+1, len(row)):]
			t.x++
			text = text[1:]
		}
	}
}

func (t *terminal) grow() {
	for len(t.rows) <= t.y {
		t.rows = append(t.rows, "")
	}
}

func (t *terminal) shown() []string {
	rows := t.rows
	for len(rows) > 0 && rows[len(rows)-1] == "" {
		rows = rows[:len(rows)-1]
	}
	return append([]string{}, rows...)
}
