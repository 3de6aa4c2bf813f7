package nursery

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// In a container every attempt has a file system of its own, so plans let all instances of a loop write /tmp/out and read
// each one's output from there. Here that is one file. Attempts that declare the same output file therefore run one after
// the other; whoever waits says for whom.

// files are the output files of an attempt in dir, with its program in cwd, that others may declare as well.
func (n *nursery) files(dir, cwd string, all []File) []string {
	var files []string
	for _, f := range all {
		if filepath.IsAbs(f.Path) || cwd != "" {
			files = append(files, n.pathOf(dir, cwd, f))
		}
	}
	return files
}

// queue settles a claim as one that waits, if another attempt writes one of its files, or waits for one ahead of it.
// Otherwise the files are the attempt's from now on, until release.
func (n *nursery) queue(a *attempt, l *Launch) bool {
	files := n.files(a.dir, l.Dir, l.Want.Files)
	if len(files) == 0 {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ahead := map[string]*attempt{}
	for _, w := range n.line {
		for _, f := range n.files(w.dir, w.launch.Dir, w.launch.Want.Files) {
			ahead[f] = w
		}
	}
	if a.waits = n.take(a, files, ahead); a.waits == "" {
		return false
	}
	a.launch = l
	n.line = append(n.line, a)
	close(a.settled)
	return true
}

// take gives an attempt its files, or says why it has to wait. n.mu is held.
func (n *nursery) take(a *attempt, files []string, ahead map[string]*attempt) string {
	for _, f := range files {
		other := n.held[f]
		if other == nil {
			other = ahead[f]
		}
		if other != nil && other != a {
			return fmt.Sprintf("waits for %s, which writes the same output file %s", other.id, f)
		}
	}
	for _, f := range files {
		n.held[f] = a
	}
	return ""
}

// release gives an attempt's files to those that wait, and starts them. n.mu is held.
func (n *nursery) release(a *attempt) {
	free := false
	for f, holder := range n.held {
		if holder == a {
			delete(n.held, f)
			free = true
		}
	}
	if free {
		n.advance()
	}
}

// advance starts whoever does not have to wait any more. n.mu is held.
func (n *nursery) advance() {
	ahead := map[string]*attempt{}
	n.line = slices.DeleteFunc(n.line, func(w *attempt) bool {
		files := n.files(w.dir, w.launch.Dir, w.launch.Want.Files)
		// Who takes over is another value under the same id, so that whoever asks meanwhile waits until it is settled.
		next := &attempt{
			id: w.id, spare: spare{dir: w.dir}, settled: make(chan struct{}), exited: make(chan struct{}), watchers: w.watchers,
			private: w.private,
		}
		if n.take(next, files, ahead) != "" {
			for _, f := range files {
				ahead[f] = w
			}
			return false
		}
		n.attempts[w.id], w.next = next, next
		n.work.Go(func() { n.startLate(next, w.launch) })
		return true
	})
}

// startLate starts an attempt whose turn has come. The launch was accepted, so what goes wrong now is the attempt's end.
func (n *nursery) startLate(a *attempt, l *Launch) {
	if n.begin(a, l, false) {
		n.live(a)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	r := Response{ID: a.id, Begun: a.begun, End: a.end}
	if a.refused != nil {
		r.End = &End{At: millis(time.Now()), Failed: a.refused.Error}
	}
	for c := range a.watchers {
		c.push(r)
	}
}

// leaveLine ends an attempt that waits. n.mu is held.
func (n *nursery) leaveLine(a *attempt) {
	n.line = slices.DeleteFunc(n.line, func(w *attempt) bool { return w == a })
	delete(n.attempts, a.id)
	a.end = &End{At: millis(time.Now()), Stopped: true}
	a.waits = ""
	for c := range a.watchers {
		c.push(Response{ID: a.id, End: a.end})
	}
	n.advance()
	n.endIfIdle()
}
