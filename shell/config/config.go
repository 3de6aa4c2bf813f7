// Package config is "clic config": which master the shell talks to, where that comes from, and how to change it.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/discover"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

// ConfigOptions are the arguments of the commands.
type ConfigOptions struct {
	IO     *iostreams.Streams
	Finder func() discover.Finder

	Key, Value string
	Format     output.Format
}

// NewCmdConfig makes the command and those below it. runF replaces their run functions in tests.
func NewCmdConfig(f *factory.Factory, runF func(*ConfigOptions) error) *cobra.Command {
	opts := &ConfigOptions{IO: f.IO, Finder: f.Finder}
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show or change which master is used",
		Long: `The master is found by, in this order:

  1. --master HOST:PORT
  2. the environment variable CLIC_MASTER
  3. the file $CLIC_HOME/conf/master-info.config, else /data/conf/master-info.config: lines of the form
     key=value with the keys ip and port; # begins a comment
  4. the default, 127.0.0.1:7777`,
		Args: args.None,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCmdView(opts, runF), newCmdPath(opts, runF), newCmdSet(opts, runF))
	return cmd
}

func newCmdView(opts *ConfigOptions, runF func(*ConfigOptions) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "view",
		Short:   "Show which master is used, and where its address comes from",
		Example: "  clic config view\n  clic config view -o json | jq -r .address",
		Args:    args.None,
		RunE: func(*cobra.Command, []string) error {
			if runF != nil {
				return runF(opts)
			}
			return viewRun(opts)
		},
	}
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON, output.YAML)
	return cmd
}

func newCmdPath(opts *ConfigOptions, runF func(*ConfigOptions) error) *cobra.Command {
	return &cobra.Command{
		Use:     "path",
		Short:   "Print the configuration file that is read, or that \"config set\" would write",
		Example: `  $EDITOR "$(clic config path)"`,
		Args:    args.None,
		RunE: func(*cobra.Command, []string) error {
			if runF != nil {
				return runF(opts)
			}
			_, err := fmt.Fprintln(opts.IO.Out, file(opts.Finder()))
			return err
		},
	}
}

func newCmdSet(opts *ConfigOptions, runF func(*ConfigOptions) error) *cobra.Command {
	return &cobra.Command{
		Use:   "set {master HOST:PORT | ip HOST | port PORT}",
		Short: "Write the configuration file",
		Long:  "Write the configuration file. Comments and other lines of the file are kept.",
		Example: `  CLIC_HOME=~/.clic clic config set master clic-master-svc:7777
  clic config set port 7778`,
		Args:      args.Exactly("KEY", "VALUE"),
		ValidArgs: []string{"master", "ip", "port"},
		RunE: func(_ *cobra.Command, a []string) error {
			opts.Key, opts.Value = a[0], a[1]
			if runF != nil {
				return runF(opts)
			}
			return setRun(opts)
		},
	}
}

// file is the configuration file that is read: the first that exists, else the first that would be looked at.
func file(f discover.Finder) string {
	files := f.Files()
	for _, name := range files {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return files[0]
}

func viewRun(opts *ConfigOptions) error {
	m, err := opts.Finder().Find()
	if err != nil {
		return err
	}
	if opts.Format.Structured() {
		return output.Encode(opts.IO.Out, opts.Format, m)
	}
	_, err = fmt.Fprintf(opts.IO.Out, "%s\t(from %s)\n", m.Address, m.Source)
	return err
}

func setRun(opts *ConfigOptions) error {
	values, err := assignments(opts.Key, opts.Value)
	if err != nil {
		return err
	}
	finder := opts.Finder()
	name := file(finder)
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return exit.With(exit.Config, err, "")
	}
	text := string(old)
	for _, v := range values {
		text = assign(text, v[0], v[1])
	}
	if _, err := discover.Parse(name, text); err != nil {
		return err // the other lines of the file: nothing is written over a file that cannot be read
	}
	if err := write(name, text); err != nil {
		return exit.With(exit.Config, fmt.Errorf("cannot write %q: %w", name, cause(err)),
			"set CLIC_HOME to a directory of your own, or use CLIC_MASTER")
	}
	if _, err := fmt.Fprintf(opts.IO.Out, "%s has been written\n", name); err != nil {
		return err
	}
	// What was written may still not be what counts.
	if m, err := finder.Find(); err == nil && m.File != name {
		fmt.Fprintf(opts.IO.Err, "note: %s goes before it and says %s\n", m.Source, m.Address)
	}
	return nil
}

func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// assignments checks a value and gives the lines that it becomes.
func assignments(key, value string) ([][2]string, error) {
	address := value
	switch key {
	case "master":
	case "ip":
		address = net.JoinHostPort(strings.Trim(value, "[]"), discover.DefaultPort)
	case "port":
		address = net.JoinHostPort("localhost", value)
	default:
		return nil, exit.Usagef("there is no key %q (master, ip or port)", key)
	}
	full, err := discover.ParseAddress(address)
	if err != nil {
		return nil, exit.Usagef("%w", err)
	}
	host, port, err := net.SplitHostPort(full)
	if err != nil {
		return nil, err
	}
	all := [][2]string{{"ip", host}, {"port", port}}
	switch key {
	case "ip":
		return all[:1], nil
	case "port":
		return all[1:], nil
	}
	return all, nil
}

// assign replaces the line that assigns the key, or appends one. Where there are several, the last one counts: it is the
// one that is replaced.
func assign(text, key, value string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if text == "" {
		lines = nil
	}
	replaced := false
	for i := len(lines) - 1; i >= 0 && !replaced; i-- {
		line := strings.TrimSpace(lines[i])
		if rest, ok := strings.CutPrefix(line, "export "); ok {
			line = strings.TrimSpace(rest)
		}
		if strings.HasPrefix(line, key+"=") && !strings.Contains(line, ";") {
			comment := ""
			if at := strings.Index(line, " #"); at >= 0 {
				comment = line[at:]
			}
			lines[i] = key + "=" + value + comment
			replaced = true
		}
	}
	if !replaced {
		lines = append(lines, key+"="+value)
	}
	return strings.Join(lines, "\n") + "\n"
}

// write replaces the file in one step, so that nobody reads half of it.
func write(name, text string) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".master-info-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // there is nothing left to remove after the renaming
	if _, err = f.WriteString(text); err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
