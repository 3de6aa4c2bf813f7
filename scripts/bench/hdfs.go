package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/colinmarc/hdfs/v2"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfs"
)

// line is each line of what is read.
var line = strings.Repeat("x", 63) + "\n"

// hadoopConf names the directory of Hadoop's configuration.
const hadoopConf = "HADOOP_CONF_DIR"

// headLines is how many lines of a result are asked for.
const headLines = 10

// hdfsDir is a directory of this program's own in an HDFS.
type hdfsDir struct {
	config hadoop.Config
	fsys   dfs.FS
	dir    string
}

// withHDFS gives use a directory in the HDFS of HADOOP_CONF_DIR, and removes it afterwards.
func (b *bench) withHDFS(use func(*hdfsDir) error) (err error) {
	conf := os.Getenv(hadoopConf)
	if conf == "" {
		return errors.New(hadoopConf + " does not say in which HDFS: scripts/bench.sh brings one up")
	}
	properties, err := hadoop.Load(conf)
	if err != nil {
		return err
	}
	config, err := properties.Config("")
	if err != nil {
		return err
	}
	config.Replication = 1 // nothing is to be lost here
	fsys, err := hdfs.New(config)
	if err != nil {
		return err
	}
	h := &hdfsDir{config: config.WithDefaults(), fsys: fsys, dir: "/clic-bench-" + strings.ToLower(rand.Text()[:8])}
	defer func() {
		err = errors.Join(err, fsys.Remove(context.WithoutCancel(b.ctx), h.dir, true), fsys.Close())
	}()
	if err := fsys.MkdirAll(b.ctx, h.dir); err != nil {
		return err
	}
	return use(h)
}

// uri is how plans and Hadoop's programs name a path in the directory.
func (h *hdfsDir) uri(name string) string { return "hdfs://" + h.dir + "/" + name }

// write makes a file of so many bytes, of lines of 64.
func (h *hdfsDir) write(ctx context.Context, name string, size int) error {
	w, err := h.fsys.Create(ctx, h.dir+"/"+name)
	if err != nil {
		return err
	}
	lines := []byte(strings.Repeat(line, 16<<10))
	for left := size; left > 0; left -= len(lines) {
		if _, err := w.Write(lines[:min(left, len(lines))]); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	return w.Close()
}

// writers is how many part files are written at once.
const writers = 8

// writeParts makes a directory as Spark leaves it, of so many part files of 20 lines. It does without the care that our own file system
// takes of each file, which is several calls of the namenode.
func (h *hdfsDir) writeParts(ctx context.Context, name string, parts int) error {
	if err := h.write(ctx, name+"/_SUCCESS", 0); err != nil {
		return err
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			client, err := lib.NewClient(lib.ClientOptions{Addresses: h.config.Namenodes, User: h.config.User})
			if err != nil {
				failed.Store(&err)
				return
			}
			defer func() { _ = client.Close() }()
			for n := next.Add(1) - 1; n < int64(parts) && failed.Load() == nil && ctx.Err() == nil; n = next.Add(1) - 1 {
				if err := writePart(client, fmt.Sprintf("%s/%s/part-%05d", h.dir, name, n)); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return ctx.Err()
}

func writePart(client *lib.Client, name string) error {
	w, err := client.CreateFile(name, 1, 1<<20, 0o644)
	if err != nil {
		return err
	}
	_, err = w.Write([]byte(strings.Repeat(line, 20)))
	closed := w.Close()
	for lib.IsErrReplicating(closed) {
		closed = w.Close()
	}
	return errors.Join(err, closed)
}

// heads are what it took to read the first lines of one result.
type heads struct {
	path          string // that Hadoop's program is given
	stage         string // whose result it is
	first         float64
	ours, hadoop  []float64 // ms until the lines were there
	ends          []float64 // s until Hadoop's program ended
	cpu           []float64 // its, in s
	idle, peak    float64   // resident memory of the master in bytes
	hadoopsMemory float64   // the most of Hadoop's program
	oursCPU       float64   // ms of each call
}

// hdfsHead measures how long the first lines of results in HDFS take, beside Hadoop's own program.
func hdfsHead(b *bench) error {
	size, parts := b.pick(1<<30, 64<<20), b.pick(10_000, 300)
	return b.withHDFS(func(h *hdfsDir) error {
		began := time.Now()
		if err := errors.Join(h.write(b.ctx, "file", size), h.writeParts(b.ctx, "parts", parts)); err != nil {
			return fmt.Errorf("cannot write what is to be read: %w", err)
		}
		took := time.Since(began)
		file := &heads{path: h.uri("file")}
		dir := &heads{path: h.uri("parts/part-*")}
		if err := b.onResults(h, file, dir); err != nil {
			return err
		}
		b.tellHeads("hdfs/file", fmt.Sprintf("a text file of %d MiB", size>>20), "", file)
		b.tellHeads("hdfs/parts", fmt.Sprintf("a directory of %d part files", parts), "under 1000", dir)
		b.tell("hdfs/written", took.Seconds(), "s", "", fmt.Sprintf("for the %d MiB and then, %d at a time, the %d part files, one replica each", size>>20, writers, parts))
		return nil
	})
}

// onResults starts a master with a stage for each of the results, and measures those in turn with Hadoop's program.
func (b *bench) onResults(h *hdfsDir, file, dir *heads) (err error) {
	p, err := b.startMasterWith(map[string]any{
		"result-dirs": []string{h.uri("")}, "hdfs": map[string]any{"conf-dir": os.Getenv(hadoopConf)},
	})
	if err != nil {
		return err
	}
	defer func() {
		if stopped := p.stop(); err != nil || stopped != nil {
			err = fmt.Errorf("%w\n%s", errors.Join(err, stopped), p.errors())
		}
	}()
	answer, err := p.client.Submit(b.ctx, &thriftmaster.Submission{Plan: fmt.Sprintf(resultsPlan, h.uri("file"), h.uri("parts"))})
	if err != nil {
		return err
	}
	if err := b.completed(p, answer.TaskName); err != nil {
		return err
	}
	page, err := p.client.ListStages(b.ctx, &thriftmaster.StageQuery{TaskName: answer.TaskName})
	if err != nil {
		return err
	}
	for _, s := range page.Stages {
		map[string]*heads{"file": file, "parts": dir}[s.Name].stage = s.StageId
	}
	for _, x := range []*heads{file, dir} {
		if err := b.takeHeads(p, x); err != nil {
			return err
		}
	}
	return nil
}

// resultsPlan has two stages whose results are at URIs.
const resultsPlan = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: bench-}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: file, template: file}
      - {name: parts, template: parts}
  - name: file
    metadata: {annotations: {clic.io/output: "%s"}}
    container: {image: none, command: ["true"]}
  - name: parts
    metadata: {annotations: {clic.io/output: "%s"}}
    container: {image: none, command: ["true"]}
`

// completed follows a task of a master to its end, and expects it to end well.
func (b *bench) completed(p *masterProcess, task string) error {
	var cursor int64
	for {
		page, err := p.client.Watch(b.ctx, task, cursor, 1000, 10_000)
		if err != nil {
			return err
		}
		if page.Done {
			if page.State != thriftmaster.TaskState_COMPLETED {
				return fmt.Errorf("task %s is %s", task, page.State)
			}
			return nil
		}
		cursor = page.Cursor
	}
}

// takeHeads asks the master and Hadoop's program for the first lines of a result, in turn.
func (b *bench) takeHeads(p *masterProcess, x *heads) error {
	const each = 5 // calls of the master for one of Hadoop's program
	var err error
	if x.idle, _, err = p.resident(); err != nil {
		return err
	}
	if err := p.forgetPeak(); err != nil {
		return err
	}
	if x.first, err = b.preview(p, x.stage); err != nil {
		return err
	}
	before, err := p.cpuSoFar()
	if err != nil {
		return err
	}
	rounds := b.pick(5, 1)
	for round := range rounds {
		for range each {
			took, err := b.preview(p, x.stage)
			if err != nil {
				return err
			}
			x.ours = append(x.ours, took)
		}
		// To its end only once: it opens every file, whoever listens.
		if err := b.hadoopHead(x, round == 0); err != nil {
			return err
		}
	}
	after, err := p.cpuSoFar()
	if err != nil {
		return err
	}
	x.oursCPU = ms(after-before) / float64(rounds*each)
	_, x.peak, err = p.resident()
	return err
}

// preview asks for the first lines of a stage's result, as -stage_result does, and gives the milliseconds that took.
func (b *bench) preview(p *masterProcess, stage string) (float64, error) {
	began := time.Now()
	answer, err := p.client.PreviewResult(b.ctx, stage, headLines)
	if err != nil {
		return 0, err
	}
	if len(answer.Lines) != headLines || !answer.More {
		return 0, fmt.Errorf("the result has %d lines, more: %t", len(answer.Lines), answer.More)
	}
	return ms(time.Since(began)), nil
}

// tellHeads prints what came of it.
func (b *bench) tellHeads(name, what, aim string, x *heads) {
	const mib = 1 << 20
	b.tell(name, median(x.ours), "ms", aim, fmt.Sprintf("the first %d lines of %s from a whole clic-master, as -stage_result asks for them; median of %d", headLines, what, len(x.ours)))
	b.tell(name+"-first", x.first, "ms", aim, "the same, the first time that the master is asked")
	b.tell(name+"-hadoop", median(x.hadoop), "ms", "", fmt.Sprintf("`hdfs dfs -cat | head -%d` of the same until the lines were printed; median of %d, in turn with it", headLines, len(x.hadoop)))
	b.tell(name+"-hadoop-end", median(x.ends), "s", "", fmt.Sprintf("the same until the command was over, which goes on to the last file although nobody listens; of %d", len(x.ends)))
	b.tell(name+"-ratio", median(x.hadoop)/median(x.ours), "times faster", "", "Hadoop's time until the lines by ours")
	b.tell(name+"-memory", (x.peak-x.idle)/mib, "MiB", "under 32",
		fmt.Sprintf("the master's resident memory at its peak (%.0f MiB) less that before the first call (%.0f)", x.peak/mib, x.idle/mib))
	b.tell(name+"-memory-hadoop", x.hadoopsMemory/mib, "MiB", "", "the peak of Hadoop's program, whose heap may be 256 MiB")
	b.tell(name+"-cpu", x.oursCPU, "CPU ms", "", "user and system time of the master for each call, the first not among them")
	b.tell(name+"-cpu-hadoop", median(x.cpu)*1000, "CPU ms", "", "those of Hadoop's program that ran to its end")
}
