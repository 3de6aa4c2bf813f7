// Package ask asks for a confirmation before something is done that cannot be undone.
package ask

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/iostreams"
)

// ErrNo says that the answer was no.
var ErrNo = errors.New("not confirmed")

// Yes asks a question that y or yes confirms. Where nobody can be asked it is an error of usage that names --yes.
func Yes(s *iostreams.Streams, question string) error {
	if !s.InTerminal || !s.ErrTerminal {
		return exit.With(exit.Usage, errors.New("nobody can be asked for a confirmation here"), "add --yes")
	}
	fmt.Fprintf(s.Err, "%s [y/N] ", question)
	line, err := bufio.NewReader(s.In).ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(s.Err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return exit.With(exit.Failed, ErrNo, "nothing was done")
}
