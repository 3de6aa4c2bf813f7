// Package args checks the arguments of commands: how many there are, and lists of key=value. Its errors are of the
// command line: they end the shell with the status of wrong usage and name the usage.
package args

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/shell/exit"
)

// None refuses arguments.
func None(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return exit.Usagef("%s takes no arguments, but got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// Exactly wants one argument per name; the names are those of the usage, such as TASK.
func Exactly(names ...string) cobra.PositionalArgs { return Between(len(names), names...) }

// Between wants at least so many of the named arguments, and at most all. A last name that ends with "..." may repeat.
func Between(least int, names ...string) cobra.PositionalArgs {
	repeat := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return exit.Usagef("%s needs %s: %s", cmd.CommandPath(), article(strings.TrimSuffix(names[len(args)], "...")), cmd.UseLine())
		}
		if len(args) > len(names) && !repeat {
			return exit.Usagef("%s has no use for %q: %s", cmd.CommandPath(), args[len(names)], cmd.UseLine())
		}
		return nil
	}
}

func article(name string) string {
	if strings.ContainsAny(name[:1], "AEIO") {
		return "an " + name
	}
	return "a " + name
}

// Pairs reads key=value arguments of a flag. Values may contain = and be empty; a key that comes twice is an error.
func Pairs(flag string, list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	pairs := make(map[string]string, len(list))
	for _, s := range list {
		key, value, found := strings.Cut(s, "=")
		if !found || key == "" {
			return nil, exit.Usagef("%s: %q is not of the form key=value", flag, s)
		}
		if _, twice := pairs[key]; twice {
			return nil, exit.Usagef("%s: %q is given twice", flag, key)
		}
		pairs[key] = value
	}
	return pairs, nil
}

// Join is the inverse of Pairs in one line, ordered by key.
func Join(pairs map[string]string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		all = append(all, k+"="+pairs[k])
	}
	return strings.Join(all, ",")
}
