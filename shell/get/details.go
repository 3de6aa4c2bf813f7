package get

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/view"
)

// details collects lines of a title and a value.
type details struct {
	io    *iostreams.Streams
	now   time.Time
	wide  bool
	lines []line
}

type line struct {
	title, value string
	style        func(string) string
}

// add appends a line unless there is nothing to say.
func (d *details) add(title, format string, values ...any) {
	if value := output.Clean(fmt.Sprintf(format, values...)); value != "" {
		d.lines = append(d.lines, line{title: title, value: value})
	}
}

func (d *details) status(status string) {
	d.lines = append(d.lines, line{title: "Status", value: status, style: d.io.Style().For(status)})
}

// moment appends a time, and how long ago that was.
func (d *details) moment(title string, ms int64) {
	if ms == 0 {
		return
	}
	t := client.Millis(ms)
	if d.now.Before(t) {
		d.add(title, "%s (in %s)", output.Moment(t), output.Duration(t.Sub(d.now)))
		return
	}
	d.add(title, "%s (%s ago)", output.Moment(t), output.Duration(d.now.Sub(t)))
}

// pairs appends one line per key.
func (d *details) pairs(title string, pairs map[string]string) {
	for i, k := range slices.Sorted(maps.Keys(pairs)) {
		if i > 0 {
			title = ""
		}
		d.add(title, "%s=%s", k, pairs[k])
	}
}

// list appends one line per value.
func (d *details) list(title string, values []string) {
	for i, v := range values {
		if i > 0 {
			title = ""
		}
		d.add(title, "%s", v)
	}
}

// write prints titles in a column on a terminal, and tab-separated elsewhere.
func (d *details) write() error {
	var b strings.Builder
	width := 0
	for _, l := range d.lines {
		width = max(width, len(l.title))
	}
	style := d.io.Style()
	title := ""
	for _, l := range d.lines {
		value := l.value
		if l.style != nil {
			value = l.style(value)
		}
		if d.io.OutTerminal {
			pad := strings.Repeat(" ", width-len(l.title)+2)
			b.WriteString(style.Bold(l.title) + pad + value + "\n")
			continue
		}
		if l.title != "" {
			title = l.title
		}
		b.WriteString(title + "\t" + value + "\n")
	}
	_, err := io.WriteString(d.io.Out, b.String())
	return err
}

func (d *details) task(t *master.TaskInfo) {
	d.add("Task", "%s", t.TaskName)
	d.add("Plan", "%s", t.PlanName)
	d.status(t.State.String())
	d.add("Message", "%s", t.Message)
	d.add("Stages", "%d%s", t.Stages, counts(t.Counts))
	d.moment("Submitted", t.Submitted)
	d.add("Owner", "%s", t.Owner)
	d.moment("Started", t.Started)
	d.moment("Ended", t.Ended)
	if t.Started != 0 {
		end := d.now
		if t.Ended != 0 {
			end = client.Millis(t.Ended)
		}
		d.add("Duration", "%s", output.Duration(end.Sub(client.Millis(t.Started))))
	}
	if t.RemainingMillis != nil && t.Ended == 0 {
		d.add("Remaining", "about %s", output.Duration(time.Duration(*t.RemainingMillis)*time.Millisecond))
	}
	d.moment("Deadline", t.GetDeadline())
	d.moment("Expires", t.Expires)
	if t.Priority != 0 || d.wide {
		d.add("Priority", "%d", t.Priority)
	}
	d.pairs("Labels", t.Labels)
	d.pairs("Parameters", view.Mask(t.Parameters))
	d.pairs("Outputs", t.Outputs)
	d.holds(t.Holds)
	if d.wide {
		d.add("Form", "%s", t.Form)
	}
}

// counts says how many stages are in which state: " (3 COMPLETED, 2 RUNNING)".
func counts(counts map[string]int32) string {
	var parts []string
	for s := master.StageState_WAITING; s <= master.StageState_OMITTED; s++ {
		if n := counts[s.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// Hold says in one line who held what, why, since when and until when.
func Hold(h *master.Hold) string {
	var b strings.Builder
	b.WriteString("held")
	if h.RootStageId != "" {
		b.WriteString(" at " + h.RootStageId)
	}
	if h.Who != "" {
		b.WriteString(" by " + h.Who)
	}
	b.WriteString(" since " + output.Moment(client.Millis(h.Since)))
	if until := h.GetUntilTime(); until != 0 {
		b.WriteString(" until " + output.Moment(client.Millis(until)))
	}
	if h.Mode != master.HoldMode_HOLD {
		b.WriteString(", " + strings.ToLower(h.Mode.String()))
	}
	if h.Reason != "" {
		b.WriteString(": " + h.Reason)
	}
	return b.String()
}

func (d *details) holds(holds []*master.Hold) {
	var lines []string
	for _, h := range holds {
		lines = append(lines, Hold(h))
	}
	d.list("Holds", lines)
}

func (d *details) stage(s *master.StageInfo) {
	d.add("Stage", "%s", s.StageId)
	d.add("Task", "%s", s.TaskName)
	d.add("Name", "%s", s.Name)
	if p := strings.TrimPrefix(s.Path, "."); p != s.Name {
		d.add("Path", "%s", p)
	}
	if s.Kind != master.NodeKind_STAGE {
		d.add("Kind", "%s", view.Kind(s.Kind))
	}
	d.add("Template", "%s", s.Template)
	d.add("Platform", "%s", s.Platform)
	d.status(s.State.String())
	if e := s.Explanation; e != nil {
		d.add("Why", "%s", e.Text)
	}
	d.failure("Failure", s.Failure)
	if s.Failure == nil || s.Failure.Message != s.Message {
		d.add("Message", "%s", s.Message)
	}
	d.list("Warnings", s.Warnings)
	d.progress(s)
	d.times(s)
	d.add("Group", "%s", s.Group)
	d.list("Parents", s.Parents)
	d.list("Children", s.Children)
	d.pairs("Inputs", view.Mask(s.Inputs))
	if o := s.Outputs; o != nil {
		if o.Result_ != nil {
			d.add("Result", "%s", *o.Result_)
		}
		d.pairs("Outputs", o.Parameters)
	}
	d.holds(s.Holds)
	if s.Launched != 0 || len(s.Attempts) > 0 {
		d.add("Attempt", "%d (counted from 0; %s)", s.Attempt, retries(s.Retries))
	}
	for _, a := range s.Attempts {
		d.add("", "attempt %d: %s", a.Number, past(a))
	}
	d.add("Runs as", "%s", s.Info)
}

func retries(n int32) string {
	if n == 1 {
		return "1 retry"
	}
	return fmt.Sprintf("%d retries", n)
}

// past is what became of an earlier attempt.
func past(a *master.AttemptInfo) string {
	text := ""
	if a.Started != 0 && a.Ended != 0 {
		text = output.Duration(client.Millis(a.Ended).Sub(client.Millis(a.Started))) + ", "
	}
	if a.Failure == nil {
		return text + "did not complete the stage"
	}
	return text + failure(a.Failure)
}

func failure(f *master.Failure) string {
	text := f.Message
	if text == "" && f.ExitCode != 0 {
		text = fmt.Sprintf("exit status %d", f.ExitCode)
	}
	switch {
	case f.Kind == "exit" && text != "":
		return text
	case text == "":
		return f.Kind
	}
	return f.Kind + ": " + text
}

func (d *details) failure(title string, f *master.Failure) {
	if f != nil {
		d.add(title, "%s", failure(f))
	}
}

func (d *details) progress(s *master.StageInfo) {
	if s.ProgressDone == nil && s.ProgressMessage == nil {
		return
	}
	text := fmt.Sprint(s.GetProgressDone())
	if total := s.GetProgressTotal(); total > 0 {
		text += fmt.Sprintf(" of %d", total)
	}
	if m := s.GetProgressMessage(); m != "" {
		text += " " + m
	}
	d.add("Progress", "%s", text)
}

func (d *details) times(s *master.StageInfo) {
	d.moment("Launched", s.Launched)
	d.moment("Started", s.Started)
	d.moment("Prepared", s.Prepared)
	d.moment("Ended", s.Ended)
	if s.Started != 0 && s.Ended != 0 {
		d.add("Duration", "%s", output.Duration(client.Millis(s.Ended).Sub(client.Millis(s.Started))))
	}
	d.moment("Retry at", s.GetRetryAt())
	if s.ExitCode != nil {
		d.add("Exit status", "%d", *s.ExitCode)
	}
	if s.CpuMillis != nil {
		d.add("CPU time", "%s", output.Duration(time.Duration(*s.CpuMillis)*time.Millisecond))
	}
	if s.MaxRssBytes != nil {
		d.add("Memory", "%s at most", output.Bytes(*s.MaxRssBytes))
	}
}
