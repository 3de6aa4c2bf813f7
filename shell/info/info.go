// Package info is "clic info": the master that the shell talks to.
package info

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/discover"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

// InfoOptions are the arguments of the command.
type InfoOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Master func() (discover.Master, error)
	Now    func() time.Time

	Format output.Format
}

// NewCmdInfo makes the command. runF replaces the run function in tests.
func NewCmdInfo(f *factory.Factory, runF func(*InfoOptions) error) *cobra.Command {
	opts := &InfoOptions{IO: f.IO, Client: f.Client, Now: f.Now, Master: func() (discover.Master, error) { return f.Finder().Find() }}
	cmd := &cobra.Command{
		Use:     "info",
		Aliases: []string{"status"},
		Short:   "Show the state of the master",
		Long:    "Show which master answers: its version, address, store, executors, and how much it has to do.",
		Example: `  clic info
  clic info -o json | jq .activeTasks
  clic info --master clic-master-svc:7777`,
		Args: args.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(opts)
			}
			return infoRun(cmd.Context(), opts)
		},
	}
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON, output.YAML)
	return cmd
}

// info is the JSON form.
type info struct {
	Address      string    `json:"address"`
	Source       string    `json:"source"`
	Listens      string    `json:"listens,omitempty"`
	Version      string    `json:"version"`
	Store        string    `json:"store"`
	Executors    []string  `json:"executors"`
	Started      time.Time `json:"started,omitzero"`
	Epoch        int64     `json:"epoch"`
	ActiveTasks  int32     `json:"activeTasks"`
	ActiveStages int32     `json:"activeStages"`
}

func infoRun(ctx context.Context, opts *InfoOptions) error {
	m, err := opts.Master()
	if err != nil {
		return err
	}
	c, err := opts.Client()
	if err != nil {
		return err
	}
	i, err := c.GetMasterInfo(ctx)
	if err != nil {
		return err
	}
	v := info{
		Address: m.Address, Source: m.Source, Listens: i.Address, Version: i.Version, Store: i.Store,
		Executors: append([]string{}, i.Executors...), Started: client.Millis(i.Started), Epoch: i.Epoch,
		ActiveTasks: i.ActiveTasks, ActiveStages: i.ActiveStages,
	}
	if opts.Format.Structured() {
		v.Started = v.Started.UTC()
		return output.Encode(opts.IO.Out, opts.Format, v)
	}
	style := opts.IO.Style()
	for _, line := range [][2]string{
		{"Master", v.Address + " (" + v.Source + ")"},
		{"Version", v.Version},
		{"Running", fmt.Sprintf("since %s (%s)", output.Moment(v.Started), output.Duration(opts.Now().Sub(v.Started)))},
		{"Store", v.Store},
		{"Executors", strings.Join(v.Executors, ", ")},
		{"Active", fmt.Sprintf("%s, %s", output.Count(int(v.ActiveTasks), "task"), output.Count(int(v.ActiveStages), "stage"))},
	} {
		if _, err := fmt.Fprintf(opts.IO.Out, "%s%s  %s\n", style.Bold(line[0]), strings.Repeat(" ", 9-len(line[0])), output.Clean(line[1])); err != nil {
			return err
		}
	}
	return nil
}
