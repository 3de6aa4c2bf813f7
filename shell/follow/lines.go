package follow

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/view"
)

// printer prints events one a line.
type printer struct{ o Options }

func (p *printer) page(page *master.EventPage) error {
	var b strings.Builder
	for _, e := range page.Events {
		switch p.o.Mode {
		case Lines:
			b.WriteString(p.line(e))
		case JSON:
			text, err := json.Marshal(view.FromEvent(e))
			if err != nil {
				return err
			}
			b.Write(text)
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(p.o.IO.Out, b.String())
	return err
}

// statusWidth is the width of the longest status.
const statusWidth = 10

// line shows an event: time, new status, stage or task, and what there is to say.
func (p *printer) line(e *master.Event) string {
	style := p.o.IO.Style()
	who := e.StageId
	if who == "" {
		who = p.o.Task
	}
	state := e.ToState
	if state == "" {
		state = "note"
	}
	pad := strings.Repeat(" ", max(0, statusWidth-len(state)))
	line := fmt.Sprintf("%s  %s%s  %s", client.Millis(e.At).Local().Format(output.Clock), style.Status(state), pad, who)
	if e.Attempt > 0 {
		line += fmt.Sprintf(" (attempt %d)", e.Attempt)
	}
	if e.Message != "" {
		line += ": " + output.Clean(e.Message)
	}
	if e.Who != "" {
		line += " (by " + output.Clean(e.Who) + ")"
	}
	return line + "\n"
}
