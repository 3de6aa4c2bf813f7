package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// outcome is what is known of a call after it was sent.
type outcome uint8

const (
	answered   outcome = iota // the script ran to its end
	refused                   // the server did not run it, and may later
	unknown                   // it may have run, may still run, or may never
	impossible                // it cannot be run, now or later
)

// answer is a script's.
type answer struct {
	outcome outcome
	err     error
	// n is the number that was answered; word is set where it is a word instead. rest are what follows either in an array.
	n    int64
	word string
	rest []any
}

// answer reads what became of a call.
func (c *call) answer() answer {
	v, err := c.cmd.Result()
	if err != nil {
		return answer{outcome: outcomeOf(err), err: err}
	}
	a := answer{}
	if list, ok := v.([]any); ok && len(list) > 0 {
		v, a.rest = list[0], list[1:]
	}
	switch v := v.(type) {
	case int64:
		a.n = v
	case string:
		a.word = v
	default:
		return answer{outcome: impossible, err: errors.New("script has answered what it never does")}
	}
	return a
}

// text is the i-th value after the number or word.
func (a *answer) text(i int) string {
	if i >= len(a.rest) {
		return ""
	}
	s, _ := a.rest[i].(string)
	return s
}

// send sends calls, in order for each slot, and waits for the answers. Each call then has its own.
func (s *Store) send(ctx context.Context, calls []*call) {
	if len(calls) == 0 {
		return
	}
	pipe := s.writer.Pipeline()
	for _, c := range calls {
		c.args[c.fence] = s.token(c.slot)
		c.cmd = redis.NewCmd(ctx, c.args...)
		c.cmd.SetFirstKeyPos(3)
		_ = pipe.Process(ctx, c.cmd) // queues
	}
	_, failed := pipe.Exec(ctx)
	for _, c := range calls {
		err := c.cmd.Err()
		if err == nil && c.cmd.Val() == nil {
			// Where a server refuses the connection itself, as one does that is loading, the client gives the error for all of the
			// pipeline and leaves the commands as they were. No script answers with nothing.
			if err = failed; err == nil {
				err = errNoAnswer
			}
			c.cmd.SetErr(err)
		}
		if err == nil {
			continue
		}
		switch outcomeOf(err) {
		case unknown:
			s.doubt(c.slot)
		case refused:
			s.trouble(ctx, err)
		case answered, impossible:
		}
	}
}

// trouble does what may help against an answer that is no answer.
func (s *Store) trouble(ctx context.Context, err error) {
	switch {
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		s.reload = true
	case redis.HasErrorPrefix(err, "MOVED"), redis.HasErrorPrefix(err, "CLUSTERDOWN"), redis.HasErrorPrefix(err, "READONLY"):
		// Another server may have taken over.
		s.suspect = true
		s.reroute(ctx)
	}
}

// reroute has a Cluster's map read again.
func (s *Store) reroute(ctx context.Context) {
	if c, ok := s.writer.(*redis.ClusterClient); ok {
		c.ReloadState(ctx)
	}
}

// token is the fence as it should be in a slot: epoch and session.
func (s *Store) token(slot uint16) any {
	if t, ok := s.tokens[slot]; ok {
		return t
	}
	return s.firstToken
}

func tokenOf(epoch, session uint64) string {
	return strconv.FormatUint(epoch, 10) + "." + strconv.FormatUint(session, 10)
}

// parseToken is the inverse of tokenOf; both are 0 where it is none.
func parseToken(s string) (epoch, session uint64) {
	e, n, _ := strings.Cut(s, ".")
	epoch, _ = strconv.ParseUint(e, 10, 64)
	session, _ = strconv.ParseUint(n, 10, 64)
	return epoch, session
}

// epochOfBatch is the epoch in the id of a Change.
func epochOfBatch(id string) uint64 {
	e, _, _ := strings.Cut(id, ":")
	epoch, _ := strconv.ParseUint(e, 10, 64)
	return epoch
}

// setEpoch begins a term.
func (s *Store) setEpoch(epoch uint64) {
	s.epoch = epoch
	s.firstToken = tokenOf(epoch, 0)
	s.sessions = map[uint16]uint64{}
	s.tokens = map[uint16]any{}
	s.raises = map[uint16]bool{}
	s.used = s.unused()
}

// setSession sets the session in a slot, and has the fence raised there before anything else is sent.
func (s *Store) setSession(slot uint16, session uint64) {
	s.sessions[slot] = session
	s.tokens[slot] = tokenOf(s.epoch, session)
	s.raises[slot] = true
}

// doubt notes that it is not known what became of something in a slot. Whatever of it is still under way shall come too late.
func (s *Store) doubt(slot uint16) { s.setSession(slot, s.sessions[slot]+1) }

// raiseCall makes a call that raises the fence of a slot.
func (s *Store) raiseCall(slot uint16) *call {
	b := newBuilder(&s.scripts.raise, 1, 1, 64)
	b.str(s.keys.fenceKey(slot))
	b.arguments()
	return b.call(&s.scripts.raise, slot)
}

// load has all servers learn the scripts.
func (s *Store) loadScripts(ctx context.Context) error {
	return s.eachMaster(ctx, s.writer, func(ctx context.Context, c *redis.Client) error {
		_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, one := range s.scripts.all() {
				pipe.ScriptLoad(ctx, one.text)
			}
			return nil
		})
		return err
	})
}

// errNoAnswer is for a command that the client has neither an answer nor an error for.
var errNoAnswer = errors.New("no answer")

// errAgain is for what is worth trying once more.
var errAgain = errors.New("the fence has changed meanwhile")
