// Package graph is "clic graph": draw the DAG of a task or a plan.
package graph

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/planfile"
	"github.com/clic-orchestrator/clic/shell/resolve"
	"github.com/clic-orchestrator/clic/shell/submit"
)

// GraphOptions are the arguments of the command.
type GraphOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time

	Ref    string
	Format string
	Params []string
}

// NewCmdGraph makes the command. runF replaces the run function in tests.
func NewCmdGraph(f *factory.Factory, runF func(*GraphOptions) error) *cobra.Command {
	opts := &GraphOptions{IO: f.IO, Client: f.Client, Now: f.Now}
	cmd := &cobra.Command{
		Use:   "graph {TASK | FILE | -}",
		Short: "Draw the DAG of a task or a plan",
		Long: `Draw what depends on what: of a task, with the states of its stages, or of a plan's file, without a master.
What a plan decides only while it runs (loops over results, conditions) is drawn as far as it is known.

The formats are text, for the terminal; mermaid, which many sites show in Markdown; and dot, for Graphviz.`,
		Example: `  clic graph wordcount-qwertyui
  clic graph plan.yaml
  clic graph plan.yaml --format dot | dot -Tsvg > plan.svg
  (echo '~~~mermaid'; clic graph plan.yaml --format mermaid; echo '~~~') > plan.md`,
		Args: args.Exactly("TASK"),
		ValidArgsFunction: func(cmd *cobra.Command, a []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			names, _ := complete.Tasks(f)(cmd, a, typed)
			return names, cobra.ShellCompDirectiveDefault // files too
		},
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Ref = a[0]
			if runF != nil {
				return runF(opts)
			}
			return graphRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.Format, "format", "text", "text|mermaid|dot")
	cmd.Flags().StringArrayVarP(&opts.Params, "param", "p", nil, "for a file: value of a parameter, as `key=value` (repeatable)")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "mermaid", "dot"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func graphRun(ctx context.Context, opts *GraphOptions) error {
	var draw func(*Graph) string
	switch opts.Format {
	case "text":
		draw = func(g *Graph) string { return Text(g, opts.IO.Style(), opts.IO.UTF8) }
	case "mermaid":
		draw = Mermaid
	case "dot":
		draw = DOT
	default:
		return exit.Usagef("--format: %q is not one of text, mermaid, dot", opts.Format)
	}
	g, err := load(ctx, opts)
	if err != nil {
		return err
	}
	_, err = io.WriteString(opts.IO.Out, draw(g))
	return err
}

func load(ctx context.Context, opts *GraphOptions) (*Graph, error) {
	if isFile(opts.Ref) {
		return fromFile(opts)
	}
	if len(opts.Params) > 0 {
		return nil, exit.Usagef("--param is for a plan's file; %q is a task", opts.Ref)
	}
	c, err := opts.Client()
	if err != nil {
		return nil, err
	}
	task, err := resolve.TaskName(ctx, c, opts.Ref)
	if err != nil {
		return nil, err
	}
	nodes, err := resolve.Stages(ctx, c, &master.StageQuery{TaskName: task, Groups: new(true)})
	if err != nil {
		return nil, err
	}
	return FromTask(task, nodes), nil
}

// isFile tells files from tasks. A task's name has neither a slash nor such an ending.
func isFile(ref string) bool {
	if ref == "-" || strings.ContainsRune(ref, os.PathSeparator) || strings.HasSuffix(ref, ".yaml") || strings.HasSuffix(ref, ".yml") {
		return true
	}
	info, err := os.Stat(ref)
	return err == nil && info.Mode().IsRegular()
}

func fromFile(opts *GraphOptions) (*Graph, error) {
	params, err := submit.Params(opts.Params, "")
	if err != nil {
		return nil, err
	}
	p, err := planfile.Load(opts.IO, opts.Ref, planfile.Options{Params: params, Open: true, Now: opts.Now()})
	if err != nil {
		return nil, err
	}
	if p.Built == nil {
		return nil, exit.With(exit.BadPlan, fmt.Errorf("%s: %w", p.File, p.Diagnostics.Err()), "")
	}
	return FromPlan(p.Built), nil
}
