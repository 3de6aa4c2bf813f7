// Package planfile reads and checks a plan as the master would, without one.
package planfile

import (
	"maps"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/submit"
)

// Plan is a plan's file and what was found in it.
type Plan struct {
	// File is what to call it in messages; Text is all of it.
	File, Text string
	// Document is nil where the text is no plan at all; Built where there are errors.
	Document *plan.Document
	Built    *dag.Plan
	// Diagnostics is everything that is wrong with it or worth knowing, in the order of the file.
	Diagnostics plan.Diagnostics
}

// Options are what a submission would say beside the plan.
type Options struct {
	// Name replaces the plan's own name.
	Name   string
	Params map[string]string
	// Open allows parameters without a value: they become warnings, since a submission can give them.
	Open bool
	Now  time.Time
}

// ruleMissing is the rule of a parameter that has no value.
const ruleMissing = "missing-parameter"

// Load reads a file, or the standard input for "-", and builds the plan. An error is about the file; all that is wrong with
// the plan is in its Diagnostics.
func Load(s *iostreams.Streams, file string, o Options) (*Plan, error) {
	text, name, err := submit.ReadPlan(s, file)
	if err != nil {
		return nil, err
	}
	p := &Plan{File: name, Text: text}
	p.Document, p.Diagnostics = plan.Parse(name, []byte(text))
	if p.Document == nil || p.Diagnostics.HasErrors() {
		return p, nil
	}
	planName := o.Name
	if planName == "" {
		planName = p.Document.Name()
	}
	if planName == "" {
		planName = "plan" // a submission would have to give one
	}
	build := plan.BuildOptions{Params: o.Params, Created: dag.Time(o.Now.UnixMilli()), UID: "lint"}
	built, _, found := p.Document.Build(planName, plan.TaskName(planName, [8]byte{}), build)
	if o.Open {
		built, found = p.fillIn(planName, build, built, found)
	}
	p.Built = built
	p.Diagnostics = append(p.Diagnostics, found...)
	return p, nil
}

// fillIn turns errors about parameters without a value into warnings, gives each a value, and builds again.
func (p *Plan) fillIn(name string, build plan.BuildOptions, built *dag.Plan, found plan.Diagnostics) (*dag.Plan, plan.Diagnostics) {
	params := map[string]string{}
	var missing plan.Diagnostics
	for _, d := range found {
		if param, ok := missingParam(d); ok {
			params[param] = ""
			d.Severity = plan.SeverityWarning
			missing = append(missing, d)
		}
	}
	if len(params) == 0 {
		return built, found
	}
	maps.Copy(params, build.Params)
	build.Params = params
	built, _, found = p.Document.Build(name, plan.TaskName(name, [8]byte{}), build)
	return built, append(missing, found...)
}

// missingParam gives the name of the parameter that a diagnostic misses a value of: the message quotes it.
func missingParam(d plan.Diagnostic) (name string, ok bool) {
	if d.Rule != ruleMissing {
		return "", false
	}
	_, rest, _ := strings.Cut(d.Message, "\"")
	name, _, ok = strings.Cut(rest, "\"")
	return name, ok
}
