package logs

import (
	"bytes"
	"io"
	"strings"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

// prefixer puts a name in front of every line.
type prefixer struct {
	w      io.Writer
	prefix string
	rest   []byte // a line that has not ended
}

func newPrefixer(s *iostreams.Streams, stage *master.StageInfo) *prefixer {
	name := strings.TrimPrefix(stage.Path, ".")
	if name == "" {
		name = stage.Name
	}
	return &prefixer{w: s.Out, prefix: s.Style().Cyan(output.Clean(name)) + " | "}
}

// Write prints the lines that are whole, and keeps the rest.
func (p *prefixer) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	var out bytes.Buffer
	for {
		line, rest, found := bytes.Cut(p.rest, []byte{'\n'})
		if !found {
			break
		}
		out.WriteString(p.prefix)
		out.Write(line)
		out.WriteByte('\n')
		p.rest = rest
	}
	if _, err := p.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// flush ends a last line that the stage did not end. An unwritable output has shown before.
func (p *prefixer) flush() {
	if len(p.rest) > 0 {
		_, _ = io.WriteString(p.w, p.prefix+string(p.rest)+"\n")
		p.rest = nil
	}
}
