// Package submit is "clic submit": send a plan to the master.
package submit

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/follow"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/when"
)

// SubmitOptions are the arguments of the command.
type SubmitOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time
	Who    func() string

	// File is the plan's file, "-" for the standard input.
	File      string
	Name      string
	Params    []string
	ParamFile string
	Labels    []string
	Uploads   []string
	Options   []string
	Priority  int
	// PrioritySet tells a priority of 0 from none.
	PrioritySet bool
	DryRun      bool
	Suspended   bool
	RequestID   string
	Retain      string
	Wait        bool
	Watch       bool
	Timeout     time.Duration
	Format      output.Format
}

// NewCmdSubmit makes the command. runF replaces the run function in tests.
func NewCmdSubmit(f *factory.Factory, runF func(*SubmitOptions) error) *cobra.Command {
	opts := &SubmitOptions{IO: f.IO, Client: f.Client, Now: f.Now, Who: f.Who}
	cmd := &cobra.Command{
		Use:   "submit {FILE | - | JAR}",
		Short: "Submit a plan",
		Long: `Submit a plan, an Argo Workflow in YAML, and print the full name of the task that it became.

The plan's text is sent to the master, which needs no access to the file. A plan that is not valid
is refused with all its errors; nothing is started then. "-" reads the plan from the standard input.
A file that ends in .jar is run with java, which builds its plan and submits it by itself.

--upload sends a jar, a script or other small data to where the stages can read it, once however
often it is used, and sets a parameter of the plan to its URI: that of the name before the =, or
else of the file's own name, with a dash for whatever a parameter's name cannot have. It is kept
for as long as the task is.`,
		Example: `  clic submit plan.yaml
  clic submit plan.yaml --name nightly -p date=2026-01-31 -l team=data
  clic submit plan.yaml --watch
  TASK=$(clic submit plan.yaml --wait) && clic result "$TASK/report"
  clic submit plan.yaml --upload jar=target/app.jar
  sed s/VERSION/7/ plan.yaml | clic submit -
  clic submit plan.yaml --dry-run`,
		Args: args.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.File = a[0]
			opts.PrioritySet = cmd.Flags().Changed("priority")
			if runF != nil {
				return runF(opts)
			}
			return submitRun(cmd.Context(), opts)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&opts.Name, "name", "", "name of the task, in place of the plan's own (eight letters are added to it)")
	fl.StringArrayVarP(&opts.Params, "param", "p", nil, "parameter of the plan as `key=value` (repeatable)")
	fl.StringVar(&opts.ParamFile, "param-file", "", "read parameters from a YAML or JSON `file`; --param goes before it")
	fl.StringArrayVarP(&opts.Labels, "label", "l", nil, "label as `key=value` (repeatable)")
	fl.StringArrayVar(&opts.Uploads, "upload", nil, "send a `[parameter=]file` along; the parameter becomes its URI for the stages (repeatable)")
	fl.StringArrayVar(&opts.Options, "option", nil, "option for the executors as `key=value` (repeatable)")
	fl.IntVar(&opts.Priority, "priority", 0, "tasks of higher priority get free slots first")
	fl.BoolVar(&opts.DryRun, "dry-run", false, "check the plan on the master, start nothing")
	fl.BoolVar(&opts.Suspended, "suspended", false, "start with everything held, until \"clic continue TASK\"")
	fl.StringVar(&opts.RequestID, "request-id", "", "submitting again with the same `id` starts nothing new")
	fl.StringVar(&opts.Retain, "retain", "", "how long the master keeps the task after its end (12h, 30d)")
	fl.BoolVar(&opts.Wait, "wait", false, "wait for the task's end; the exit status is its outcome")
	fl.BoolVarP(&opts.Watch, "watch", "w", false, "like --wait, and show the progress")
	fl.DurationVar(&opts.Timeout, "timeout", 0, "with --wait or --watch: give up after so long (the task goes on)")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON, output.YAML, output.Name)
	return cmd
}

func submitRun(ctx context.Context, opts *SubmitOptions) error {
	if IsJar(opts.File) {
		return RunJar(ctx, opts.IO, opts.File)
	}
	s, err := submission(opts)
	if err != nil {
		return err
	}
	files, err := uploads(opts.Uploads, s.Parameters)
	if err != nil {
		return err
	}
	c, err := opts.Client()
	if err != nil {
		return err
	}
	if err := sendAll(ctx, opts.IO, c, s, files); err != nil {
		return err
	}
	answer, err := send(ctx, opts, c, s)
	if err != nil {
		return err
	}
	if err := report(opts, answer); err != nil || opts.DryRun || !opts.Wait && !opts.Watch {
		return err
	}
	return wait(ctx, opts, c, answer.TaskName)
}

// send submits, within the time of --timeout: a master whose disk is full, say, keeps its callers waiting.
func send(ctx context.Context, opts *SubmitOptions, c *client.Client, s *master.Submission) (*master.SubmitAnswer, error) {
	if opts.Timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, opts.Timeout)
		defer cancel()
		ctx = limited
	}
	return c.Submit(ctx, s)
}

// IsJar tells programs that submit by themselves from plans.
func IsJar(file string) bool { return strings.EqualFold(filepath.Ext(file), ".jar") }

func submission(opts *SubmitOptions) (*master.Submission, error) {
	text, name, err := ReadPlan(opts.IO, opts.File)
	if err != nil {
		return nil, err
	}
	s := &master.Submission{PlanName: opts.Name, Plan: text, FileName: &name, RequestId: &opts.RequestID}
	if opts.RequestID == "" {
		s.RequestId = new(NewRequestID())
	}
	if who := opts.Who(); who != "" {
		s.Owner = &who
	}
	if s.Parameters, err = Params(opts.Params, opts.ParamFile); err != nil {
		return nil, err
	}
	if s.Labels, err = args.Pairs("--label", opts.Labels); err != nil {
		return nil, err
	}
	if s.Options, err = args.Pairs("--option", opts.Options); err != nil {
		return nil, err
	}
	if opts.PrioritySet {
		if opts.Priority < math.MinInt32 || opts.Priority > math.MaxInt32 {
			return nil, exit.Usagef("--priority: %d is out of range", opts.Priority)
		}
		s.Priority = new(int32(opts.Priority))
	}
	if opts.DryRun {
		s.DryRun = new(true)
	}
	if opts.Suspended {
		s.Suspended = new(true)
	}
	if opts.Retain != "" {
		d, err := when.Duration(opts.Retain)
		if err != nil {
			return nil, exit.Usagef("--retain: %w", err)
		}
		s.RetainMillis = new(d.Milliseconds())
	}
	return s, nil
}

// NewRequestID makes an idempotency key: a submission whose answer was lost can be sent again.
func NewRequestID() string { return rand.Text() }

// answer is the JSON form of what came of a submission.
type answer struct {
	Task        string             `json:"task"`
	Created     bool               `json:"created"`
	DryRun      bool               `json:"dryRun,omitempty"`
	Stages      int32              `json:"stages"`
	Diagnostics []*base.Diagnostic `json:"diagnostics,omitempty"`
}

func report(opts *SubmitOptions, a *master.SubmitAnswer) error {
	if opts.Format.Structured() {
		return output.Encode(opts.IO.Out, opts.Format, answer{
			Task: a.TaskName, Created: a.Created, DryRun: opts.DryRun, Stages: a.Stages, Diagnostics: a.Diagnostics,
		})
	}
	style := opts.IO.ErrStyle()
	for _, d := range a.Diagnostics {
		fmt.Fprintln(opts.IO.Err, exit.DiagnosticLine(d, style))
	}
	stages := output.Count(int(a.Stages), "stage")
	if opts.DryRun {
		_, err := fmt.Fprintf(opts.IO.Out, "the plan is valid: %s, nothing was started\n", stages)
		return err
	}
	if _, err := fmt.Fprintln(opts.IO.Out, a.TaskName); err != nil {
		return err
	}
	switch {
	case !a.Created:
		fmt.Fprintln(opts.IO.Err, "(it was submitted before with the same --request-id)")
	case opts.Format == output.Name || opts.Wait || opts.Watch || !opts.IO.OutTerminal:
	default:
		fmt.Fprintf(opts.IO.Err, "Submitted with %s. Follow it with: %s\n", stages, style.Bold("clic watch "+a.TaskName))
	}
	return nil
}

// wait follows the task to its end.
func wait(ctx context.Context, opts *SubmitOptions, c *client.Client, task string) error {
	mode := follow.Silent
	if opts.Watch {
		mode = follow.Auto(opts.IO)
	}
	return follow.Attend(ctx, follow.Options{
		IO: opts.IO, Service: c, Now: opts.Now, Task: task, Mode: mode, Timeout: opts.Timeout,
	})
}
