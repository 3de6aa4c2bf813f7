// Package root puts the commands together and runs them: it is all of the program but its main function.
package root

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/cancel"
	"github.com/clic-orchestrator/clic/shell/completion"
	"github.com/clic-orchestrator/clic/shell/config"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/explain"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/get"
	"github.com/clic-orchestrator/clic/shell/graph"
	"github.com/clic-orchestrator/clic/shell/info"
	"github.com/clic-orchestrator/clic/shell/lint"
	"github.com/clic-orchestrator/clic/shell/list"
	"github.com/clic-orchestrator/clic/shell/logs"
	"github.com/clic-orchestrator/clic/shell/old"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/remove"
	"github.com/clic-orchestrator/clic/shell/result"
	"github.com/clic-orchestrator/clic/shell/resume"
	"github.com/clic-orchestrator/clic/shell/retry"
	"github.com/clic-orchestrator/clic/shell/run"
	"github.com/clic-orchestrator/clic/shell/skip"
	"github.com/clic-orchestrator/clic/shell/stages"
	"github.com/clic-orchestrator/clic/shell/submit"
	"github.com/clic-orchestrator/clic/shell/suspend"
	"github.com/clic-orchestrator/clic/shell/version"
	"github.com/clic-orchestrator/clic/shell/watch"
)

// The groups of commands in the help.
const (
	groupRun     = "run"
	groupLook    = "look"
	groupControl = "control"
	groupMore    = "more"
)

// NewCmdRoot makes the whole tree of commands.
func NewCmdRoot(f *factory.Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clic",
		Short: "Run plans of stages, and keep an eye on them",
		Long: `clic runs plans, DAGs of stages written as Argo Workflows, on a master, and shows and steers what runs.

Start a master with "clic-master", or run a plan without one: "clic run PLAN.yaml".`,
		Example: `  clic run plan.yaml                 # run a plan here and now, without a master
  clic submit plan.yaml --watch      # send it to the master and follow it
  clic list                          # what tasks there are
  clic explain TASK                  # what each of its stages waits for`,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       f.Version,
	}
	cmd.SetIn(f.IO.In)
	cmd.SetOut(f.IO.Out)
	cmd.SetErr(f.IO.Err)
	cmd.SetVersionTemplate("clic {{.Version}}\n")
	cmd.SetFlagErrorFunc(flagError)
	cmd.PersistentFlags().StringVar(&f.MasterFlag, "master", "", "the master's `host:port`, or several with commas (default: see \"clic help config\")")
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run plans:"},
		&cobra.Group{ID: groupLook, Title: "Look at tasks and stages:"},
		&cobra.Group{ID: groupControl, Title: "Steer them:"},
		&cobra.Group{ID: groupMore, Title: "More:"},
	)
	cmd.SetHelpCommandGroupID(groupMore)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			cmd.AddCommand(c)
		}
	}
	add(groupRun, run.NewCmdRun(f, nil), submit.NewCmdSubmit(f, nil), lint.NewCmdLint(f, nil), graph.NewCmdGraph(f, nil))
	add(groupLook, list.NewCmdList(f, nil), get.NewCmdGet(f, nil), stages.NewCmdStages(f, nil), watch.NewCmdWatch(f, nil),
		explain.NewCmdExplain(f, nil), logs.NewCmdLogs(f, nil), result.NewCmdResult(f, nil))
	add(groupControl, suspend.NewCmdSuspend(f, nil), resume.NewCmdContinue(f, nil), cancel.NewCmdCancel(f, nil), skip.NewCmdSkip(f, nil),
		retry.NewCmdRetry(f, nil), remove.NewCmdDelete(f, nil))
	add(groupMore, info.NewCmdInfo(f, nil), config.NewCmdConfig(f, nil), version.NewCmdVersion(f, nil), completion.NewCmdCompletion(f, nil))
	cmd.AddCommand(old.NewCmdOld(f))
	cmd.AddCommand(topics()...)
	return cmd
}

// topics are pages of the help that are no commands.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit statuses mean", Long: exit.Topic},
		{Use: "old-commands", Short: "The options of the Java shell", Long: old.Topic},
		{Use: "environment", Short: "The environment variables", Long: environment},
	}
}

const environment = `Environment variables that clic reads:

  CLIC_MASTER      the master's host:port, or a:7777,b:7777 where several masters share a
                   store; --master goes before it
  CLIC_HOME        $CLIC_HOME/conf/master-info.config names the master (see "clic help config")
  NO_COLOR         if not empty: no colours
  CLICOLOR_FORCE   if neither empty nor 0: colours also where the output is no terminal
  LC_ALL, LC_CTYPE, LANG
                   symbols other than ASCII are used only where the locale is UTF-8
  COLUMNS          width, where the terminal does not tell
  USER             recorded by the master with what is submitted, suspended, cancelled`

// Main runs the program and gives its exit status.
func Main(ctx context.Context, f *factory.Factory, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends a command that takes its time with the first, unless it has a use of its own for it.
	defer context.AfterFunc(ctx, stop)()
	defer func() { _ = f.Close() }() // nothing is lost that anybody could be told of
	cmd := NewCmdRoot(f)
	cmd.SetArgs(old.Translate(args))
	ran, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return exit.OK
	}
	if errors.Is(err, syscall.EPIPE) {
		return exit.OK // "clic list | head": who has seen enough needs no error
	}
	if structured(ran) {
		exit.PrintJSON(f.IO.Err, err)
	} else {
		exit.Print(f.IO, err)
	}
	return exit.Status(err)
}

// structured reports whether the command was asked for JSON or YAML.
func structured(cmd *cobra.Command) bool {
	flag := cmd.Flags().Lookup("output")
	return flag != nil && output.Format(flag.Value.String()).Structured()
}

// unknownCommand is the check of the root's arguments: there are none, so what stands there was meant as a command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := `"clic help" lists the commands`
	cmd.SuggestionsMinimumDistance = 2
	if found := cmd.SuggestionsFor(args[0]); len(found) > 0 {
		hint = "did you mean \"clic " + strings.Join(found, "\" or \"clic ") + "\"?"
	} else if looksLikePlan(args[0]) {
		hint = "did you mean \"clic run " + args[0] + "\" or \"clic submit " + args[0] + "\"?"
	}
	return exit.With(exit.Usage, errors.New("there is no command \""+args[0]+"\""), hint)
}

func looksLikePlan(arg string) bool {
	return strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml") || strings.HasSuffix(arg, ".jar")
}
