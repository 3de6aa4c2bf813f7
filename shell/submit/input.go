package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/iostreams"
)

// MaxPlan bounds a plan's text in bytes.
const MaxPlan = 128 << 20

// ReadPlan reads a plan's file, or the standard input for "-", and says what to call it in messages.
func ReadPlan(s *iostreams.Streams, file string) (text, name string, err error) {
	if file == "-" {
		if s.InTerminal {
			fmt.Fprintln(s.Err, "Reading the plan from the terminal; end it with Ctrl-D.")
		}
		text, err := readBounded(s.In)
		if err != nil {
			return "", "", fmt.Errorf("cannot read the plan from the standard input: %w", err)
		}
		if text == "" {
			return "", "", exit.With(exit.NoInput, errors.New("the standard input is empty, a plan was expected"), "")
		}
		return text, "<stdin>", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", "", unreadable(file, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return "", "", exit.With(exit.NoInput, fmt.Errorf("%q is a directory, a plan's file was expected", file), "")
	}
	text, err = readBounded(f)
	if err != nil {
		return "", "", unreadable(file, err)
	}
	return text, file, nil
}

func readBounded(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxPlan+1))
	if err != nil {
		return "", err
	}
	if len(b) > MaxPlan {
		return "", exit.With(exit.BadPlan, fmt.Errorf("it is larger than %d bytes", MaxPlan), "")
	}
	return string(b), nil
}

// unreadable says which file cannot be read, and proposes one with the other usual ending.
func unreadable(file string, err error) error {
	if e, ok := errors.AsType[*exit.Error](err); ok {
		return exit.With(e.Status, fmt.Errorf("cannot read %q: %w", file, e.Err), "")
	}
	hint := ""
	if errors.Is(err, fs.ErrNotExist) {
		for _, other := range []string{file + ".yaml", file + ".yml", swap(file)} {
			if info, e := os.Stat(other); other != "" && e == nil && info.Mode().IsRegular() {
				hint = fmt.Sprintf("did you mean %q?", other)
				break
			}
		}
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return exit.With(exit.NoInput, fmt.Errorf("cannot read %q: %w", file, err), hint)
}

// swap exchanges .yaml and .yml.
func swap(file string) string {
	switch ext := filepath.Ext(file); ext {
	case ".yaml":
		return file[:len(file)-len(ext)] + ".yml"
	case ".yml":
		return file[:len(file)-len(ext)] + ".yaml"
	}
	return ""
}

// Params collects the parameters of the command line and of a file. The command line goes before the file.
func Params(list []string, file string) (map[string]string, error) {
	given, err := args.Pairs("--param", list)
	if err != nil || file == "" {
		return given, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	var nodes map[string]yaml.Node
	if err := yaml.Unmarshal(b, &nodes); err != nil {
		return nil, exit.With(exit.BadPlan, fmt.Errorf("cannot read parameters from %q: %w", file, err), "lines of the form \"key: value\" are expected")
	}
	params := make(map[string]string, len(nodes))
	for name, n := range nodes {
		// The text as written: 007 and yes stay what they are.
		if n.Kind != yaml.ScalarNode {
			return nil, exit.With(exit.BadPlan, fmt.Errorf("%s:%d: parameter %q is not a single value", file, n.Line, name), "")
		}
		params[name] = n.Value
	}
	maps.Copy(params, given)
	return params, nil
}

// RunJar runs a program that builds a plan and submits it by itself. Its own exit status is ours.
func RunJar(ctx context.Context, s *iostreams.Streams, jar string) error {
	if _, err := os.Stat(jar); err != nil {
		return unreadable(jar, err)
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return exit.With(exit.Failed, errors.New("a .jar is run with java, which was not found in PATH"), "install a Java runtime, or submit the plan's YAML")
	}
	cmd := exec.CommandContext(ctx, java, "-jar", jar)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	if err := cmd.Run(); err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok && e.ExitCode() > 0 {
			return exit.Silent(e.ExitCode())
		}
		return fmt.Errorf("cannot run java -jar %q: %w", jar, err)
	}
	return nil
}
