package chaos

import (
	"fmt"
	"time"

	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// strike is a kind of fault. What it leaves broken is mended after it.
type strike struct {
	name string
	do   func(w *war, lead *lord, epoch int64)
	// takesOver is set where another master must lead after it.
	takesOver bool
}

// strikes are all kinds. The first ones are those of a short war.
func strikes() []strike {
	return []strike{
		{"leader killed", (*war).killLeader, true},
		{"leader paused", (*war).pauseLeader, true},
		{"leader stopped", (*war).stopLeader, true},
		{"Redis killed", (*war).killRedis, false},
		{"follower killed", (*war).killFollower, false},
		{"leader cut off", (*war).isolateLeader, true},
		{"connections cut", (*war).cutConnections, false},
		{"answers lost", (*war).loseAnswers, false},
		{"Redis restarted", (*war).restartRedis, false},
		{"follower cut off", (*war).isolateFollower, false},
		{"Redis loses half a second", (*war).loseTime, false},
		{"leader and Redis killed", (*war).killBoth, false},
		{"two leaders killed", (*war).killTwo, true},
		{"all masters killed", (*war).killAll, false},
		{"slow connections", (*war).slowDown, false},
	}
}

// moment waits for a moment at which to strike: any, or one just after something has happened, or one at which the leader waits
// for what it has sent to Redis, or believes to have sent. Then that is held back until it is released; in any other case there is
// nothing to release.
func (w *war) moment(lead *lord) (release func()) {
	w.Helper()
	release = func() {}
	switch w.rand.IntN(4) {
	case 0:
		w.sleep(300 * time.Millisecond)
	case 1:
		w.journal.await(1+w.rand.IntN(4), 2*time.Second)
		w.sleep(5 * time.Millisecond)
	default:
		way := redistest.Direction(w.rand.IntN(2))
		w.journal.await(w.rand.IntN(3), time.Second)
		lead.proxy.Hold(way)
		release = func() { lead.proxy.Release(way) }
		w.until(time.Second, func() bool { return lead.proxy.Stats().Waiting[way] > 0 })
		w.sleep(5 * time.Millisecond)
	}
	return release
}

// killLeader kills the leader. What it has sent reaches Redis before the next one leads, or after that.
func (w *war) killLeader(lead *lord, epoch int64) {
	release := w.moment(lead)
	lead.kill()
	if w.coin() {
		release()
	}
	if w.rand.IntN(3) == 0 {
		lead.begin() // and takes part in the race for the lead
	}
	w.awaitLeader(epoch)
	release()
}

// pauseLeader lets two masters believe that they lead: the first one wakes up when another has done something.
func (w *war) pauseLeader(lead *lord, epoch int64) {
	release := w.moment(lead)
	lead.pause()
	if w.coin() {
		release()
	}
	w.awaitLeader(epoch)
	w.journal.await(w.rand.IntN(4), time.Second)
	if w.coin() {
		release()
		w.sleep(20 * time.Millisecond)
	}
	lead.resume()
	release()
}

func (w *war) stopLeader(lead *lord, epoch int64) {
	w.moment(lead)()
	lead.retire()
	w.awaitLeader(epoch)
}

func (w *war) killFollower(lead *lord, _ int64) {
	others := w.others(lead)
	w.moment(lead)()
	others[w.rand.IntN(len(others))].kill()
	w.sleep(300 * time.Millisecond)
}

func (w *war) killAll(lead *lord, _ int64) {
	release := w.moment(lead)
	for _, i := range w.rand.Perm(len(w.masters)) {
		w.masters[i].kill()
	}
	release()
}

// killTwo kills the leader, and the next one, as soon as that leads.
func (w *war) killTwo(lead *lord, epoch int64) {
	w.moment(lead)()
	lead.kill()
	next, later := w.awaitLeader(epoch)
	w.sleep(300 * time.Millisecond)
	next.kill()
	w.awaitLeader(later)
}

// killRedis kills Redis. What it has answered is with the operating system, at the latest two seconds later (everysec), so that
// the masters may have to say it again.
func (w *war) killRedis(lead *lord, _ int64) {
	release := w.moment(lead)
	w.redis.Kill()
	release()
	w.sleep(1500 * time.Millisecond)
}

func (w *war) restartRedis(lead *lord, _ int64) {
	release := w.moment(lead)
	release()
	if err := w.redis.Stop(); err != nil {
		w.Error(err)
	}
	w.sleep(1500 * time.Millisecond)
}

// killBoth kills the leader, and Redis with it. Nobody is left who could say again what Redis had not written, so it writes
// before it answers.
func (w *war) killBoth(lead *lord, _ int64) {
	w.appendFsync("always")
	release := w.moment(lead)
	lead.kill()
	release()
	w.sleep(10 * time.Millisecond)
	w.redis.Kill()
	w.sleep(300 * time.Millisecond)
}

// loseTime is what the loss of its machine's power does to a Redis that writes once a second: it comes back as it was, some time
// ago. The masters live on, and say again what was acknowledged since.
func (w *war) loseTime(lead *lord, _ int64) {
	before, err := w.redis.Snapshot()
	if err != nil {
		w.Fatal(err)
	}
	w.prober.await(1 + w.rand.IntN(3))
	w.sleep(200 * time.Millisecond)
	w.moment(lead)()
	if err := w.redis.RestartFrom(w.Context(), before); err != nil {
		w.Fatal(err)
	}
}

// cutConnections breaks the connections of one master or of all, several times.
func (w *war) cutConnections(lead *lord, _ int64) {
	targets := w.masters
	if w.coin() {
		targets = targets[:0:0]
		targets = append(targets, w.masters[w.rand.IntN(len(w.masters))])
	}
	w.moment(lead)()
	for range 1 + w.rand.IntN(5) {
		for _, m := range targets {
			if w.coin() {
				m.proxy.Cut()
			} else {
				m.proxy.CutClients()
			}
		}
		w.sleep(100 * time.Millisecond)
	}
}

// isolateLeader takes Redis away from the leader alone, until another one leads and somewhat longer. What it has sent meanwhile
// comes late, or never.
func (w *war) isolateLeader(lead *lord, epoch int64) {
	w.moment(lead)
	lead.proxy.Hold()
	w.awaitLeader(epoch)
	w.journal.await(w.rand.IntN(4), time.Second)
	if w.coin() {
		lead.proxy.Cut()
	}
	lead.proxy.Release()
}

func (w *war) isolateFollower(lead *lord, _ int64) {
	others := w.others(lead)
	m := others[w.rand.IntN(len(others))]
	m.proxy.Refuse(true)
	if w.coin() {
		m.proxy.Cut()
	} else {
		m.proxy.Hold()
	}
	w.prober.await(5)
	w.sleep(3 * time.Second)
}

// loseAnswers lets Redis do what it is told, and nobody hear of it.
func (w *war) loseAnswers(lead *lord, _ int64) {
	for range 1 + w.rand.IntN(3) {
		loss := redistest.Loss{Direction: redistest.Direction(w.rand.IntN(2)), Count: 1 + w.rand.IntN(3), Silent: w.rand.IntN(3) == 0}
		if w.coin() {
			loss.Match = "evalsha"
		}
		lead.proxy.Lose(loss)
		w.journal.await(2, 500*time.Millisecond)
		w.sleep(100 * time.Millisecond)
	}
}

func (w *war) slowDown(*lord, int64) {
	for _, m := range w.masters {
		m.proxy.Delay(redistest.Answers, time.Duration(w.rand.IntN(60))*time.Millisecond)
		m.proxy.Delay(redistest.Requests, time.Duration(w.rand.IntN(60))*time.Millisecond)
	}
	w.prober.await(10)
}

// mend undoes what a strike has left: everything runs, and everything is connected.
func (w *war) mend() {
	w.Helper()
	if err := w.redis.Start(w.Context()); err != nil {
		w.Fatal(err)
	}
	for _, m := range w.masters {
		m.proxy.Clear()
		if m.now().ended() {
			m.begin()
		}
	}
}

// appendFsync says when Redis has its append-only file written.
func (w *war) appendFsync(when string) {
	w.Helper()
	if err := w.redis.Admin().ConfigSet(w.Context(), "appendfsync", when).Err(); err != nil {
		w.Fatal(fmt.Errorf("cannot set appendfsync: %w", err))
	}
}
