package chaos

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store/redis/redistest"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// Two masters lead at once in these tests. The lease is long, so that a leader trusts itself for all of the test, and is taken
// from it without its knowledge, while it is stopped. It wakes up, believes that it leads, and goes on. Nothing but the epoch
// keeps it from that.

// TestStaleLaunches stops a leader that has decided to launch stages, and has not heard from Redis yet that this is saved. When
// it wakes up it hears that, and launches them, which somebody else has done meanwhile.
func TestStaleLaunches(t *testing.T) {
	d := newDuel(t)
	decided := d.hold()
	d.old.pause()
	d.usurp()
	if !d.journal.wait(patience, func() bool { return len(d.unstarted(decided)) == 0 }) {
		t.Fatalf("the next leader does not launch %v", d.unstarted(decided))
	}
	// What Redis has answered comes; what it sends stays where it is.
	d.old.proxy.Hold(redistest.Requests)
	d.old.proxy.Release(redistest.Answers)
	d.old.resume()
	const refusal = "decided in an epoch that is over"
	d.until(func() bool { return len(d.complaints(refusal)) > 0 }, "the old leader tries to launch nothing")
	d.awaitEnd()
	before := d.dump()
	d.old.proxy.Release(redistest.Requests)
	d.awaitFollower()
	d.unchanged(before)
	attempts := d.judge()
	t.Logf("two leaders, epochs %d and %d: of %d launches that the old one had decided, %d were tried and refused before it knew; attempts %d, started twice 0",
		d.epoch, d.newer, len(decided), len(d.complaints(refusal)), attempts)
	d.end()
}

// TestStaleWrites stops a leader whose writes are on their way, and lets it go on for a while, so that there are more of them.
// They reach Redis when somebody else has led the task to its end.
func TestStaleWrites(t *testing.T) {
	d := newDuel(t)
	d.journal.await(20, patience)
	d.old.proxy.Hold(redistest.Requests)
	d.until(func() bool { return d.old.proxy.Stats().Waiting[redistest.Requests] > 0 }, "the leader writes nothing")
	d.old.pause()
	d.usurp()
	d.journal.await(3, patience)
	d.old.resume()
	d.both()
	answer := d.ask()
	d.awaitEnd()
	before, sent := d.dump(), d.written()
	d.old.proxy.Release(redistest.Requests)
	d.awaitFollower()
	if _, odd := verdictOf(<-answer); odd != nil { // whoever leads now may take it or not
		t.Error(odd)
	}
	d.unchanged(before)
	late := d.written() - sent
	if late == 0 {
		t.Error("the old leader has not tried to write")
	}
	attempts := d.judge()
	t.Logf("two leaders, epochs %d and %d: the old one tried to write %d times, and was refused; attempts %d, started twice 0", d.epoch, d.newer, late, attempts)
	d.end()
}

// duel is two masters that lead.
type duel struct {
	*realm
	old, next *lord
	plan      plan
	task      string
	// epoch is that of the old leader, newer that of the next one.
	epoch, newer int64

	mu       sync.Mutex
	commands []string // that Redis was sent
}

func newDuel(t *testing.T) *duel {
	t.Helper()
	r := newRealm(t, 2, "lease: 1m")
	d := &duel{realm: r, plan: makeNaps(300, r.dir)}
	d.old, d.epoch = r.awaitLeader(0)
	d.next = r.others(d.old)[0]
	a, err := r.front.Submit(t.Context(), &thriftmaster.Submission{Plan: d.plan.yaml})
	if err != nil {
		t.Fatal(err)
	}
	d.task = a.TaskName
	d.watchRedis()
	return d
}

// hold holds back what Redis answers to the leader, at a moment when it has decided to launch stages and does not know yet that
// this is saved. It gives these stages.
func (d *duel) hold() []string {
	d.Helper()
	d.journal.await(20, patience)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		d.old.proxy.Hold(redistest.Answers)
		var decided []string
		d.journal.wait(100*time.Millisecond, func() bool {
			decided = d.unstarted(d.launching())
			return len(decided) > 0 && d.old.proxy.Stats().Waiting[redistest.Answers] > 0
		})
		// A launch that was on its way is there soon, if it was.
		if len(decided) > 0 && !d.journal.wait(100*time.Millisecond, func() bool { return len(d.unstarted(decided)) == 0 }) {
			return d.unstarted(decided)
		}
		d.old.proxy.Release(redistest.Answers)
		d.journal.await(3, patience)
	}
	d.Fatal("the leader does not decide to launch anything while it waits for Redis")
	return nil
}

// launching are the stages that are decided to be launched, as Redis has them.
func (d *duel) launching() (stages []string) {
	d.Helper()
	all, err := d.redis.Admin().Pipelined(d.Context(), func(pipe redis.Pipeliner) error {
		for i := range 2 * d.plan.stages {
			pipe.HMGet(d.Context(), fmt.Sprintf("clic:stage:{%s}:%d", d.task, i), "id", "status")
		}
		return nil
	})
	if err != nil {
		d.Fatal(err)
	}
	for _, c := range all {
		if v := c.(*redis.SliceCmd).Val(); v[0] != nil && v[1] == "LAUNCHING" {
			stages = append(stages, v[0].(string))
		}
	}
	return stages
}

// unstarted are those of the stages that have not begun their first attempt.
func (d *duel) unstarted(stages []string) []string {
	return slices.DeleteFunc(slices.Clone(stages), func(id string) bool { return d.journal.started(id) > 0 })
}

// usurp takes the lease from the leader, as if it had run out, and waits until the other one leads.
func (d *duel) usurp() {
	d.Helper()
	for _, do := range []redis.Cmder{
		d.redis.Admin().Del(d.Context(), "clic:{shared}:lease"),
		d.redis.Admin().Publish(d.Context(), "clic:{shared}:turns", "somebody"),
	} {
		if do.Err() != nil {
			d.Fatal(do.Err())
		}
	}
	_, d.newer = d.awaitLeader(d.epoch)
}

// both expects that both say that they lead.
func (d *duel) both() {
	d.Helper()
	for m, want := range map[*lord]int64{d.old: d.epoch, d.next: d.newer} {
		info, err := m.client.GetMasterInfo(d.Context())
		if err != nil {
			d.Fatal(err)
		}
		if info.Role != "leader" || info.Epoch != want {
			d.Errorf("%s is a %s in epoch %d, and not a leader in epoch %d", m.name, info.Role, info.Epoch, want)
		}
	}
}

// ask asks the old leader itself to suspend the last stage, and waits until it has tried to save that. What it answers comes
// later.
func (d *duel) ask() <-chan error {
	d.Helper()
	waiting := d.old.proxy.Stats().Waiting[redistest.Requests]
	answer := make(chan error, 1)
	go func() {
		_, err := d.old.client.SuspendTask(d.Context(), d.task, thriftmaster.HoldMode_HOLD, "", 0, "somebody")
		answer <- err
	}()
	d.until(func() bool { return d.old.proxy.Stats().Waiting[redistest.Requests] > waiting }, "the old leader tries to write nothing")
	return answer
}

// awaitEnd waits until the task has ended, by the new leader, with all of its programs.
func (d *duel) awaitEnd() {
	d.Helper()
	d.until(func() bool {
		v, err := d.next.client.GetTask(d.Context(), d.task)
		if err != nil {
			d.Fatal(err)
		}
		return terminal(v.State.String())
	}, "the task does not end")
	d.vanish(func() []string { return stages(d.processes()) })
}

// awaitFollower waits until the old leader knows better.
func (d *duel) awaitFollower() {
	d.Helper()
	d.until(func() bool {
		info, err := d.old.info(d.Context())
		return err == nil && info.Role == "follower" && info.Leader == d.next.address
	}, "the old leader does not follow the new one")
}

func (d *duel) until(met func() bool, otherwise string) {
	d.Helper()
	if !d.journal.wait(patience, met) {
		d.Fatal(otherwise)
	}
}

// dump is everything that Redis has of the task, byte for byte.
func (d *duel) dump() map[string]string {
	d.Helper()
	admin, all := d.redis.Admin(), map[string]string{}
	for it := admin.Scan(d.Context(), 0, "clic:*{"+d.task+"}*", 10_000).Iterator(); it.Next(d.Context()); {
		text, err := admin.Dump(d.Context(), it.Val()).Result()
		if err != nil {
			d.Fatal(err)
		}
		all[it.Val()] = text
	}
	if len(all) < d.plan.stages {
		d.Fatalf("Redis has only %d keys of the task: %v", len(all), slices.Sorted(maps.Keys(all)))
	}
	return all
}

// unchanged expects that Redis has still the same of the task.
func (d *duel) unchanged(before map[string]string) {
	d.Helper()
	if diff := cmp.Diff(before, d.dump()); diff != "" {
		d.Errorf("the old leader has written (-before +after):\n%s", diff)
	}
}

// watchRedis writes down what Redis is sent from now on.
func (d *duel) watchRedis() {
	d.Helper()
	conn, err := net.Dial("tcp", d.redis.Addr)
	if err != nil {
		d.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nMONITOR\r\n", redisPassword); err != nil {
		d.Fatal(err)
	}
	begun, ended := make(chan bool, 1), make(chan bool)
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			d.mu.Lock()
			d.commands = append(d.commands, lines.Text())
			if len(d.commands) == 2 { // it has said +OK twice
				begun <- true
			}
			d.mu.Unlock()
		}
	}()
	d.Cleanup(func() { _ = conn.Close(); <-ended })
	select {
	case <-begun:
	case <-time.After(patience):
		d.Fatal("Redis does not say what it is sent")
	}
}

// written is how many scripts that write to the task Redis was sent.
func (d *duel) written() (n int) {
	d.Helper()
	// Redis tells of one thing after the other: once it has told of this, it has told of all before.
	word := fmt.Sprint("so far ", time.Now().UnixNano())
	if err := d.redis.Admin().Echo(d.Context(), word).Err(); err != nil {
		d.Fatal(err)
	}
	d.until(func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		n = 0
		for _, line := range d.commands {
			if strings.Contains(line, word) {
				return true
			}
			if strings.Contains(strings.ToLower(line), `"evalsha`) && strings.Contains(line, `"clic:events:{`+d.task+"}") {
				n++
			}
		}
		return false
	}, "Redis does not tell what it is sent")
	return n
}

// judge compares the task with what its stages have written, and gives the number of attempts.
func (d *duel) judge() int {
	d.Helper()
	r, err := readRecord(context.WithoutCancel(d.Context()), d.next.client, d.task)
	if err != nil {
		d.Fatal(err)
	}
	t := newTrial(d.journal.marks())
	t.judge(&job{task: d.task, plan: d.plan}, r)
	for _, all := range [][]string{t.twice, t.lost, t.misordered, t.contradictions, d.journal.wrong()} {
		for _, line := range all {
			d.Error(line)
		}
	}
	return len(t.known)
}
