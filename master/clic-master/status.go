package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/master"
)

// errNobodyLeads is the outcome of a status without a leader.
var errNobodyLeads = errors.New("no master leads")

func (k *keeper) statusCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show who leads, who follows, and what does not work",
		Long: `status asks the store itself, so that it works whatever the masters do, and then the leader: a store that takes nothing and
executors that can do nothing are shown as trouble. SILENT is how long ago a master was heard of; one that
is gone is listed for a while, until it is forgotten. Where the store serves one master only, it shows whether there is one.

It ends with 1 where no master leads.`,
		Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if output != "table" && output != "json" {
				return usageError{fmt.Errorf("-o %s: table or json", output)}
			}
			return k.run(func(ctx context.Context, cfg master.Config) error { return k.status(ctx, cfg, output == "json") })
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func (k *keeper) status(ctx context.Context, cfg master.Config, asJSON bool) error {
	s, err := master.Look(ctx, cfg)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(k.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(s)
	} else {
		err = printStatus(k.stdout, s)
	}
	if err == nil && s.Leader == "" {
		err = errNobodyLeads
	}
	return err
}

// usage makes mistakes in the arguments usage errors.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

func printStatus(w io.Writer, s *master.Status) error {
	leader := s.Leader
	if leader == "" {
		leader = "none"
	}
	fmt.Fprintf(w, "store:  %s (%s)\nleader: %s, epoch %d\n", s.Store, s.StoreKind, leader, s.Epoch)
	for _, t := range s.Troubles {
		since := ""
		if !t.Since.IsZero() {
			since = " (since " + t.Since.Local().Format(time.DateTime) + ")"
		}
		fmt.Fprintf(w, "trouble: %s%s: %s\n", t.Of, since, strings.ReplaceAll(t.Reason, "\n", " "))
	}
	if len(s.Masters) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nROLE\tADDRESS\tHOST\tPID\tVERSION\tUP\tSILENT")
	for _, m := range s.Masters {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", m.Role, m.Address, m.Host, m.PID, m.Version,
			(time.Duration(m.UpMillis) * time.Millisecond).Round(time.Second), time.Duration(m.SilentMillis)*time.Millisecond)
	}
	return t.Flush()
}
