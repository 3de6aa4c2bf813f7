package nursery

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/clic-orchestrator/clic/executors/local/streamlog"
)

// attempt is one that lives, or whose state is just being found out.
type attempt struct {
	id string
	// spare is what another attempt may have afterwards. Its dir is below the data directory, which is the working directory.
	spare
	// settled is closed once it is known what the attempt is: refused (nothing was started), unknown, ended, or else alive.
	// The fields up to child are not changed afterwards, but for end.
	settled chan struct{}
	refused *Response
	unknown bool
	begun   *Begun
	out     *streamlog.Writer
	// child is set where this nursery is the parent; else an earlier one was, and only the exit status may be missing.
	child bool

	pumps sync.WaitGroup
	// drained is set by drain.
	drained bool
	exited  chan struct{}
	// exit is set before exited is closed; nil if nobody can tell.
	exit *exit

	// These are guarded by the nursery's mu.
	end      *End
	waits    string   // why it was not started yet
	launch   *Launch  // what to start then
	next     *attempt // what it has become since
	told     bool
	stopping bool
	deadline time.Time
	killer   *time.Timer
	// over is made at the end, and closed once what is left of the attempt was tidied up.
	over chan struct{}
	// floor is the nursery's peak memory, in bytes, when the attempt was announced. See ownPeak.
	floor    int64
	watchers map[*conn]struct{}
	private  bool // is not to run without a master
	dropped  bool // is being stopped because nobody will ask for it
}

// settle is how long an attempt has to live until its beginning is told by itself: the end of a shorter one says it all.
const settle = 3 * time.Millisecond

// claim gives the attempt of an id, and whether the caller has to settle it. If not, it is settled already. c, if there is
// one, watches it from now on.
func (n *nursery) claim(id string, c *conn) (a *attempt, mine bool) {
	n.mu.Lock()
	a = n.attempts[id]
	if mine = a == nil; mine {
		a = &attempt{
			id: id, spare: spare{dir: filepath.Join(attemptsName, dirName(id))},
			settled: make(chan struct{}), exited: make(chan struct{}), watchers: map[*conn]struct{}{},
		}
		n.attempts[id] = a
	}
	if c != nil {
		a.watchers[c] = struct{}{}
	}
	n.mu.Unlock()
	if !mine {
		<-a.settled
	}
	return a, mine
}

// settleAs ends a claim. An attempt that is not alive is forgotten again.
func (n *nursery) settleAs(a *attempt, alive bool) {
	n.mu.Lock()
	if !alive {
		delete(n.attempts, a.id)
		n.release(a)
		n.endIfIdle()
	}
	n.mu.Unlock()
	close(a.settled)
}

// tell sends the state of a settled attempt.
func (n *nursery) tell(c *conn, a *attempt) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case a.unknown:
		c.push(Response{ID: a.id, Unknown: true})
	case a.end != nil:
		c.push(Response{ID: a.id, Begun: a.begun, End: a.end})
	case a.next != nil: // what it has become is told when it is known
	case a.waits != "":
		c.push(Response{ID: a.id, Waits: a.waits})
	case a.begun != nil:
		c.push(Response{ID: a.id, Begun: a.begun})
	}
}

// announce tells everybody who watches of the attempt's beginning, unless it has ended by now.
func (n *nursery) announce(a *attempt) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a.end != nil || a.told {
		return
	}
	a.told = true
	a.floor = peakOf("self")
	for c := range a.watchers {
		c.push(Response{ID: a.id, Begun: a.begun})
	}
}

// resolve settles a claim from what is on disk.
func (n *nursery) resolve(a *attempt) {
	rec, err := ReadRecord(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(a.dir); errors.Is(err, fs.ErrNotExist) {
			a.unknown = true
			n.settleAs(a, false)
			return
		}
	}
	if err != nil {
		rec = &Record{}
	}
	a.begun = rec.Begun
	switch {
	case rec.End != nil:
		a.end = rec.End
		n.settleAs(a, false)
	case rec.Begun == nil:
		n.lost(a, "its start was interrupted, and whether it ran is not known")
	case rec.Begun.Boot != n.boot:
		n.lost(a, "the machine was restarted while it ran")
	case !exists(rec.Begun):
		n.lost(a, "it ended while nothing watched it, and its exit status is not known")
	default:
		if err := n.adopt(a, rec); err != nil {
			n.log.Error("cannot adopt", "attempt", a.id, "error", err)
			n.lost(a, "it runs, but cannot be watched: "+err.Error())
		}
	}
}

// lost settles an attempt whose end nobody has seen.
func (n *nursery) lost(a *attempt, why string) {
	a.end = &End{At: millis(time.Now()), Lost: why}
	if a.begun != nil {
		a.end.Started = a.begun.Started
	}
	if s, err := openState(a.dir); err == nil {
		if err := s.add(&Record{ID: a.id, End: a.end}); err != nil {
			n.log.Error("cannot write down an end", "attempt", a.id, "error", err)
		}
		s.close()
	}
	n.settleAs(a, false)
}

// watch tells the state of attempts, and stops orphans if it is asked to.
func (n *nursery) watch(c *conn, w *Watch) Response {
	if w.Epoch > 0 {
		if stale, over := n.stale(w.Epoch); over {
			return stale
		}
	}
	named := make(map[string]bool, len(w.IDs))
	for _, id := range w.IDs {
		named[id] = true
		a, mine := n.claim(id, c)
		if mine {
			n.resolve(a)
		}
		n.tell(c, a)
	}
	if !w.Orphans {
		return Response{}
	}
	var orphans []*attempt
	n.mu.Lock()
	for id, a := range n.attempts {
		watched := named[id]
		for c := range a.watchers {
			watched = watched || !c.hungUp()
		}
		if !watched {
			orphans = append(orphans, a)
		}
	}
	n.mu.Unlock()
	for _, a := range orphans {
		<-a.settled
		n.log.Info("stopping an orphan", "attempt", a.id)
		n.stop(a, w.Grace)
	}
	return Response{}
}

// live sees an attempt to its end.
func (n *nursery) live(a *attempt) {
	announce := time.AfterFunc(settle, func() { n.announce(a) })
	<-a.exited
	announce.Stop()
	killed := n.sweep(a)
	n.drain(a)
	e := n.endOf(a)
	e.Killed = killed
	a.out.Close()
	if err := a.state.add(&Record{ID: a.id, End: e}); err != nil {
		n.log.Error("cannot write down an end", "attempt", a.id, "error", err)
	}
	n.mu.Lock()
	a.end, a.over = e, make(chan struct{})
	if a.killer != nil {
		a.killer.Stop()
	}
	n.release(a)
	for c := range a.watchers {
		c.push(Response{ID: a.id, Begun: a.begun, End: e})
	}
	n.mu.Unlock()
	// Nobody has to wait for the rest. Until it is done the attempt counts as one that lives.
	n.recycle(a)
	n.mu.Lock()
	delete(n.attempts, a.id)
	n.endIfIdle()
	n.mu.Unlock()
	close(a.over)
}

// drain waits for the rest of the output, and notes whether it has come to its end. A process that escaped every search may hold
// a pipe open for ever; what it writes is not waited for.
func (n *nursery) drain(a *attempt) {
	stop := time.AfterFunc(time.Second, func() {
		for _, p := range a.pipes {
			if p != nil {
				_ = p.SetReadDeadline(time.Now())
			}
		}
	})
	a.pumps.Wait()
	a.drained = stop.Stop()
}

// pump reads a stream until nobody can write to it any more.
func (n *nursery) pump(a *attempt, s streamlog.Stream, f *os.File) {
	rc, err := f.SyscallConn()
	if err != nil {
		n.log.Error("cannot read output", "attempt", a.id, "error", err)
		return
	}
	for more := true; more; {
		err := rc.Read(func(fd uintptr) bool {
			// The buffer is borrowed only while there is something to read: most attempts are silent most of the time.
			buf := n.buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool's New
			defer n.buffers.Put(buf)
			got, err := syscall.Read(int(fd), *buf)
			switch {
			case errors.Is(err, syscall.EAGAIN):
				return false
			case errors.Is(err, syscall.EINTR):
			case err != nil || got <= 0:
				more = false
			default:
				a.out.Write(s, (*buf)[:got])
			}
			return true
		})
		if err != nil {
			return
		}
	}
}
