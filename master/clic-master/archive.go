package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/archive"
	"github.com/clic-orchestrator/clic/master/store/redis"
)

// keeper is what the administrator's commands have in common.
type keeper struct {
	o              *options
	stdout, stderr io.Writer
	getenv         func(string) string
}

// run loads the configuration and calls use, which is interrupted by a signal.
func (k *keeper) run(use func(ctx context.Context, cfg master.Config) error) error {
	cfg, err := k.o.load(k.getenv)
	if err != nil {
		return err
	}
	cfg.Logger = logger(cfg, k.stderr)
	redis.LogClient(cfg.Logger)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return use(ctx, cfg)
}

// every gives a function that calls show at most once a second.
func every(show func()) func() {
	var last time.Time
	return func() {
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			show()
		}
	}
}

func (k *keeper) exportCommand() *cobra.Command {
	var after string
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write all tasks, with their stages and history, as JSON lines",
		Long: `export writes all tasks of a store as JSON lines, to FILE or to the standard output: to move them to another store, or to keep
them. Masters may go on meanwhile where the store is in Redis. An export that was interrupted says how to continue it.`,
		Example: `  clic-master export --store redis://redis:6379/0 tasks.jsonl
  clic-master export --data-dir ~/.local/share/clic | gzip >tasks.jsonl.gz`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			return k.run(func(ctx context.Context, cfg master.Config) (err error) {
				w := k.stdout
				if len(args) == 1 {
					how := os.O_CREATE | os.O_WRONLY | os.O_EXCL
					if after != "" {
						how = os.O_APPEND | os.O_WRONLY
					}
					f, err := os.OpenFile(args[0], how, 0o600)
					if err != nil {
						return fmt.Errorf("cannot write the archive: %w", err)
					}
					defer func() { err = errors.Join(err, f.Close()) }()
					w = f
				}
				return k.export(ctx, cfg, w, after)
			})
		},
	}
	cmd.Flags().StringVar(&after, "after", "", "continue an interrupted export after this `CURSOR`, at the end of the same file")
	return cmd
}

func (k *keeper) export(ctx context.Context, cfg master.Config, w io.Writer, after string) error {
	var counts archive.Counts
	show := every(func() { fmt.Fprintf(k.stderr, "%d tasks, %d stages\n", counts.Tasks, counts.Nodes) })
	buffered := bufio.NewWriterSize(w, 1<<20)
	done, err := master.Export(ctx, cfg, buffered, archive.ExportOptions{
		After: after, Program: "clic-master " + version, Now: time.Now(),
		Progress: func(c archive.Counts) { counts = c; show() },
	})
	err = errors.Join(err, buffered.Flush())
	if err != nil {
		if done != nil && done.Cursor != "" {
			return fmt.Errorf("%w\nto continue, give --after %s and the same file", err, done.Cursor)
		}
		return err
	}
	fmt.Fprintf(k.stderr, "exported %d tasks with %d nodes and %d history entries\n", done.Tasks, done.Nodes, done.Events)
	return nil
}

func (k *keeper) importCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "import [FILE]",
		Short: "Read what export wrote into a store",
		Long: `import reads what export wrote, from FILE or from the standard input, into a store that no master leads. Tasks that are there
already are compared and left as they are, so it can be repeated at any time, such as after it was interrupted. Unfinished tasks go on
where they were, as soon as a master leads the store. It ends with 1 where tasks differ.`,
		Example: `  clic-master import --store redis://redis:6379/0 tasks.jsonl
  clic-master import --check tasks.jsonl`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return k.run(func(ctx context.Context, cfg master.Config) error {
				in := cmd.InOrStdin()
				if len(args) == 1 {
					f, err := os.Open(args[0])
					if err != nil {
						return fmt.Errorf("cannot read the archive: %w", err)
					}
					defer f.Close()
					in = f
				}
				return k.load(ctx, cfg, in, check)
			})
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only look whether the archive is whole; nothing is written")
	return cmd
}

func (k *keeper) load(ctx context.Context, cfg master.Config, in io.Reader, check bool) error {
	var last *archive.Imported
	show := every(func() { fmt.Fprintf(k.stderr, "%d tasks written, %d were there\n", last.Tasks, last.Identical) })
	done, err := master.Import(ctx, cfg, bufio.NewReaderSize(in, 1<<20), archive.ImportOptions{
		Check: check, Progress: func(i *archive.Imported) { last = i; show() },
	})
	if done != nil {
		fmt.Fprintf(k.stderr, "imported %d tasks with %d nodes and %d history entries; %d were there already, %d of them without the end of their history\n",
			done.Tasks, done.Nodes, done.Events, done.Identical+done.Completed, done.Completed)
		if done.Cut > 0 {
			fmt.Fprintf(k.stderr, "%d tasks are in the archive in part only, and were left out\n", done.Cut)
		}
		for _, d := range done.Different {
			fmt.Fprintln(k.stderr, d)
		}
		if len(done.Different) > 0 && err == nil {
			err = fmt.Errorf("%d tasks are other ones in the store, and were left as they are there", len(done.Different))
		}
	}
	return err
}

func (k *keeper) migrateCommand() *cobra.Command {
	var (
		from string
		o    archive.MigrateOptions
	)
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Take over the finished tasks of the old Java master",
		Long: `migrate reads what the old Java master kept in Redis (JSON under clic:task:* and clic:stage:*) and makes its finished tasks tasks of
this store, so that they are listed and shown as before. Unfinished ones are reported and left alone. The old keys stay unless --delete is
given. No master may lead the store; repeating it does no harm.`,
		Example: `  clic-master migrate --store redis://:secret@redis:6379/0 --dry-run
  clic-master migrate --data-dir /srv/clic --from redis://:secret@old-redis:6379/0`,
		Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return k.run(func(ctx context.Context, cfg master.Config) error {
				o.Now, o.TaskPrefix, o.StagePrefix, o.Retain, o.Zone = time.Now(), cfg.Redis.TaskPrefix, cfg.Redis.StagePrefix, cfg.Retain, time.Local
				if cfg.TimeZone != "" {
					zone, err := time.LoadLocation(cfg.TimeZone)
					if err != nil {
						return configError{err}
					}
					o.Zone = zone
				}
				return k.migrate(ctx, cfg, from, o)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "the Redis of the old master, as `URL` (default: that of --store)")
	f.BoolVar(&o.DryRun, "dry-run", false, "only say what would be done")
	f.BoolVar(&o.Delete, "delete", false, "delete the old keys of what was taken over")
	return cmd
}

func (k *keeper) migrate(ctx context.Context, cfg master.Config, from string, o archive.MigrateOptions) error {
	done, err := master.Migrate(ctx, cfg, from, o)
	if done != nil {
		what := "took over"
		if o.DryRun {
			what = "would take over"
		}
		fmt.Fprintf(k.stdout, "%s %d tasks with %d stages; %d were there already; %d stages have no task any more; %d old keys deleted\n",
			what, done.Tasks, done.Stages, done.Already, done.Orphans, done.Deleted)
		for _, task := range done.Unfinished {
			fmt.Fprintln(k.stdout, "not finished, left alone:", task)
		}
		for _, key := range done.Unreadable {
			fmt.Fprintln(k.stdout, "cannot be read, left alone:", key)
		}
	}
	return err
}

func (k *keeper) indexCommand() *cobra.Command {
	index := &cobra.Command{
		Use:   "index",
		Short: "Look after the indexes of a store in Redis",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	index.AddCommand(&cobra.Command{
		Use:   "rebuild",
		Short: "Make the indexes anew from the tasks",
		Long: `rebuild goes through all keys of the Redis, adds what the lists of tasks miss, and takes out what they have too many. They are right
by themselves; it is for when somebody has deleted keys by hand, or restored a part of a backup. No master may lead the store.`,
		Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return k.run(func(ctx context.Context, cfg master.Config) error {
				var n int
				show := every(func() { fmt.Fprintf(k.stderr, "%d tasks\n", n) })
				r, err := master.RebuildIndex(ctx, cfg, func(done int) { n = done; show() })
				if err != nil {
					return err
				}
				fmt.Fprintf(k.stdout, "%d tasks; %d entries were missing, %d were too many\n", r.Tasks, r.Added, r.Removed)
				for _, name := range r.Damaged {
					fmt.Fprintln(k.stdout, "cannot be read:", name)
				}
				return nil
			})
		},
	})
	return index
}
