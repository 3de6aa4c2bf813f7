// Package output prints what commands found: tables for people, tab-separated lines for pipes, JSON, YAML and bare names
// for scripts.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// Format is a value of the option -o.
type Format string

// The formats. Not every command has all.
const (
	Tabular Format = "table"
	Wide    Format = "wide"
	JSON    Format = "json"
	YAML    Format = "yaml"
	Name    Format = "name"
)

// Structured reports whether the format is for programs that parse it.
func (f Format) Structured() bool { return f == JSON || f == YAML }

// flag makes a Format a pflag.Value that refuses what the command does not have.
type flag struct {
	value   *Format
	allowed []Format
}

func (f flag) String() string { return string(*f.value) }
func (f flag) Type() string   { return "format" }

func (f flag) Set(s string) error {
	if !slices.Contains(f.allowed, Format(s)) {
		return fmt.Errorf("must be one of %s", f.names())
	}
	*f.value = Format(s)
	return nil
}

func (f flag) names() string {
	names := make([]string, len(f.allowed))
	for i, a := range f.allowed {
		names[i] = string(a)
	}
	return strings.Join(names, "|")
}

// AddFlag adds -o/--output to a command. The first format is the default.
func AddFlag(cmd *cobra.Command, value *Format, allowed ...Format) {
	*value = allowed[0]
	f := flag{value: value, allowed: allowed}
	cmd.Flags().VarP(f, "output", "o", "output format: "+f.names())
	names := strings.Split(f.names(), "|")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

// Encode prints a value as JSON or YAML. Both have the same keys in the same order: the value's JSON form.
func Encode(w io.Writer, f Format, value any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		return err
	}
	if f == YAML {
		return encodeYAML(w, b.Bytes())
	}
	_, err := w.Write(b.Bytes())
	return err
}

// encodeYAML rewrites JSON, which is YAML already, in YAML's block style.
func encodeYAML(w io.Writer, jsonText []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(jsonText, &doc); err != nil {
		return err
	}
	restyle(&doc)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return err
	}
	return enc.Close()
}

// restyle takes the marks of JSON (braces, quotes) from a tree; the encoder puts quotes where YAML needs them.
func restyle(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		n.Style = 0
		switch {
		case n.Tag == "!!str" && strings.Contains(n.Value, "\n"):
			n.Style = yaml.LiteralStyle
		case n.Tag == "!!str" && ambiguous(n.Value):
			n.Style = yaml.DoubleQuotedStyle
		}
	default:
		n.Style = 0
	}
	for _, c := range n.Content {
		restyle(c)
	}
}

// ambiguous reports whether readers of YAML 1.1 would take a text for a truth value or a number to the base of 60.
func ambiguous(s string) bool {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off":
		return true
	}
	return strings.Contains(s, ":") && strings.Trim(s, "+-0123456789:.") == ""
}
