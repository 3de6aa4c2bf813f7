// Package suspend is "clic suspend": hold a stage and what depends on it, or a whole task.
package suspend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
	"github.com/clic-orchestrator/clic/shell/view"
	"github.com/clic-orchestrator/clic/shell/when"
)

// SuspendOptions are the arguments of the command.
type SuspendOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time
	Who    func() string

	Ref    string
	Mode   string
	Reason string
	Until  string
	Format output.Format
}

// NewCmdSuspend makes the command. runF replaces the run function in tests.
func NewCmdSuspend(f *factory.Factory, runF func(*SuspendOptions) error) *cobra.Command {
	opts := &SuspendOptions{IO: f.IO, Client: f.Client, Now: f.Now, Who: f.Who}
	cmd := &cobra.Command{
		Use:     "suspend {STAGE | TASK}",
		Aliases: []string{"hold"},
		Short:   "Hold a stage and everything that depends on it",
		Long: `Hold a stage, and with it every stage that depends on it, directly or not, until "clic continue".
Holds stack: a stage that is held at several places goes on when all are continued. They survive
restarts of the master and never cost a retry. A task is held by its beginning: everything.

What happens to a stage that runs already is chosen with --mode:
  hold     nothing that runs is touched; a stage that runs is refused (the default)
  drain    the stage runs to its end, what depends on it is held
  requeue  the stage is stopped, and runs again after "clic continue"`,
		Example: `  clic suspend wordcount-qwertyui-java-3 --reason "wait for the nightly dump"
  clic suspend wordcount-qwertyui/count --until 06:00
  clic suspend wordcount-qwertyui --mode drain`,
		Args:              args.Exactly("STAGE"),
		ValidArgsFunction: complete.Stages(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Ref = a[0]
			if runF != nil {
				return runF(opts)
			}
			return suspendRun(cmd.Context(), opts)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&opts.Mode, "mode", "hold", "what happens to a stage that runs: hold|drain|requeue")
	fl.StringVar(&opts.Reason, "reason", "", "why, for those who will ask")
	fl.StringVar(&opts.Until, "until", "", "continue by itself at this `time` (90m, 06:00, 2026-01-31, RFC 3339)")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON, output.YAML)
	_ = cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"hold", "drain", "requeue"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func suspendRun(ctx context.Context, opts *SuspendOptions) error {
	mode, err := master.HoldModeFromString(strings.ToUpper(opts.Mode))
	if err != nil {
		return exit.Usagef("--mode: %q is not one of hold, drain, requeue", opts.Mode)
	}
	var until int64
	if opts.Until != "" {
		t, err := when.Future(opts.Until, opts.Now())
		if err != nil {
			return exit.Usagef("--until: %w", err)
		}
		until = t.UnixMilli()
	}
	c, err := opts.Client()
	if err != nil {
		return err
	}
	target, err := resolve.Either(ctx, c, opts.Ref)
	if err != nil {
		return err
	}
	var hold *master.Hold
	if target.Stage != nil {
		hold, err = c.Suspend(ctx, target.Stage.StageId, mode, opts.Reason, until, opts.Who())
	} else {
		hold, err = c.SuspendTask(ctx, target.Task.TaskName, mode, opts.Reason, until, opts.Who())
	}
	if err != nil {
		return err
	}
	if opts.Format.Structured() {
		return output.Encode(opts.IO.Out, opts.Format, view.FromHold(hold))
	}
	end := fmt.Sprintf("until \"clic continue %s\"", target.Name())
	if u := hold.GetUntilTime(); u != 0 {
		end = "until " + output.Moment(client.Millis(u))
	}
	_, err = fmt.Fprintf(opts.IO.Out, "%s has been suspended %s\n", target.Name(), end)
	return err
}
