// Package iostreams is what a command reads from and writes to, and what is known of the terminal behind it. Commands
// never use os.Stdout: tests give them buffers.
package iostreams

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// Streams are the standard streams and what they are.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// InTerminal, OutTerminal and ErrTerminal tell terminals from pipes and files.
	InTerminal, OutTerminal, ErrTerminal bool
	// Color and ErrColor allow colours on Out and on Err.
	Color, ErrColor bool
	// UTF8 is set where the locale allows more than ASCII.
	UTF8 bool
	// size gives the columns and rows of the terminal, 0 where unknown.
	size func() (columns, rows int)
}

// System gives the streams of the process. Colours follow https://no-color.org (NO_COLOR) and CLICOLOR_FORCE.
func System(getenv func(string) string) *Streams {
	s := &Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		UTF8:        localeIsUTF8(getenv),
	}
	s.Color = colour(getenv, s.OutTerminal)
	s.ErrColor = colour(getenv, s.ErrTerminal)
	s.size = func() (columns, rows int) {
		columns, rows, err := term.GetSize(int(os.Stdout.Fd()))
		if err != nil || columns <= 0 {
			columns, _ = strconv.Atoi(getenv("COLUMNS"))
		}
		return columns, rows
	}
	return s
}

// Test gives streams over buffers that pretend to be pipes. Set the exported fields, and SetSize, to pretend more.
func Test() (s *Streams, in, out, errOut *bytes.Buffer) {
	in, out, errOut = &bytes.Buffer{}, &bytes.Buffer{}, &bytes.Buffer{}
	return &Streams{In: in, Out: out, Err: errOut, UTF8: true}, in, out, errOut
}

// SetSize fixes the size of the terminal.
func (s *Streams) SetSize(columns, rows int) {
	s.size = func() (int, int) { return columns, rows }
}

// Size is the size of the terminal: 80 by 24 where nobody knows.
func (s *Streams) Size() (columns, rows int) {
	if s.size != nil {
		columns, rows = s.size()
	}
	if columns <= 0 {
		columns = 80
	}
	if rows <= 0 {
		rows = 24
	}
	return columns, rows
}

// Interactive reports whether somebody can be asked: both input and output are terminals.
func (s *Streams) Interactive() bool { return s.InTerminal && s.OutTerminal }

// Style colours what goes to Out.
func (s *Streams) Style() Style { return Style{on: s.Color} }

// ErrStyle colours what goes to Err.
func (s *Streams) ErrStyle() Style { return Style{on: s.ErrColor} }

func colour(getenv func(string) string, terminal bool) bool {
	switch {
	case getenv("NO_COLOR") != "":
		return false
	case getenv("CLICOLOR_FORCE") != "" && getenv("CLICOLOR_FORCE") != "0":
		return true
	}
	return terminal && getenv("TERM") != "dumb"
}

// localeIsUTF8 looks at the variables in the order of POSIX: the first that is set decides.
func localeIsUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}
