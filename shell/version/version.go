// Package version is "clic version".
package version

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

// VersionOptions are the arguments of the command.
type VersionOptions struct {
	IO      *iostreams.Streams
	Version string
	Format  output.Format
}

// NewCmdVersion makes the command. runF replaces the run function in tests.
func NewCmdVersion(f *factory.Factory, runF func(*VersionOptions) error) *cobra.Command {
	opts := &VersionOptions{IO: f.IO, Version: f.Version}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long:  `Print the version of this program. "clic info" tells the master's.`,
		Example: `  clic version
  clic version -o json`,
		Args: args.None,
		RunE: func(*cobra.Command, []string) error {
			if runF != nil {
				return runF(opts)
			}
			return versionRun(opts)
		},
	}
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON, output.YAML)
	return cmd
}

func versionRun(opts *VersionOptions) error {
	if opts.Format.Structured() {
		return output.Encode(opts.IO.Out, opts.Format, struct {
			Version  string `json:"version"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
		}{opts.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
	}
	_, err := fmt.Fprintf(opts.IO.Out, "clic %s\n", opts.Version)
	return err
}
