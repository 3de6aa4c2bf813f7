package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// What the history says of calls, at the beginning of the message of an event that changes no state.
const (
	saidSuspend  = "suspended ("
	saidContinue = "continued"
	saidCancel   = "cancel asked for"
	saidRetry    = "retried: "
)

// history is what the events of a task, one after the other, lead to.
type history struct {
	state map[string]string // of every node, and of the task (""), by its id
	// held are the roots of the holds in force, with who asked for them. strict are those whose root was not launched then: it is
	// not launched before it is continued, unless it ended otherwise.
	held   map[string]string
	strict map[string]bool
	// launches says how often each attempt was decided, and ends how it ended, with the message.
	launches map[string]int
	ends     map[string]string
	// calls counts what was carried out, by verb and who asked for it.
	calls map[string]int
	wrong []string
}

// call names a call in a history. Every caller has a name of its own.
func call(verb, who string) string { return verb + " " + who }

// terminal are the states in which a node does not start by itself.
func terminal(state string) bool {
	switch state {
	case "COMPLETED", "FAILED", "CANCELLED", "SKIPPED", "OMITTED":
		return true
	}
	return false
}

// follow goes through the history of a task with these nodes.
func follow(nodes []string, events []*thriftmaster.Event) *history {
	h := &history{
		state: map[string]string{"": "NEW"}, held: map[string]string{}, strict: map[string]bool{},
		launches: map[string]int{}, ends: map[string]string{}, calls: map[string]int{},
	}
	for _, id := range nodes {
		h.state[id] = "WAITING"
	}
	for i, e := range events {
		if e.Seq != int64(i)+1 {
			h.bad("event %d has the number %d", i+1, e.Seq)
		}
		if _, known := h.state[e.StageId]; !known {
			h.bad("event %d is about unknown stage %q", e.Seq, e.StageId)
		}
		if e.ToState == "" {
			h.note(e)
		} else {
			h.move(e)
		}
	}
	return h
}

func (h *history) bad(format string, args ...any) {
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

// note follows an event that changes no state.
func (h *history) note(e *thriftmaster.Event) {
	for _, verb := range []string{saidSuspend, saidContinue, saidCancel, saidRetry} {
		if strings.HasPrefix(e.Message, verb) {
			h.calls[call(verb, e.Who)]++
		}
	}
	_, held := h.held[e.StageId]
	switch {
	case strings.HasPrefix(e.Message, saidSuspend):
		if held {
			h.bad("event %d: %s is suspended a second time", e.Seq, e.StageId)
		}
		h.held[e.StageId] = e.Who
		state := h.state[e.StageId]
		h.strict[e.StageId] = state == "WAITING" || state == "RETRYING" || state == "SUSPEND"
	case strings.HasPrefix(e.Message, saidContinue):
		if !held {
			h.bad("event %d: %s is continued, which is not suspended", e.Seq, e.StageId)
		}
		delete(h.held, e.StageId)
		delete(h.strict, e.StageId)
	}
}

// move follows an event that changes a state.
func (h *history) move(e *thriftmaster.Event) {
	from := h.state[e.StageId]
	if from != e.FromState {
		h.bad("event %d: %q goes from %s to %s, but it was %s", e.Seq, e.StageId, e.FromState, e.ToState, from)
	}
	h.state[e.StageId] = e.ToState
	if e.StageId == "" {
		return
	}
	switch {
	case e.ToState == "LAUNCHING":
		id := attemptID(e.StageId, e.Attempt)
		if h.launches[id]++; h.launches[id] > 1 {
			h.bad("event %d: attempt %s was decided %d times", e.Seq, id, h.launches[id])
		}
		if h.strict[e.StageId] {
			h.bad("event %d: %s is launched, and is suspended", e.Seq, e.StageId)
		}
	case e.ToState == "RETRYING", terminal(e.ToState):
		number := e.Attempt
		if e.ToState == "RETRYING" && !waits(from) {
			number-- // the event has the next one's already
		}
		if !waits(from) {
			h.ends[attemptID(e.StageId, number)] = e.ToState + " " + e.Message
		}
		if terminal(e.ToState) {
			delete(h.strict, e.StageId)
		}
	case waits(e.ToState) && (from == "CANCELLING" || from == "LAUNCHING"):
		h.ends[attemptID(e.StageId, e.Attempt-1)] = "STOPPED " + e.Message
	}
}

// waits are the states without an attempt that could be alive.
func waits(state string) bool {
	return state == "WAITING" || state == "RETRYING" || state == "SUSPEND"
}

// ids are the ids of all nodes.
func (r *record) ids() []string {
	ids := make([]string, len(r.stages))
	for i, v := range r.stages {
		ids[i] = v.StageId
	}
	return ids
}

// replay follows the history from the first event to the last, and says where it does not lead to what the task is.
func (r *record) replay() []string {
	h := follow(r.ids(), r.events)
	for _, v := range r.stages {
		if got := h.state[v.StageId]; got != v.State.String() {
			h.bad("the history of %s leads to %s, but it is %s", v.StageId, got, v.State)
		}
	}
	if h.state[""] != r.state.String() {
		h.bad("the history of the task leads to %s, but it is %s", h.state[""], r.state)
	}
	there := map[string]bool{}
	for _, root := range r.holds {
		there[root] = true
		if _, held := h.held[root]; !held {
			h.bad("%s is suspended, but not by its history", root)
		}
	}
	for root, who := range h.held {
		if !there[root] {
			h.bad("%s is not suspended, but by its history it is, by %s", root, who)
		}
	}
	return h.wrong
}

// TestReplay plants what must be found.
func TestReplay(t *testing.T) {
	for _, c := range []struct {
		name   string
		events string // stage from to attempt message who, "-" for none
		want   []string
	}{
		{"a life", `
- NEW RUNNING 0 - -
a WAITING LAUNCHING 0 - -
a LAUNCHING RETRYING 1 exit -
b - - 0 suspended_(hold) x
b WAITING SUSPEND 0 - -
a RETRYING WAITING 1 - -
a WAITING LAUNCHING 1 - -
a LAUNCHING COMPLETED 1 - -
b - - 0 continued y
b SUSPEND WAITING 0 - y
b WAITING LAUNCHING 0 - -
b LAUNCHING FAILED 0 exit -`, nil},
		{"a step is missing", `
a WAITING LAUNCHING 0 - -
a RUNNING COMPLETED 0 - -`, []string{`event 2: "a" goes from RUNNING to COMPLETED, but it was LAUNCHING`}},
		{"launched twice", `
a WAITING LAUNCHING 0 - -
a LAUNCHING WAITING 0 - -
a WAITING LAUNCHING 0 - -`, []string{"event 3: attempt a 0 was decided 2 times"}},
		{"launched while held", `
a - - 0 suspended_(hold) x
a WAITING LAUNCHING 0 - -`, []string{"event 2: a is launched, and is suspended"}},
		{"held while it runs", `
a WAITING LAUNCHING 0 - -
a - - 0 suspended_(drain) x
a LAUNCHING RETRYING 1 - -
a RETRYING LAUNCHING 1 - -`, nil},
		{"held twice", `
a - - 0 suspended_(hold) x
a - - 0 suspended_(hold) x`, []string{"event 2: a is suspended a second time"}},
		{"never held", `
a - - 0 continued x`, []string{"event 1: a is continued, which is not suspended"}},
		{"unknown", `
c WAITING LAUNCHING 0 - -`, []string{`event 1 is about unknown stage "c"`, `event 1: "c" goes from WAITING to LAUNCHING, but it was `}},
	} {
		var events []*thriftmaster.Event
		for line := range strings.Lines(strings.TrimSpace(c.events)) {
			w := strings.Fields(line)
			if len(w) != 6 {
				t.Fatalf("%s: %q", c.name, line)
			}
			for i := range w {
				w[i] = strings.ReplaceAll(strings.TrimPrefix(w[i], "-"), "_", " ")
			}
			events = append(events, &thriftmaster.Event{
				Seq: int64(len(events) + 1), StageId: w[0], FromState: w[1], ToState: w[2], Attempt: int32(w[3][0] - '0'), Message: w[4], Who: w[5],
			})
		}
		if diff := cmp.Diff(c.want, follow([]string{"a", "b"}, events).wrong); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestSettle plants what must be found.
func TestSettle(t *testing.T) {
	h := follow(nil, nil)
	for _, who := range []string{"done", "twice", "twice", "refused", "learned", "nobody"} {
		h.calls[call(saidCancel, who)]++
	}
	var errands []*errand
	for who, v := range map[string]verdict{"done": done, "twice": unknown, "refused": refused, "learned": unknown, "never": unknown} {
		errands = append(errands, &errand{verb: saidCancel, who: who, verdict: v})
	}
	errands = append(errands, &errand{verb: saidCancel, who: "lost", verdict: done})
	got := settle(errands, h)
	slices.Sort(got)
	if diff := cmp.Diff([]string{
		"cancel asked for lost (about ) was acknowledged, and is not in the history",
		"cancel asked for nobody is in the history, and nobody has called",
		"cancel asked for refused (about ) was refused, and is in the history",
		"cancel asked for twice (about ) was carried out more than once",
	}, got); diff != "" {
		t.Error(diff)
	}
}
