// Package probes compares what became of small plans with what Argo Workflows 3.7.0 made of the same: the phase and message of the
// whole, and node by node path, phase, message, exit code, inputs and outputs. Plans and Argo's answers are in dag/plan/testdata/probes.
// Tests of every executor use it.
package probes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
)

// Probe is a plan, and what Argo made of it.
type Probe struct {
	Name string
	YAML []byte
	Want Run
}

// Run is what Argo made of a plan. The name that Argo generated for the workflow is written as WF.
type Run struct {
	Phase, Message string
	Nodes          []Node
}

// Node is what became of one of its nodes.
type Node struct {
	Path, Template, Type, Phase, Message string
	ExitCode                             *int32
	Outputs                              struct {
		Result     *string
		Parameters map[string]*string
	}
	Inputs struct{ Parameters map[string]string }
}

// Read reads all probes of a directory: *.yaml, and golden.json beside them. They come in the order of their names.
func Read(dir string) ([]Probe, error) {
	b, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		return nil, fmt.Errorf("cannot read what Argo made of the probes: %w", err)
	}
	var golden map[string]Run
	if err := json.Unmarshal(b, &golden); err != nil {
		return nil, fmt.Errorf("cannot read what Argo made of the probes: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	all := make([]Probe, 0, len(files))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		want, ok := golden[name]
		if !ok {
			return nil, fmt.Errorf("cannot say what Argo made of the probe %q: it is not in golden.json", name)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, Probe{Name: name, YAML: text, Want: want})
	}
	return all, nil
}

// Refused reports whether Argo refused the plan as well.
func (p *Probe) Refused() bool {
	return len(p.Want.Nodes) == 0 && strings.HasPrefix(p.Want.Message, "invalid spec")
}

// Stop says how somebody stopped the workflow in Argo while its first pod ran: for what reason, and whether exit handlers were still to
// run. ok is false where nobody did.
func (p *Probe) Stop() (why string, handlers, ok bool) {
	switch p.Name {
	case "stop-me":
		return "Stopped with strategy 'Stop'", true, true
	case "terminate-me":
		return "Stopped with strategy 'Terminate'", false, true
	}
	return "", false, false
}

// Outcome is what became of a plan here: the task, and its nodes by their index.
type Outcome struct {
	Task  *dag.Task
	Nodes []*dag.Node
}

// OutcomeOf is the outcome of a run.
func OutcomeOf(run *dag.Run) Outcome {
	o := Outcome{Task: run.Task()}
	for i := range run.Len() {
		o.Nodes = append(o.Nodes, run.Node(int32(i)))
	}
	return o
}
