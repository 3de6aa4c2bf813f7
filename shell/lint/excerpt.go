package lint

import (
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

// widest is how much of a source line is shown.
const widest = 160

// Show prints a diagnostic in one line; with source, the lines of the file, also the line it is about, a mark below the
// column, and the hint on a line of its own.
func Show(d plan.Diagnostic, source []string, style iostreams.Style) string {
	if len(source) == 0 {
		return output.Clean(d.String()) + "\n"
	}
	var b strings.Builder
	place := ""
	switch {
	case d.Line > 0:
		place = fmt.Sprintf("%s:%d:%d: ", d.File, d.Line, d.Column)
	case d.File != "":
		place = d.File + ": "
	}
	colour := style.Cyan
	switch d.Severity {
	case plan.SeverityError:
		colour = style.Red
	case plan.SeverityWarning:
		colour = style.Yellow
	}
	b.WriteString(style.Bold(place) + colour(string(d.Severity)+":") + " ")
	if d.Field != "" {
		b.WriteString(d.Field + ": ")
	}
	b.WriteString(output.Clean(d.Message) + "\n")
	b.WriteString(excerpt(d, source, style, colour))
	if d.Hint != "" {
		b.WriteString("    " + style.Cyan("hint:") + " " + d.Hint + "\n")
	}
	return b.String()
}

// excerpt is the line that a diagnostic is about, with a mark below its column; "" where there is none.
func excerpt(d plan.Diagnostic, source []string, style iostreams.Style, colour func(string) string) string {
	if d.Line < 1 || d.Line > len(source) {
		return ""
	}
	line := []rune(strings.TrimRight(source[d.Line-1], "\r"))
	column := min(max(d.Column-1, 0), len(line))
	if column > widest {
		return ""
	}
	before := output.Clean(strings.ReplaceAll(string(line[:column]), "\t", " "))
	text := output.Clean(string(line))
	number := fmt.Sprintf("%5d | ", d.Line)
	return style.Dim(number) + output.Cut(text, widest, false) + "\n" +
		style.Dim("      | ") + strings.Repeat(" ", runewidth.StringWidth(before)) + colour("^") + "\n"
}
