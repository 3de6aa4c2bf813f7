package dag_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/clic-orchestrator/clic/dag/dagtest"
)

// TestProperties lets random things happen to random plans. The world checks every rule after every step; here it is
// only left to say that each task ends.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := dagtest.Plan(t, 30)
		w, err := dagtest.NewWorld(p, dagtest.Expander{Handler: p.OnExit})
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 120).Draw(t, "steps") {
			if err := w.Random(t); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
	})
}
