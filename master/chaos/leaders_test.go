package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store/redis/redistest"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// TestTwoLeaders lets two masters lead at once. The lease is long, so that a leader trusts itself for all of the test, and is
// taken from it without its knowledge, while it is stopped and while the answer of Redis to what it has just decided is on its
// way. It wakes up, believes that it leads, and goes on: it launches what it has decided, and writes what it is told. Nothing but
// the epoch keeps it from that.
func TestTwoLeaders(t *testing.T) {
	r := newRealm(t, 2, "lease: 20s")
	old, epoch := r.awaitLeader(0)
	d := &duel{realm: r, old: old, next: r.others(old)[0], plan: makePlan(100, 1, r.dir, stageProgram(t))}
	a, err := r.front.Submit(t.Context(), &thriftmaster.Submission{Plan: d.plan.yaml})
	if err != nil {
		t.Fatal(err)
	}
	d.task = a.TaskName
	d.watchRedis()
	decided := d.hold()

	old.pause()
	d.usurp()
	_, newer := r.awaitLeader(epoch)
	if !r.journal.wait(patience, func() bool { return len(d.unstarted(decided)) == 0 }) {
		t.Fatalf("the next leader does not launch %v", d.unstarted(decided))
	}

	// What it has not sent yet stays where it is for now; what Redis has answered comes.
	old.proxy.Hold(redistest.Requests)
	old.proxy.Release(redistest.Answers)
	old.resume()
	d.both(epoch, newer)
	refused := d.awaitRefusals()
	answer := d.ask(a)
	d.awaitEnd()
	before, sent := d.dump(), d.written()
	marks := len(r.journal.marks())

	old.proxy.Release(redistest.Requests)
	d.awaitFollower()
	<-answer
	late := d.written() - sent
	if diff := cmp.Diff(before, d.dump()); diff != "" {
		t.Errorf("the old leader has written (-before +after):\n%s", diff)
	}
	if more := len(r.journal.marks()) - marks; more > 0 {
		t.Errorf("%d things happened to attempts after the task had ended", more)
	}
	if late == 0 {
		t.Error("the old leader has not tried to write")
	}
	tried := d.judge()
	t.Logf("two leaders: epochs %d and %d at once; of the old one, %d launches were tried and refused, of %d stages; %d writes were tried and refused; attempts %d, started twice 0",
		epoch, newer, refused, len(decided), late, tried)
	r.end()
}

// duel is two masters that lead.
type duel struct {
	*realm
	old, next *lord
	plan      plan
	task      string

	mu       sync.Mutex
	commands []string // that Redis was sent
}

// hold holds back what Redis answers to the leader, at a moment when it has decided to launch stages and does not know yet that
// this is saved. It gives these stages.
func (d *duel) hold() []string {
	d.Helper()
	d.journal.await(20, patience)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		d.old.proxy.Hold(redistest.Answers)
		var decided []string
		d.journal.wait(200*time.Millisecond, func() bool {
			decided = d.unstarted(d.launching())
			return len(decided) > 0 && d.old.proxy.Stats().Waiting[redistest.Answers] > 0
		})
		// A launch that was on its way is there soon, if it was.
		if len(decided) > 0 && !d.journal.wait(100*time.Millisecond, func() bool { return len(d.unstarted(decided)) == 0 }) {
			return d.unstarted(decided)
		}
		d.old.proxy.Release(redistest.Answers)
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

// usurp takes the lease from the leader, as if it had run out, and lets the others know.
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
}

// both expects that both say that they lead.
func (d *duel) both(epoch, newer int64) {
	d.Helper()
	for m, want := range map[*lord]int64{d.old: epoch, d.next: newer} {
		if got, leads := m.leads(d.Context()); !leads || got != want {
			d.Errorf("%s leads: %t, in epoch %d, not %d", m.name, leads, got, want)
		}
	}
}

// awaitRefusals waits until the old leader was refused launches, and says how many.
func (d *duel) awaitRefusals() (refused int) {
	d.Helper()
	d.until(func() bool {
		refused = d.metric(d.old, "clic_engine_launch_failures_total")
		return refused > 0
	}, "the old leader tries to launch nothing")
	return refused
}

// ask asks the old leader itself to suspend the last stage, and waits until it has tried to save that. What it answers comes
// later.
func (d *duel) ask(a *thriftmaster.SubmitAnswer) <-chan error {
	d.Helper()
	waiting := d.old.proxy.Stats().Waiting[redistest.Requests]
	answer := make(chan error, 1)
	go func() {
		_, err := d.old.client.SuspendTask(d.Context(), a.TaskName, thriftmaster.HoldMode_HOLD, "", 0, "somebody")
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

// metric reads one of the numbers that a master shows.
func (d *duel) metric(m *lord, name string) int {
	d.Helper()
	resp, err := http.Get("http://" + m.http + "/metrics")
	if err != nil {
		d.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key == name {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				d.Fatalf("%s: %v", line, err)
			}
			return int(n)
		}
	}
	return 0 // it has no engine at the moment
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
