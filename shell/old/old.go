// Package old is the command line of the Java shell: -submit, -list_task, -task, -task_stage, -stage, -stage_result,
// -suspend_stage, -continue_stage, -version and -help. Translate turns them into hidden commands before cobra sees them,
// whose tables have the old columns in the old order; what is new comes after them. Unlike the old shell, these commands say
// what really happened, and end with a status that tells it.
package old

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/factory"
)

// spellings maps the old options to commands.
var spellings = map[string][]string{
	"submit":         {"old", "submit"},
	"list_task":      {"old", "list_task"},
	"task":           {"old", "task"},
	"task_stage":     {"old", "task_stage"},
	"stage":          {"old", "stage"},
	"stage_result":   {"old", "stage_result"},
	"suspend_stage":  {"old", "suspend_stage"},
	"continue_stage": {"old", "continue_stage"},
	"version":        {"version"},
	"help":           {"help"},
	"h":              {"help"},
}

// Translate replaces an old spelling, with one dash or two, by the command that does it. It stands where a command would:
// first, or after options of the whole program. Everything else is left as it is.
func Translate(args []string) []string {
	at := 0
	for at < len(args) && strings.HasPrefix(args[at], "--master") {
		if args[at] == "--master" {
			at++
		}
		at++
	}
	if at >= len(args) || !strings.HasPrefix(args[at], "-") {
		return args
	}
	name := strings.TrimPrefix(strings.TrimPrefix(args[at], "-"), "-")
	command, known := spellings[name]
	if !known {
		return args
	}
	return slices.Concat(args[:at], command, args[at+1:])
}

// NewCmdOld makes the hidden commands.
func NewCmdOld(f *factory.Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "old",
		Short:  "The commands of the Java shell",
		Hidden: true,
		Run:    func(cmd *cobra.Command, _ []string) { _ = cmd.Help() },
	}
	cmd.AddCommand(
		newCmdSubmit(f), newCmdListTask(f), newCmdTask(f), newCmdTaskStage(f), newCmdStage(f), newCmdStageResult(f),
		newCmdSuspend(f), newCmdContinue(f),
	)
	return cmd
}

// Topic is the text of "clic help old-commands".
const Topic = `The options of the Java shell work as before, with one dash or two:

  clic -submit NAME PLAN.yaml       clic submit PLAN.yaml --name NAME
  clic -submit PLAN.jar             clic submit PLAN.jar
  clic -list_task                   clic list
  clic -task TASK                   clic get TASK
  clic -task_stage TASK             clic stages TASK
  clic -stage STAGE                 clic get STAGE
  clic -stage_result STAGE [N]      clic result STAGE --limit N
  clic -suspend_stage STAGE         clic suspend STAGE
  clic -continue_stage STAGE        clic continue STAGE
  clic -version                     clic version
  clic -help                        clic help

Their tables have the old columns in the old order, and new ones after them. A plan that cannot be
read here is looked for by the master. What fails is told, and the exit status is not 0 then (see
"clic help exit-codes").`
