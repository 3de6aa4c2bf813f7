package root

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/clic-orchestrator/clic/shell/exit"
)

// flagError makes errors of flags what they are, wrong usage, and proposes the flag that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	hint := fmt.Sprintf("see \"%s --help\"", cmd.CommandPath())
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if near := nearest(cmd, e.GetSpecifiedName()); near != "" {
			hint = fmt.Sprintf("did you mean --%s? %s", near, hint)
		}
	}
	return exit.With(exit.Usage, err, hint)
}

// farthest is how many letters may be wrong in a proposal.
const farthest = 2

// nearest is the flag of the command whose name is the most like a wrong one, or "".
func nearest(cmd *cobra.Command, wrong string) string {
	best, at := "", farthest+1
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := distance(f.Name, wrong); d < at && d < len(f.Name) && !f.Hidden {
			best, at = f.Name, d
		}
	})
	return best
}

// distance counts the letters to add, take away or exchange to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
