// Package lint is "clic lint": check plans without a master.
package lint

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/planfile"
	"github.com/clic-orchestrator/clic/shell/submit"
)

// LintOptions are the arguments of the command.
type LintOptions struct {
	IO  *iostreams.Streams
	Now func() time.Time

	Files     []string
	Params    []string
	ParamFile string
	Report    bool
	Strict    bool
	Quiet     bool
	Format    output.Format
}

// NewCmdLint makes the command. runF replaces the run function in tests.
func NewCmdLint(f *factory.Factory, runF func(*LintOptions) error) *cobra.Command {
	opts := &LintOptions{IO: f.IO, Now: f.Now}
	cmd := &cobra.Command{
		Use:     "lint {FILE | -}...",
		Aliases: []string{"validate"},
		Short:   "Check plans without a master",
		Long: `Check plans as the master does when they are submitted, and print everything that is wrong with them or
worth knowing, with its place: file:line:column: severity: field: message (hint).

With --report, a table says of each field that a plan uses what becomes of it: run, ignored, refused.

The exit status is 65 if any plan has an error, with --strict also for a warning.`,
		Example: `  clic lint plan.yaml
  clic lint --strict plans/*.yaml
  clic lint --report plan.yaml
  generate-plan | clic lint -`,
		Args: args.Between(1, "FILE..."),
		RunE: func(_ *cobra.Command, a []string) error {
			opts.Files = a
			if runF != nil {
				return runF(opts)
			}
			return lintRun(opts)
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&opts.Params, "param", "p", nil, "check with this value of a parameter, as `key=value` (repeatable)")
	fl.StringVar(&opts.ParamFile, "param-file", "", "check with parameters from a YAML or JSON `file`")
	fl.BoolVar(&opts.Report, "report", false, "say of each field that is used what becomes of it")
	fl.BoolVar(&opts.Strict, "strict", false, "warnings count as errors")
	fl.BoolVarP(&opts.Quiet, "quiet", "q", false, "print errors only")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON, output.YAML)
	return cmd
}

// checked is the JSON form of a plan that was checked.
type checked struct {
	File        string           `json:"file"`
	Valid       bool             `json:"valid"`
	Name        string           `json:"name,omitempty"`
	Form        string           `json:"form,omitempty"`
	Stages      int              `json:"stages"`
	Diagnostics plan.Diagnostics `json:"diagnostics"`
	Report      []plan.FieldUse  `json:"report,omitempty"`
}

func lintRun(opts *LintOptions) error {
	params, err := submit.Params(opts.Params, opts.ParamFile)
	if err != nil {
		return err
	}
	var results []checked
	bad := 0
	for _, file := range opts.Files {
		p, err := planfile.Load(opts.IO, file, planfile.Options{Params: params, Open: len(params) == 0, Now: opts.Now()})
		if err != nil {
			return err
		}
		c := check(opts, p)
		if !c.Valid {
			bad++
		}
		if opts.Format.Structured() {
			results = append(results, c)
		} else if err := show(opts, p, c); err != nil {
			return err
		}
	}
	if opts.Format.Structured() {
		if err := output.Encode(opts.IO.Out, opts.Format, results); err != nil {
			return err
		}
	}
	if bad > 0 {
		return exit.Silent(exit.BadPlan)
	}
	return nil
}

func check(opts *LintOptions, p *planfile.Plan) checked {
	c := checked{File: p.File, Diagnostics: p.Diagnostics, Valid: !p.Diagnostics.HasErrors()}
	if c.Diagnostics == nil {
		c.Diagnostics = plan.Diagnostics{}
	}
	if opts.Strict && count(p.Diagnostics, plan.SeverityWarning) > 0 {
		c.Valid = false
	}
	if d := p.Document; d != nil {
		c.Name, c.Form = d.Name(), form(d.Form())
		if opts.Report {
			c.Report = d.Report()
		}
	}
	if p.Built != nil {
		c.Stages = stages(p.Built)
	}
	return c
}

func form(f dag.Form) string {
	if f == dag.FormCLIC {
		return "clic"
	}
	return "argo"
}

// stages counts what an executor would run, as far as it is known before the plan runs.
func stages(p *dag.Plan) int {
	n := 0
	for i := range p.Nodes {
		if p.Nodes[i].Kind == dag.KindStage {
			n++
		}
	}
	return n
}

// dynamic reports whether there may be stages that are known only while the plan runs.
func dynamic(p *dag.Plan) bool {
	if p == nil {
		return false
	}
	for i := range p.Nodes {
		if n := &p.Nodes[i]; n.Deferred && n.Kind != dag.KindStage {
			return true
		}
	}
	return false
}

func count(ds plan.Diagnostics, s plan.Severity) int {
	n := 0
	for _, d := range ds {
		if d.Severity == s {
			n++
		}
	}
	return n
}

func show(opts *LintOptions, p *planfile.Plan, c checked) error {
	var b strings.Builder
	var source []string
	if opts.IO.OutTerminal {
		source = strings.Split(p.Text, "\n")
	}
	for _, d := range p.Diagnostics {
		if !opts.Quiet || d.Severity == plan.SeverityError {
			b.WriteString(Show(d, source, opts.IO.Style()))
		}
	}
	if _, err := io.WriteString(opts.IO.Out, b.String()); err != nil {
		return err
	}
	if opts.Report && p.Document != nil {
		if err := report(opts, p.Document.Report()); err != nil {
			return err
		}
	}
	if opts.Quiet {
		return nil
	}
	_, err := fmt.Fprintln(opts.IO.Err, verdict(opts, p, c))
	return err
}

// verdict sums a plan up in one line.
func verdict(opts *LintOptions, p *planfile.Plan, c checked) string {
	style := opts.IO.ErrStyle()
	var found []string
	for _, s := range []plan.Severity{plan.SeverityError, plan.SeverityWarning, plan.SeverityNote} {
		if n := count(p.Diagnostics, s); n > 0 {
			found = append(found, output.Count(n, string(s)))
		}
	}
	text := strings.Join(found, ", ")
	if !c.Valid {
		return p.File + ": " + style.Red("not valid") + ": " + text
	}
	what := output.Count(c.Stages, "stage")
	if dynamic(p.Built) {
		what += " at least (loops and calls become stages while it runs)"
	}
	if c.Form == "clic" {
		what += ", CLIC form"
	}
	if text != "" {
		what += "; " + text
	}
	return p.File + ": " + style.Green("valid") + ": " + what
}

// report prints what becomes of the fields.
func report(opts *LintOptions, uses []plan.FieldUse) error {
	t := output.NewTable(output.Column{Title: "FIELD", Fixed: true}, output.Column{Title: "TREATMENT", Fixed: true},
		output.Column{Title: "COUNT", Right: true, Fixed: true}, output.Column{Title: "WHY"})
	style := opts.IO.Style()
	for _, u := range uses {
		cell := output.Cell{Text: string(u.Treatment)}
		switch u.Treatment {
		case plan.TreatRefused, plan.TreatUnknown:
			cell.Style = style.Red
		case plan.TreatIgnored, plan.TreatKube, plan.TreatNeedsKube:
			cell.Style = style.Yellow
		case plan.TreatRun:
			cell.Style = style.Green
		}
		t.Row(output.Text(u.Field), cell, output.Text(fmt.Sprint(u.Count)), output.Text(u.Why))
	}
	return t.Write(opts.IO)
}
