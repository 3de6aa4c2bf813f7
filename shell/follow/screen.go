package follow

import (
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

// Control sequences (ECMA-48, and the private modes that xterm and its heirs share).
const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	// Between these two a terminal that knows them shows nothing, so that a frame appears at once.
	beginFrame = "\x1b[?2026h"
	endFrame   = "\x1b[?2026l"
	eraseLine  = "\x1b[K"
	eraseBelow = "\x1b[J"
	upLine     = "\x1b[A"
)

// screen shows frames one in place of the other, below whatever the terminal shows already.
type screen struct {
	io    *iostreams.Streams
	frame []string
	// columns is the width that the terminal had when the frame was drawn.
	columns int
	force   bool
}

func newScreen(s *iostreams.Streams) *screen { return &screen{io: s} }

// resized makes the next frame drawn even if it is the same.
func (s *screen) resized() { s.force = true }

// show replaces the last frame. Lines that did not change are not sent again.
func (s *screen) show(lines []string) error {
	columns, _ := s.io.Size()
	if !s.force && slices.Equal(lines, s.frame) && columns == s.columns {
		return nil
	}
	var b strings.Builder
	b.WriteString(beginFrame + hideCursor + "\r")
	redraw := s.force || columns != s.columns
	b.WriteString(strings.Repeat(upLine, s.height(columns)))
	if redraw {
		b.WriteString(eraseBelow)
	}
	for i, line := range lines {
		if redraw || i >= len(s.frame) || s.frame[i] != line {
			b.WriteString(line + eraseLine)
		}
		b.WriteString("\r\n")
	}
	b.WriteString(eraseBelow + endFrame)
	s.frame, s.columns, s.force = slices.Clone(lines), columns, false
	_, err := io.WriteString(s.io.Out, b.String())
	return err
}

// height is how many rows the last frame takes: a terminal that has become narrower has wrapped its lines.
func (s *screen) height(columns int) int {
	rows := 0
	for _, line := range s.frame {
		rows += max(1, (runewidth.StringWidth(output.Bare(line))+columns-1)/columns)
	}
	return rows
}

// close leaves the last frame where it is and gives the cursor back.
func (s *screen) close() {
	if s.frame != nil {
		_, _ = io.WriteString(s.io.Out, "\r"+eraseLine+showCursor) // a ^C that the terminal has echoed goes
	}
}
