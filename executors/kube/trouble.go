package kube

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/executors"
)

// lossPatience is how long a cluster may be away before that is worth a word: the API server is restarted, say, or a watch begun anew.
const lossPatience = 10 * time.Second

// losses are the feeds that cannot be followed, by name, since when and why.
type losses struct {
	mu   sync.Mutex
	lost map[string]loss
}

type loss struct {
	since time.Time
	err   error
}

// note takes what came of following a feed: an error, or nil where its objects have been listed.
func (l *losses) note(f *feed, err error) {
	if !f.needed {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		delete(l.lost, f.name)
		return
	}
	since := time.Now()
	if old, ok := l.lost[f.name]; ok {
		since = old.since
	}
	if l.lost == nil {
		l.lost = map[string]loss{}
	}
	l.lost[f.name] = loss{since, err}
}

// trouble says since when the cluster is away, and why; false while it is not, or not for long.
func (l *losses) trouble(now time.Time) (executors.Trouble, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var t executors.Trouble
	var why []string
	for _, name := range slices.Sorted(maps.Keys(l.lost)) {
		one := l.lost[name]
		if now.Sub(one.since) < lossPatience {
			continue
		}
		if t.Since.IsZero() || one.since.Before(t.Since) {
			t.Since = one.since
		}
		why = append(why, line(fmt.Sprintf("%s: %v", name, one.err)))
	}
	t.Reason = "the cluster cannot be followed: " + strings.Join(why, "; ")
	return t, len(why) > 0
}

var _ executors.Troubled = (*Executor)(nil)

// Trouble says why the executor sees nothing of the cluster any more, if that is so. Attempts run on there meanwhile. A connection that
// goes silent is noticed after some minutes, everything else at once.
func (e *Executor) Trouble() (executors.Trouble, bool) { return e.losses.trouble(time.Now()) }
