// Package result is "clic result": where the result of a stage is, and its first lines.
package result

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
)

// ResultOptions are the arguments of the command.
type ResultOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)

	Ref    string
	Limit  int
	Path   bool
	Raw    bool
	Format output.Format
}

// NewCmdResult makes the command. runF replaces the run function in tests.
func NewCmdResult(f *factory.Factory, runF func(*ResultOptions) error) *cobra.Command {
	opts := &ResultOptions{IO: f.IO, Client: f.Client}
	cmd := &cobra.Command{
		Use:   "result STAGE",
		Short: "Show the result of a stage",
		Long: `Show where the result of a completed stage is, and its first lines. CSV and JSON lines are shown as a
table on a terminal; elsewhere, and with --raw, the lines are printed as they are.`,
		Example: `  clic result wordcount-qwertyui-java-3
  clic result wordcount-qwertyui/count --limit 100
  less "$(clic result wordcount-qwertyui/count --path)"`,
		Args:              args.Exactly("STAGE"),
		ValidArgsFunction: complete.Stages(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Ref = a[0]
			if runF != nil {
				return runF(opts)
			}
			return resultRun(cmd.Context(), opts)
		},
	}
	fl := cmd.Flags()
	fl.IntVarP(&opts.Limit, "limit", "n", 10, "at most so many lines")
	fl.BoolVar(&opts.Path, "path", false, "print only where the result is")
	fl.BoolVar(&opts.Raw, "raw", false, "print the lines as they are, also on a terminal")
	output.AddFlag(cmd, &opts.Format, output.Tabular, output.JSON, output.YAML)
	return cmd
}

// maxLines bounds what is asked for.
const maxLines = 1 << 20

// preview is the JSON form.
type preview struct {
	Stage   string     `json:"stage"`
	Path    string     `json:"path,omitempty"`
	Kind    string     `json:"kind"`
	Size    int64      `json:"size"`
	Files   int32      `json:"files,omitempty"`
	Format  string     `json:"format,omitempty"`
	Note    string     `json:"note,omitempty"`
	Lines   []string   `json:"lines,omitempty"`
	Columns []string   `json:"columns,omitempty"`
	Rows    [][]string `json:"rows,omitempty"`
	More    bool       `json:"more"`
}

func newPreview(r *master.ResultInfo) preview {
	return preview{Stage: r.StageId, Path: r.Path, Kind: r.Kind, Size: r.Size, Files: r.Files, Format: r.Format, Note: r.GetNote()}
}

func resultRun(ctx context.Context, opts *ResultOptions) error {
	if opts.Limit < 0 || opts.Limit > maxLines {
		return exit.Usagef("--limit must be between 0 and %d", maxLines)
	}
	c, err := opts.Client()
	if err != nil {
		return err
	}
	s, err := resolve.Stage(ctx, c, opts.Ref)
	if err != nil {
		return err
	}
	if opts.Path {
		return path(ctx, opts, c, s.StageId)
	}
	p, err := c.PreviewResult(ctx, s.StageId, int32(opts.Limit))
	if err != nil {
		return err
	}
	if opts.Format.Structured() {
		v := newPreview(p.Result_)
		v.Lines, v.Columns, v.Rows, v.More = p.Lines, p.Columns, p.Rows, p.More
		return output.Encode(opts.IO.Out, opts.Format, v)
	}
	if err := show(opts, p); err != nil {
		return err
	}
	if note := Note(p.Result_); note != "" {
		_, err = fmt.Fprintln(opts.IO.Err, note)
	}
	return err
}

// Note is what there is to say of a result that its lines do not say: what it is that is not shown, and what to do. "" is nothing.
func Note(r *master.ResultInfo) string {
	if note := output.Clean(r.GetNote()); !strings.EqualFold(note, r.Format) {
		return note
	}
	return ""
}

func path(ctx context.Context, opts *ResultOptions, c *client.Client, stageID string) error {
	r, err := c.GetResult(ctx, stageID)
	if err != nil {
		return err
	}
	if opts.Format.Structured() {
		return output.Encode(opts.IO.Out, opts.Format, newPreview(r))
	}
	if r.Path == "" {
		return exit.With(exit.NotFound, fmt.Errorf("the result of stage %s is a value, not a file", stageID),
			fmt.Sprintf("\"clic result %s\" shows it", stageID))
	}
	_, err = fmt.Fprintln(opts.IO.Out, r.Path)
	return err
}

func show(opts *ResultOptions, p *master.Preview) error {
	if opts.IO.OutTerminal && !opts.Raw {
		if _, err := fmt.Fprintln(opts.IO.Out, opts.IO.Style().Dim(heading(p.Result_))); err != nil {
			return err
		}
		if len(p.Columns) > 0 {
			if err := table(opts, p); err != nil {
				return err
			}
			return more(opts, p)
		}
	}
	var b strings.Builder
	for _, line := range p.Lines {
		if opts.IO.OutTerminal {
			line = output.Clean(line)
		}
		b.WriteString(line + "\n")
	}
	if _, err := io.WriteString(opts.IO.Out, b.String()); err != nil {
		return err
	}
	return more(opts, p)
}

// heading says where the result is and what it is.
func heading(r *master.ResultInfo) string {
	if r.Kind == "value" {
		return "value of " + r.StageId
	}
	parts := []string{}
	switch r.Kind {
	case "directory":
		parts = append(parts, output.Count(int(r.Files), "file"))
	case "missing":
		return output.Clean(r.Path) + " (does not exist)"
	}
	parts = append(parts, output.Bytes(r.Size))
	if r.Format != "" {
		parts = append(parts, r.Format)
	}
	return output.Clean(r.Path) + " (" + strings.Join(parts, ", ") + ")"
}

func table(opts *ResultOptions, p *master.Preview) error {
	columns := make([]output.Column, len(p.Columns))
	for i, name := range p.Columns {
		columns[i] = output.Column{Title: output.Clean(name)}
	}
	t := output.NewTable(columns...)
	for _, row := range p.Rows {
		cells := make([]output.Cell, len(row))
		for i, text := range row {
			cells[i] = output.Text(text)
		}
		t.Row(cells...)
	}
	return t.Write(opts.IO)
}

func more(opts *ResultOptions, p *master.Preview) error {
	if !p.More || !opts.IO.OutTerminal {
		return nil
	}
	_, err := fmt.Fprintln(opts.IO.Err, opts.IO.ErrStyle().Dim(fmt.Sprintf("(there is more; --limit %d shows more)", 10*max(opts.Limit, 1))))
	return err
}
