// Package completion is "clic completion": scripts that let a shell complete commands, names of tasks and ids of stages.
package completion

import (
	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
)

// CompletionOptions are the arguments of the command.
type CompletionOptions struct {
	Shell string
}

// shells are those that cobra can write a script for.
func shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

// NewCmdCompletion makes the command. runF replaces the run function in tests.
func NewCmdCompletion(f *factory.Factory, runF func(*CompletionOptions) error) *cobra.Command {
	opts := &CompletionOptions{}
	return &cobra.Command{
		Use:   "completion {bash | zsh | fish | powershell}",
		Short: "Print a script for completion in your shell",
		Long: `Print a script that lets your shell complete commands and flags, and the names of tasks and stages, which it
asks the master for.`,
		Example: `  source <(clic completion bash)                                   # now
  clic completion bash > /etc/bash_completion.d/clic               # for all, with bash-completion
  clic completion zsh > "${fpath[1]}/_clic"
  clic completion fish > ~/.config/fish/completions/clic.fish
  clic completion powershell | Out-String | Invoke-Expression`,
		Args:                  args.Exactly("SHELL"),
		ValidArgs:             shells(),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Shell = a[0]
			if runF != nil {
				return runF(opts)
			}
			return completionRun(cmd.Root(), f, opts)
		},
	}
}

func completionRun(root *cobra.Command, f *factory.Factory, opts *CompletionOptions) error {
	switch out := f.IO.Out; opts.Shell {
	case "bash":
		return root.GenBashCompletionV2(out, true)
	case "zsh":
		return root.GenZshCompletion(out)
	case "fish":
		return root.GenFishCompletion(out, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(out)
	}
	return exit.Usagef("%q is not one of bash, zsh, fish, powershell", opts.Shell)
}
