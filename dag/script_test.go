package dag_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/clic-orchestrator/clic/dag/dagtest"
)

// TestScripts runs the readable scripts in testdata; `go test ./dag -run TestScripts -rewrite` writes what they answer.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &dagtest.Script{}
		datadriven.RunTest(t, path, func(_ *testing.T, d *datadriven.TestData) string {
			var words []string
			for _, a := range d.CmdArgs {
				word := a.Key
				for k, v := range a.Vals {
					if k == 0 {
						word += "="
					} else {
						word += ","
					}
					word += v
				}
				words = append(words, word)
			}
			return s.Run(d.Cmd, dagtest.ParseArgs(words), d.Input)
		})
	})
}
