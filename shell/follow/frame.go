package follow

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

// Look is how a frame is drawn.
type Look struct {
	Columns, Rows int
	Style         iostreams.Style
	UTF8          bool
	Now           time.Time
	// Notice is a line at the end, or "".
	Notice string
}

// Frame draws a task as lines, none wider than the terminal and not more than it has rows. It is a pure function.
func Frame(t *master.TaskInfo, stages []*master.StageInfo, l Look) []string {
	l.Columns = max(l.Columns-1, 20) // the last column stays free: some terminals wrap there
	lines := []string{l.heading(t), l.overall(t)}
	if m := output.Clean(t.Message); m != "" {
		lines = append(lines, l.cut("  "+m))
	}
	tail := []string{}
	if l.Notice != "" {
		tail = append(tail, l.Style.Yellow(l.cut("! "+output.Clean(l.Notice))))
	}
	room := max(l.Rows-len(lines)-len(tail)-1, 3)
	lines = append(lines, l.stageLines(t, stages, room)...)
	return append(lines, tail...)
}

func (l Look) heading(t *master.TaskInfo) string {
	parts := []string{t.TaskName, t.State.String()}
	elapsed := "not started"
	if t.Started != 0 {
		end := l.Now
		if t.Ended != 0 {
			end = client.Millis(t.Ended)
		}
		elapsed = output.Duration(end.Sub(client.Millis(t.Started)))
	}
	rest := "  " + elapsed
	if t.RemainingMillis != nil && t.Ended == 0 {
		rest += ", about " + output.Duration(time.Duration(*t.RemainingMillis)*time.Millisecond) + " left"
	}
	if runewidth.StringWidth(strings.Join(parts, "  ")+rest) > l.Columns {
		return l.cut(strings.Join(parts, "  ") + rest)
	}
	return l.Style.Bold(parts[0]) + "  " + l.Style.Status(parts[1]) + rest
}

// barWidth is the width of the task's own bar, cells the width of a stage's.
const (
	barWidth = 30
	cells    = 10
)

func (l Look) overall(t *master.TaskInfo) string {
	var done int32
	for _, name := range endedStates() {
		done += t.Counts[name]
	}
	var counts []string
	for s := master.StageState_WAITING; s <= master.StageState_OMITTED; s++ {
		if n := t.Counts[s.String()]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, strings.ToLower(s.String())))
		}
	}
	width := min(barWidth, l.Columns/3)
	text := fmt.Sprintf(" %d/%d  %s", done, t.Stages, strings.Join(counts, ", "))
	return l.bar(int64(done), int64(t.Stages), width) + output.Cut(text, max(0, l.Columns-width-2), l.UTF8)
}

func endedStates() []string {
	return []string{"COMPLETED", "FAILED", "CANCELLED", "SKIPPED", "OMITTED"}
}

// bar draws how much of a whole is done.
func (l Look) bar(done, total int64, width int) string {
	full := 0
	if total > 0 {
		full = int(min(max(done, 0), total) * int64(width) / total)
	}
	if l.UTF8 {
		return l.Style.Green(strings.Repeat("█", full)) + l.Style.Dim(strings.Repeat("░", width-full))
	}
	return "[" + l.Style.Green(strings.Repeat("#", max(full-2, 0))) + strings.Repeat("-", max(width-2-max(full-2, 0), 0)) + "]"
}

// rank orders stages by how much somebody wants to see them when there is no room for all.
func rank(s master.StageState) int {
	switch s {
	case master.StageState_FAILED:
		return 0
	case master.StageState_RUNNING, master.StageState_PREPARED, master.StageState_LAUNCHING, master.StageState_CANCELLING:
		return 1
	case master.StageState_RETRYING, master.StageState_SUSPEND:
		return 2
	case master.StageState_WAITING:
		return 3
	case master.StageState_CANCELLED:
		return 4
	}
	return 5
}

// stageLines draws as many stages as there is room for, in the order of the plan.
func (l Look) stageLines(t *master.TaskInfo, stages []*master.StageInfo, room int) []string {
	shown := slices.Clone(stages)
	hidden := 0
	if all := max(int(t.Stages), len(stages)); all > room {
		room = max(room-1, 1) // a line says how many are not shown
		slices.SortStableFunc(shown, func(a, b *master.StageInfo) int { return rank(a.State) - rank(b.State) })
		shown = shown[:min(len(shown), room)]
		slices.SortStableFunc(shown, func(a, b *master.StageInfo) int { return int(a.Index - b.Index) })
		hidden = all - len(shown)
	}
	names := 0
	for _, s := range shown {
		names = max(names, runewidth.StringWidth(label(s)))
	}
	names = min(names, max(l.Columns/3, 12))
	var lines []string
	for _, s := range shown {
		lines = append(lines, l.stage(s, names))
	}
	if hidden > 0 {
		lines = append(lines, l.Style.Dim(l.cut(fmt.Sprintf("  and %d more (clic stages %s)", hidden, t.TaskName))))
	}
	return lines
}

// label is the name of a stage in the tree of calls.
func label(s *master.StageInfo) string {
	name := strings.TrimPrefix(s.Path, ".")
	if name == "" {
		name = s.Name
	}
	if name == "" {
		name = s.StageId
	}
	return output.Clean(name)
}

func (l Look) stage(s *master.StageInfo, names int) string {
	name := output.Cut(label(s), names, l.UTF8)
	name += strings.Repeat(" ", max(0, names-runewidth.StringWidth(name)))
	state := s.State.String()
	colour := l.Style.For(state)
	took := fmt.Sprintf("%8s", l.took(s))
	used := 2 + 2 + names + 2 + statusWidth + 1 + len(took)
	line := "  " + colour(output.Mark(state, l.UTF8)) + " " + name + "  " + colour(fmt.Sprintf("%-*s", statusWidth, state)) + " " + took
	if active(s) && s.GetProgressTotal() > 0 && l.Columns-used > cells+6 {
		percent := min(max(s.GetProgressDone(), 0), s.GetProgressTotal()) * 100 / s.GetProgressTotal()
		line += "  " + l.bar(s.GetProgressDone(), s.GetProgressTotal(), cells) + fmt.Sprintf(" %d%%", percent)
		used += 2 + cells + 1 + len(fmt.Sprint(percent)) + 1
	}
	// Ids are shown without the task's name, which stands above.
	if d := strings.ReplaceAll(Detail(s), s.TaskName+"-", ""); d != "" && l.Columns-used > 6 {
		line += "  " + l.Style.Dim(output.Cut(output.Clean(d), l.Columns-used-2, l.UTF8))
	}
	if used > l.Columns { // a very narrow terminal: no colours, but one line
		return l.cut("  " + output.Mark(state, l.UTF8) + " " + name + "  " + state)
	}
	return line
}

func active(s *master.StageInfo) bool {
	return s.State == master.StageState_RUNNING || s.State == master.StageState_PREPARED
}

func (l Look) took(s *master.StageInfo) string {
	begin := s.Started
	if begin == 0 {
		begin = s.Launched
	}
	switch {
	case begin == 0 || s.State == master.StageState_WAITING || s.State == master.StageState_SUSPEND:
		return ""
	case s.Ended != 0:
		return output.Duration(client.Millis(s.Ended).Sub(client.Millis(begin)))
	case s.State == master.StageState_RETRYING:
		return ""
	}
	return output.Duration(l.Now.Sub(client.Millis(begin)))
}

// Detail is what there is to say of a stage in one line: why it failed, what it waits for, what it says itself.
func Detail(s *master.StageInfo) string {
	switch s.State {
	case master.StageState_FAILED, master.StageState_CANCELLED, master.StageState_SKIPPED, master.StageState_OMITTED:
		if f := s.Failure; f != nil && f.Message != "" {
			return f.Message
		}
		return s.Message
	case master.StageState_COMPLETED:
		if len(s.Warnings) > 0 {
			return "warning: " + s.Warnings[len(s.Warnings)-1]
		}
		return s.Message
	}
	if active(s) {
		if m := s.GetProgressMessage(); m != "" {
			return m
		}
		return s.Message
	}
	if e := s.Explanation; e != nil {
		return e.Text
	}
	return s.Message
}

func (l Look) cut(text string) string { return output.Cut(text, l.Columns, l.UTF8) }
