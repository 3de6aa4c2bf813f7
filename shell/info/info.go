// Package info is "clic info": the master that the shell talks to.
package info

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
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
		Long: "Show which master answers: its version, address, store, executors, and how much it has to do. Where several masters share\n" +
			"a store, it shows which of them leads, and when each gave its last sign of life.",
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
	Role         string    `json:"role,omitempty"`
	Leader       string    `json:"leader,omitempty"`
	Store        string    `json:"store"`
	StaleSince   time.Time `json:"staleSince,omitzero"`
	StoreTrouble string    `json:"storeTrouble,omitempty"`
	Executors    []string  `json:"executors"`
	Troubles     []trouble `json:"troubles,omitempty"`
	Started      time.Time `json:"started,omitzero"`
	Epoch        int64     `json:"epoch"`
	ActiveTasks  int32     `json:"activeTasks"`
	ActiveStages int32     `json:"activeStages"`
	Members      []member  `json:"members,omitempty"`
}

// trouble is an executor in the JSON form that can do nothing at the moment.
type trouble struct {
	Executor string    `json:"executor"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since,omitzero"`
}

// member is a master of several in the JSON form.
type member struct {
	ID           string    `json:"id"`
	Address      string    `json:"address"`
	Leads        bool      `json:"leads"`
	Version      string    `json:"version"`
	Host         string    `json:"host"`
	PID          int32     `json:"pid"`
	Started      time.Time `json:"started,omitzero"`
	SilentMillis int64     `json:"silentMillis"`
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
	v := describe(m, c.Address(), i)
	if opts.Format.Structured() {
		return output.Encode(opts.IO.Out, opts.Format, v.utc())
	}
	if err := printFacts(opts, v); err != nil || len(v.Members) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(opts.IO.Out); err != nil {
		return err
	}
	return table(v.Members, opts.Now()).Write(opts.IO)
}

// describe puts what the master says into the JSON form. address is that of the master that answered.
func describe(m discover.Master, address string, i *master.MasterInfo) info {
	v := info{
		Address: address, Source: m.Source, Listens: i.Address, Version: i.Version, Role: i.Role, Leader: i.Leader, Store: i.Store,
		StaleSince: client.Millis(i.GetStaleSince()), StoreTrouble: i.StoreTrouble,
		Executors: append([]string{}, i.Executors...), Started: client.Millis(i.Started), Epoch: i.Epoch,
		ActiveTasks: i.ActiveTasks, ActiveStages: i.ActiveStages,
	}
	for _, one := range i.Troubles {
		v.Troubles = append(v.Troubles, trouble{Executor: one.Executor, Reason: one.Reason, Since: client.Millis(one.Since)})
	}
	for _, one := range i.Members {
		v.Members = append(v.Members, member{
			ID: one.ID, Address: one.Address, Leads: one.Leads, Version: one.Version, Host: one.Host, PID: one.Pid,
			Started: client.Millis(one.Started), SilentMillis: one.SilentMillis,
		})
	}
	return v
}

// utc has its times in UTC, as all JSON of the shell.
func (v info) utc() info {
	v.Started, v.StaleSince = v.Started.UTC(), v.StaleSince.UTC()
	for i := range v.Members {
		v.Members[i].Started = v.Members[i].Started.UTC()
	}
	for i := range v.Troubles {
		v.Troubles[i].Since = v.Troubles[i].Since.UTC()
	}
	return v
}

// role describes the master's part in a few words, "" where it is too old to say.
func (v info) role() string {
	switch {
	case v.Role == "follower" && v.Leader == "":
		return "follower; no master leads at the moment"
	case v.Role == "follower":
		return "follower of " + v.Leader
	}
	return v.Role
}

func printFacts(opts *InfoOptions, v info) error {
	facts := [][2]string{
		{"Master", v.Address + " (" + v.Source + ")"},
		{"Version", v.Version},
		{"Role", v.role()},
		{"Running", fmt.Sprintf("since %s (%s)", output.Moment(v.Started), output.Duration(opts.Now().Sub(v.Started)))},
		{"Store", v.Store},
		{"Trouble", v.trouble()},
		{"Executors", strings.Join(v.Executors, ", ")},
	}
	for _, t := range v.Troubles {
		facts = append(facts, [2]string{"Trouble", fmt.Sprintf("executor %s can do nothing since %s: %s", t.Executor, output.Moment(t.Since), t.Reason)})
	}
	facts = append(facts, [][2]string{
		{"Active", fmt.Sprintf("%s, %s", output.Count(int(v.ActiveTasks), "task"), output.Count(int(v.ActiveStages), "stage"))},
	}...)
	style := opts.IO.Style()
	for _, line := range facts {
		if line[1] == "" && (line[0] == "Role" || line[0] == "Trouble") {
			continue
		}
		text := output.Clean(line[1])
		if line[0] == "Trouble" {
			text = style.Red(text)
		}
		if _, err := fmt.Fprintf(opts.IO.Out, "%s%s  %s\n", style.Bold(line[0]), strings.Repeat(" ", 9-len(line[0])), text); err != nil {
			return err
		}
	}
	return nil
}

// trouble says what is wrong with the store, "" if nothing is.
func (v info) trouble() string {
	if v.StaleSince.IsZero() {
		return v.StoreTrouble
	}
	text := "the store cannot be reached since " + output.Moment(v.StaleSince)
	if v.StoreTrouble != "" {
		text += ": " + v.StoreTrouble
	}
	return text
}

// table lists the masters of the store.
func table(members []member, now time.Time) *output.Table {
	t := output.NewTable(output.Column{Title: "MASTER", Fixed: true}, output.Column{Title: "ROLE"}, output.Column{Title: "VERSION"},
		output.Column{Title: "HOST"}, output.Column{Title: "PID", Right: true}, output.Column{Title: "UP", Right: true}, output.Column{Title: "SEEN"})
	for _, m := range members {
		role, up := "follower", ""
		if m.Leads {
			role = "leader"
		}
		if !m.Started.IsZero() {
			up = output.Duration(now.Sub(m.Started))
		}
		t.Row(output.Text(m.Address), output.Text(role), output.Text(m.Version), output.Text(m.Host), output.Text(strconv.Itoa(int(m.PID))),
			output.Text(up), output.Text(seen(m.SilentMillis)))
	}
	return t
}

// seen is how long ago a master gave a sign of life.
func seen(millis int64) string {
	const soon = 2000 // they do so a few times per second
	if millis < soon {
		return "now"
	}
	return output.Duration(time.Duration(millis)*time.Millisecond) + " ago"
}
