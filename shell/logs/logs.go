// Package logs is "clic logs": what a stage has written to its standard and error output.
package logs

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/args"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/complete"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/follow"
	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
	"github.com/clic-orchestrator/clic/shell/resolve"
	"github.com/clic-orchestrator/clic/shell/when"
)

// LogsOptions are the arguments of the command.
type LogsOptions struct {
	IO     *iostreams.Streams
	Client func() (*client.Client, error)
	Now    func() time.Time

	Ref     string
	Follow  bool
	Attempt int
	Tail    int
	Since   string
	Stream  string
	Prefix  bool

	since time.Time // what Since says
}

// NewCmdLogs makes the command. runF replaces the run function in tests.
func NewCmdLogs(f *factory.Factory, runF func(*LogsOptions) error) *cobra.Command {
	opts := &LogsOptions{IO: f.IO, Client: f.Client, Now: f.Now}
	cmd := &cobra.Command{
		Use:     "logs {STAGE | TASK}",
		Aliases: []string{"log"},
		Short:   "Show what a stage has written",
		Long: `Show the standard and error output of a stage's newest attempt, or of another one with --attempt.
With --follow the output is shown as it is written, until the attempt ends.
With --since only what was written since then is shown. Where the stage runs on the master's own machine, nobody notes when each
line was written: all is shown if anything was written since then, and else nothing.

For a task the logs of all its stages are shown, each line with the name of its stage in front.`,
		Example: `  clic logs wordcount-qwertyui-java-3
  clic logs wordcount-qwertyui/count -f --since 10m
  clic logs wordcount-qwertyui/count --attempt 0 --stream stderr --tail 20
  clic logs wordcount-qwertyui`,
		Args:              args.Exactly("STAGE"),
		ValidArgsFunction: complete.Stages(f),
		RunE: func(cmd *cobra.Command, a []string) error {
			opts.Ref = a[0]
			if runF != nil {
				return runF(opts)
			}
			return logsRun(cmd.Context(), opts)
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&opts.Follow, "follow", "f", false, "go on until the attempt has ended")
	fl.IntVar(&opts.Attempt, "attempt", -1, "`number` of the attempt, counted from 0; -1 for the newest")
	fl.IntVar(&opts.Tail, "tail", -1, "only the last `lines`; -1 for all")
	fl.StringVar(&opts.Since, "since", "", "only what was written at or after this `time` (10m, 06:00, 2026-01-31, RFC 3339)")
	fl.StringVar(&opts.Stream, "stream", "", "only stdout or only stderr")
	fl.BoolVar(&opts.Prefix, "prefix", false, "put the stage's name in front of each line")
	_ = cmd.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]string{"stdout", "stderr"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func logsRun(ctx context.Context, opts *LogsOptions) error {
	switch opts.Stream {
	case "", "stdout", "stderr":
	default:
		return exit.Usagef("--stream: %q is neither stdout nor stderr", opts.Stream)
	}
	if opts.Attempt < -1 {
		return exit.Usagef("--attempt must not be less than -1")
	}
	if opts.Tail < -1 || opts.Tail == 0 {
		return exit.Usagef("--tail must be -1 or more than 0")
	}
	if opts.Since != "" {
		since, err := when.Past(opts.Since, opts.Now())
		if err != nil {
			return exit.Usagef("--since: %v", err)
		}
		opts.since = since
	}
	c, err := opts.Client()
	if err != nil {
		return err
	}
	target, err := resolve.Either(ctx, c, opts.Ref)
	if err != nil {
		return err
	}
	if target.Task != nil {
		return task(ctx, opts, c, target.Task)
	}
	out := opts.IO.Out
	if opts.Prefix {
		p := newPrefixer(opts.IO, target.Stage)
		defer p.flush()
		out = p
	}
	r := &reader{opts: opts, client: c, stage: target.Stage, out: out}
	return r.run(ctx)
}

// task shows the logs of all stages that have one, one after the other.
func task(ctx context.Context, opts *LogsOptions, c *client.Client, t *master.TaskInfo) error {
	if opts.Follow {
		return exit.With(exit.Usage, fmt.Errorf("--follow needs a stage, %s is a task", t.TaskName),
			fmt.Sprintf("\"clic stages %s\" lists them; \"clic watch %s\" follows the task", t.TaskName, t.TaskName))
	}
	stages, err := resolve.Stages(ctx, c, &master.StageQuery{TaskName: t.TaskName})
	if err != nil {
		return err
	}
	for _, s := range stages {
		if s.Launched == 0 && s.Started == 0 {
			continue
		}
		p := newPrefixer(opts.IO, s)
		r := &reader{opts: opts, client: c, stage: s, out: p}
		err := r.run(ctx)
		p.flush()
		if err != nil && client.Code(err) != base.ErrorCode_NOT_FOUND && client.Code(err) != base.ErrorCode_NOT_READY {
			return err
		}
	}
	return nil
}

const (
	// chunk is how many bytes are asked for at once, wait how long the master waits for more.
	chunk = 1 << 20
	wait  = 30 * time.Second
	grace = 15 * time.Second
)

// reader copies the log of one stage.
type reader struct {
	opts   *LogsOptions
	client *client.Client
	stage  *master.StageInfo
	out    io.Writer
}

func (r *reader) run(ctx context.Context) error {
	req := &master.LogRequest{StageId: r.stage.StageId, Offset: new(int64(0)), Limit: new(int32(chunk))}
	if r.opts.Attempt >= 0 {
		req.Attempt = new(int32(r.opts.Attempt))
	}
	if r.opts.Stream != "" {
		req.Stream = &r.opts.Stream
	}
	if r.opts.Tail > 0 {
		req.Offset, req.TailLines = nil, new(int32(r.opts.Tail))
	}
	if !r.opts.since.IsZero() {
		req.Since = new(r.opts.since.UnixMilli())
	}
	printed := false
	for {
		data, err := r.read(ctx, req)
		if err != nil {
			return err
		}
		if _, err := r.out.Write(data.Data); err != nil {
			return err
		}
		printed = printed || len(data.Data) > 0
		if data.Done && len(data.Data) == 0 || !r.opts.Follow && (data.Done || len(data.Data) == 0) {
			if !printed {
				since := ""
				if !r.opts.since.IsZero() {
					since = " since " + output.Moment(r.opts.since)
				}
				fmt.Fprintf(r.opts.IO.Err, "Stage %s has printed nothing%s; it is %s.\n", r.stage.StageId, since, r.stage.State)
			}
			return nil
		}
		// The attempt is the one that was begun with, also if another one starts meanwhile.
		req.Offset, req.TailLines, req.Attempt = &data.NextOffset, nil, &data.Attempt
		if r.opts.Follow {
			req.WaitMillis = new(wait.Milliseconds())
		}
	}
}

// read asks for the next piece. With --follow it waits for a master that is away; a log that does not exist yet is the
// master's to wait for.
func (r *reader) read(ctx context.Context, req *master.LogRequest) (data *master.LogChunk, err error) {
	if !r.opts.Follow {
		return r.client.ReadLog(ctx, req)
	}
	notify := func(text string) { fmt.Fprintln(r.opts.IO.Err, text) }
	err = follow.Persist(ctx, notify, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, wait+grace)
		defer cancel()
		data, err = r.client.ReadLog(ctx, req)
		req.WaitMillis = nil // a master that is back says so at once, not only when something is written
		return err
	})
	return data, err
}
