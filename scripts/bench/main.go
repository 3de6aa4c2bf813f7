// Command bench measures the project and prints one line per figure, with what was measured under which conditions, and the aim
// where there is one.
//
//	go run ./scripts/bench [-only REGEXP] [-quick] [-dir DIRECTORY] [-profile FILE] [-cluster|-spark|-hdfs] [-list]
//
// Figures that need a Kubernetes cluster are taken with -cluster, and only those: the program then has to run where the cluster that
// KUBECONFIG names can be reached (scripts/cluster.sh exec). The same goes for -spark, for which the cluster has to have the Spark image
// and SPARK_HOME has to name a Spark (scripts/spark.sh load and env), and for -hdfs with the HDFS of HADOOP_CONF_DIR (scripts/hdfs.sh
// exec).
//
// Figures that depend on a disk are taken in a fresh directory below -dir (the directory for temporary files, unless told). What is
// compared runs in turn, and of several rounds the median counts. The program measures and judges nothing: a machine that does
// other things meanwhile gives other figures, which is why the load is printed with them. Exit status 1: something could not be
// measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/clic-orchestrator/clic/executors/local"
)

func main() {
	// The local executor starts this program again.
	if local.RunShimIfAsked() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// bench is what a measurement gets.
type bench struct {
	ctx   context.Context //nolint:containedctx // the life of the program
	out   io.Writer
	dir   string
	quick bool
}

// need is what a rig needs beside this machine.
type need int

const (
	nothing        need = iota
	aCluster            // of Kubernetes, with simulated nodes
	sparkInCluster      // a cluster with the Spark image in it, and a Spark here
	anHDFS
)

func (n need) String() string {
	return [...]string{"nothing", "a Kubernetes cluster", "Spark and a Kubernetes cluster with its image", "an HDFS"}[n]
}

// measurement is one rig, which prints some figures.
type measurement struct {
	name  string
	run   func(*bench) error
	needs need
}

// measurements are all that there is, in the order in which they are made. Those that make many small files come first: on some
// file systems that becomes slow after many were deleted, as the others do.
var measurements = []measurement{
	{name: "chain", run: chain},
	{name: "fanout", run: fanOut},
	{name: "step", run: steps},
	{name: "plan", run: parsePlan},
	{name: "events", run: events},
	{name: "large", run: largePlan},
	{name: "redis-events", run: redisEvents},
	{name: "redis-callbacks", run: redisCallbacks},
	{name: "redis-join", run: redisJoin},
	{name: "redis-large", run: redisLarge},
	{name: "redis-list", run: redisList},
	{name: "redis-recovery", run: redisRecovery},
	{name: "thrift", run: thriftCalls},
	{name: "version", run: startUp},
	{name: "kube-real", run: kubeReal, needs: aCluster},
	{name: "kube-steps", run: kubeSteps, needs: aCluster},
	{name: "kube-tasks", run: kubeTasks, needs: aCluster},
	{name: "kube-dag", run: kubeDAG, needs: aCluster},
	{name: "spark-launch", run: sparkLaunch, needs: sparkInCluster},
	{name: "spark-at-once", run: sparkAtOnce, needs: sparkInCluster},
	{name: "hdfs-head", run: hdfsHead, needs: anHDFS},
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "measure only what matches this `REGEXP`: chain, fanout, step, plan, events, large, redis-…, thrift, version, kube-…, spark-…, hdfs-…")
	needs := nothing
	for name, n := range map[string]need{"cluster": aCluster, "spark": sparkInCluster, "hdfs": anHDFS} {
		flags.BoolFunc(name, fmt.Sprintf("measure what needs %s, instead of what needs nothing", n), func(string) error {
			needs = n
			return nil
		})
	}
	list := flags.Bool("list", false, "only say what would be measured")
	profile := flags.String("profile", "", "write a CPU profile of this program to `FILE`")
	quick := flags.Bool("quick", false, "smaller sizes and fewer rounds: to see that it works, not to tell figures")
	parent := flags.String("dir", os.TempDir(), "`DIRECTORY` on the disk to measure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	these := slices.DeleteFunc(slices.Clone(measurements), func(m measurement) bool {
		return m.needs != needs || !chosen.MatchString(m.name)
	})
	if *list {
		for _, m := range these {
			fmt.Fprintln(stdout, m.name)
		}
		return nil
	}
	dir, err := os.MkdirTemp(*parent, "clic-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{ctx: ctx, out: stdout, dir: dir, quick: *quick}
	if err := b.conditions(); err != nil {
		return err
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return b.measure(these, stderr)
}

// measure takes the figures. Where some cannot be taken, the others still are.
func (b *bench) measure(these []measurement, stderr io.Writer) error {
	var errs []error
	for _, m := range these {
		if err := m.run(b); err != nil {
			errs = append(errs, fmt.Errorf("cannot measure %s: %w", m.name, err))
			fmt.Fprintf(stderr, "bench: %v\n", errs[len(errs)-1])
		}
		if err := b.ctx.Err(); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// tell prints a figure. aim is "" where there is none; under says what exactly was measured.
func (b *bench) tell(name string, value float64, unit, aim, under string) {
	text := fmt.Sprintf("%.0f", value)
	switch {
	case value < 10:
		text = fmt.Sprintf("%.3f", value)
	case value < 1000:
		text = fmt.Sprintf("%.1f", value)
	}
	if aim == "" {
		aim = "-"
	}
	fmt.Fprintf(b.out, "%-34s %10s %-14s aim %-18s %s\n", name, text, unit, aim, under)
}

// pick gives the full size, or the small one where it has to be quick.
func (b *bench) pick(full, small int) int {
	if b.quick {
		return small
	}
	return full
}

// fresh makes a directory for one rig.
func (b *bench) fresh() (string, error) { return os.MkdirTemp(b.dir, "") }

func median[T int64 | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// rates gives the median of how often per second something happened that took so long for n.
func rates(n int, took []time.Duration) float64 { return float64(n) / median(took).Seconds() }
