package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
)

// redisServer is a real server of this measurement's own, with an append-only file that is synced every second.
type redisServer struct {
	address string
	cmd     *exec.Cmd
}

func (s *redisServer) url() string { return "redis://" + s.address + "/0" }

// withRedis gives use a server that is stopped afterwards.
func (b *bench) withRedis(use func(*redisServer) error) (err error) {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(b.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &redisServer{address: l.Addr().String()}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		return err
	}
	s.cmd = exec.CommandContext(b.ctx, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "everysec")
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start redis-server: %w (scripts/setup.sh installs it)", err)
	}
	ended := make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(ended)
		once := sync.OnceFunc(func() { close(ready) })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "Ready to accept connections") {
				once()
			}
		}
	}()
	defer func() {
		_ = s.cmd.Process.Kill() // what it has is thrown away
		<-ended
		_ = s.cmd.Wait()
	}()
	select {
	case <-ready:
		return use(s)
	case <-ended:
		return errors.New("redis-server ended instead of starting")
	}
}

// withRedisEngine gives use an engine on a Redis of its own.
func (b *bench) withRedisEngine(x executors.Executor, use func(*engine.Engine, *redisServer, *redis.Store) error) error {
	return b.withRedis(func(s *redisServer) (err error) {
		r, err := redis.Open(b.ctx, redis.Options{URL: s.url()})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		return b.withEngineOn(r, x, func(e *engine.Engine) error { return use(e, s, r) })
	})
}

// redisEvents measures what events does, on Redis, and what the same server takes from redis-benchmark.
func redisEvents(b *bench) error {
	const tasks, reporters = 8, 2048
	width := b.pick(2500, 500)
	n := 3 * tasks * width
	var took []time.Duration
	var bare []float64
	var perCommit float64
	for range b.pick(3, 1) {
		err := b.withRedisEngine(&instant{never: true}, func(e *engine.Engine, s *redisServer, _ *redis.Store) error {
			ids, err := b.running(e, tasks, width)
			if err != nil {
				return err
			}
			before := e.Stats()
			began := time.Now()
			if err := b.report(e, ids, reporters); err != nil {
				return err
			}
			took = append(took, time.Since(began))
			perCommit = float64(n) / float64(e.Stats().Commits-before.Commits)
			rate, err := s.hset(b.ctx, b.pick(400_000, 40_000))
			bare = append(bare, rate)
			return err
		})
		if err != nil {
			return err
		}
	}
	b.tell("redis/events", rates(n, took), "events/s", "",
		fmt.Sprintf("reports of %d stages in %d tasks by %d callers, each in Redis (AOF everysec) before its answer; %.0f events per commit",
			tasks*width, tasks, reporters, perCommit))
	b.tell("redis/hset", median(bare), "HSET/s", "", "redis-benchmark -t hset -P 16 -c 16 on the same server, in turn")
	b.tell("redis/events-ratio", rates(n, took)/median(bare), "of HSET", "", "events per HSET; an event writes a stage's hash, a history entry and its share of the task's hash")
	return nil
}

// perSecond finds the rate in redis-benchmark's quiet output.
var perSecond = regexp.MustCompile(`([0-9.]+) requests per second`)

// hset is what redis-benchmark makes of the server.
func (s *redisServer) hset(ctx context.Context, n int) (float64, error) {
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, "redis-benchmark", "-p", port, "-q", "-n", strconv.Itoa(n), "-P", "16", "-c", "16",
		"-r", "100000", "-d", "200", "-t", "hset").Output()
	if err != nil {
		return 0, fmt.Errorf("cannot run redis-benchmark: %w", err)
	}
	all := perSecond.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return 0, fmt.Errorf("redis-benchmark says %q", out)
	}
	return strconv.ParseFloat(string(all[len(all)-1][1]), 64)
}

// memory is what the server's data takes.
func (s *redisServer) memory(ctx context.Context) (float64, error) {
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, "redis-cli", "-p", port, "INFO", "memory").Output()
	if err != nil {
		return 0, fmt.Errorf("cannot run redis-cli: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, errors.New("INFO memory does not say used_memory")
}

// redisLarge measures a plan of 100,000 stages on Redis: its life, its size, and how long a master takes to take it over.
func redisLarge(b *bench) error {
	n := b.pick(100_000, 10_000)
	x := &instant{gate: make(chan struct{}), pauseAt: int64(n) + 1}
	return b.withRedisEngine(x, func(e *engine.Engine, s *redisServer, r *redis.Store) error {
		yaml := []byte(clicPlan(n, n/100))
		before, err := s.memory(b.ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		a, err := e.Submit(b.ctx, engine.Submission{YAML: yaml})
		if err != nil {
			return err
		}
		submit := time.Since(began)
		submitted, err := s.memory(b.ctx)
		if err != nil {
			return err
		}
		stats, commands := e.Stats(), r.Health().Commands
		began = time.Now()
		close(x.gate)
		if err := b.untilDone(e, a.Task); err != nil {
			return err
		}
		ran := time.Since(began)
		count, commits := e.Stats().Events-stats.Events, e.Stats().Commits-stats.Commits
		after, err := s.memory(b.ctx)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d stages in %d chains, engine and Redis (AOF everysec), an executor that ends at once", n, n/100)
		b.tell("redis/large-submit", submit.Seconds(), "s", "", what+": parse, check, first commit")
		b.tell("redis/large-run", ran.Seconds(), "s", "", fmt.Sprintf("%s; %d events in %d commits, %d commands", what, count, commits, r.Health().Commands-commands))
		b.tell("redis/large-events", float64(count)/ran.Seconds(), "events/s", "", what+": one task, so one shard")
		b.tell("redis/stage-submitted", (submitted-before)/float64(n), "B/stage", "", what+": used_memory after the submission")
		b.tell("redis/stage-ended", (after-before)/float64(n), "B/stage", "", what+": used_memory after its end, with its history")
		return nil
	})
}

// redisRecovery measures how long a master takes until it goes on with 100,000 active stages.
func redisRecovery(b *bench) error {
	n := b.pick(100_000, 10_000)
	const tasks = 10
	var took []time.Duration
	err := b.withRedis(func(s *redisServer) (err error) {
		r, err := redis.Open(b.ctx, redis.Options{URL: s.url()})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		err = b.withEngineOn(r, &instant{never: true}, func(e *engine.Engine) error {
			_, err := b.running(e, tasks, n/tasks)
			return err
		})
		for range b.pick(3, 1) {
			if err != nil {
				return err
			}
			began := time.Now()
			err = b.withEngineOn(r, &instant{never: true}, func(e *engine.Engine) error {
				took = append(took, time.Since(began))
				if i := e.Info(b.ctx); i.ActiveStages != n {
					return fmt.Errorf("%d stages were recovered of %d", i.ActiveStages, n)
				}
				return nil
			})
		}
		return err
	})
	if err != nil {
		return err
	}
	b.tell("redis/recovery", median(took).Seconds(), "s", "under 5",
		fmt.Sprintf("%d launched stages in %d tasks: from a new engine's start until it serves", n, tasks))
	return nil
}

// redisList measures a page of 50 of 100,000 tasks.
func redisList(b *bench) error {
	n := b.pick(100_000, 5_000)
	return b.withRedis(func(s *redisServer) (err error) {
		r, err := redis.Open(b.ctx, redis.Options{URL: s.url()})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		if err := b.fill(r, n); err != nil {
			return err
		}
		for _, c := range []struct {
			name string
			q    store.Query
		}{
			{"newest", store.Query{}},
			{"of a plan", store.Query{Plan: "plan3"}},
			{"running (1 in 1000)", store.Query{Statuses: []dag.TaskStatus{dag.TaskRunning}}},
			{"of a plan, label and status", store.Query{
				Plan: "plan3", Labels: map[string]string{"team": "4"}, Statuses: []dag.TaskStatus{dag.TaskCompleted, dag.TaskFailed},
			}},
		} {
			var took []time.Duration
			before := r.Health().Commands
			const rounds = 21
			for range rounds {
				began := time.Now()
				page, err := r.List(b.ctx, c.q)
				if err != nil {
					return err
				}
				took = append(took, time.Since(began))
				if want := 50; len(page.Headers) != want && !b.quick {
					return fmt.Errorf("a page of %d, want %d", len(page.Headers), want)
				}
			}
			commands := float64(r.Health().Commands-before) / rounds
			b.tell("redis/list", float64(median(took).Microseconds())/1000, "ms", "under 20",
				fmt.Sprintf("50 of %d tasks, %s; %.0f commands", n, c.name, commands))
		}
		return nil
	})
}

// fill writes tasks of one stage each.
func (b *bench) fill(s store.Store, n int) error {
	epoch, err := s.Lead(b.ctx, "bench")
	if err != nil {
		return err
	}
	const piece = 1000
	for from := 0; from < n; from += piece {
		var batch []store.Change
		for i := from; i < from+piece; i++ {
			name := fmt.Sprintf("plan%d-%s", i%20, letters(i))
			h := &store.Header{
				Task: name, Plan: fmt.Sprintf("plan%d", i%20), Status: dag.TaskCompleted, Submitted: dag.Time(1_700_000_000_000 + i),
				Ended: dag.Time(1_700_000_000_000 + i), Labels: map[string]string{"team": fmt.Sprint(i % 7)}, Body: make([]byte, 600),
			}
			if i%1000 == 0 {
				h.Status, h.Ended = dag.TaskRunning, 0
			}
			batch = append(batch, store.Change{
				Create: true, Task: name, Header: h, Source: []byte("plan"),
				Nodes: []store.NodeRecord{{Index: 0, Stage: name + "-a-1", Spec: make([]byte, 250), State: make([]byte, 40)}},
			})
		}
		if err := s.Commit(b.ctx, epoch, batch); err != nil {
			return err
		}
	}
	return nil
}

// letters is the i-th suffix of eight letters.
func letters(i int) string {
	suffix := []byte("aaaaaaaa")
	for p := len(suffix) - 1; i > 0; p, i = p-1, i/26 {
		suffix[p] = 'a' + byte(i%26)
	}
	return string(suffix)
}
