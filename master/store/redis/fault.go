package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store"
)

// advice says what the words mean that a server's errors begin with, where it may be able to later.
var advice = []struct{ word, text string }{
	{"LOADING", "it is still loading its data"},
	{"READONLY", "it is a replica"},
	{"MASTERDOWN", "it is a replica that has lost its master"},
	{"NOREPLICAS", "it has fewer replicas than min-replicas-to-write asks for"},
	{"CLUSTERDOWN", "a part of the Cluster is not there"},
	{"TRYAGAIN", "a slot is moving to another node"},
	{"ASK", "a slot is moving to another node"},
	{"MOVED", "a slot has moved to another node"},
	{"NOSCRIPT", "it has forgotten the scripts"},
	{"OOM", "it is out of memory: raise maxmemory"},
	{"MISCONF", "it cannot write to its disk"},
	{"BUSY", "a script of somebody else runs for too long"},
	{"NOAUTH", "it asks for a password: set one in the URL"},
	{"WRONGPASS", "user or password is wrong"},
	{"NOPERM", "the user may not do this: see its access-control list"},
	{"max number of clients reached", "it has too many clients: raise maxclients"},
}

// adviceFor finds the word in a server's error. An error inside of a script may have the script's own words before it.
func adviceFor(err error) string {
	var server redis.Error
	if !errors.As(err, &server) {
		return ""
	}
	text := strings.TrimPrefix(server.Error(), "ERR ")
	for _, a := range advice {
		if strings.HasPrefix(text, a.word) || strings.Contains(text, "-"+a.word+" ") {
			return a.text
		}
	}
	return ""
}

// outcomeOf says what is known of a command with this error.
func outcomeOf(err error) outcome {
	var server redis.Error
	switch {
	case err == nil:
		return answered
	case final(err):
		return impossible
	case !errors.As(err, &server):
		return unknown
	case adviceFor(err) != "":
		return refused
	}
	return impossible
}

// final says that an error is the store's own, and does not get better.
func final(err error) bool {
	for _, e := range []error{
		store.ErrFenced, store.ErrExists, store.ErrNotFound, store.ErrConflict, store.ErrRolledBack, store.ErrNewer, errDamaged, errClosed,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// fault makes an error of the contract out of one of the client or the server.
func (s *Store) fault(err error) error {
	switch {
	case err == nil, final(err), errors.Is(err, store.ErrUnavailable):
		return err
	case errors.Is(err, redis.ErrClosed):
		return errClosed
	case errors.Is(err, context.Canceled):
		return err
	case strings.Contains(err.Error(), "WRONGTYPE"):
		return fmt.Errorf("a key of Redis that begins with %q is not what it should be; is the prefix used by another program? %w",
			s.opts.Prefix, err)
	case outcomeOf(err) == impossible:
		return fmt.Errorf("redis at %s: %w", s.target, err)
	}
	if text := adviceFor(err); text != "" {
		return fmt.Errorf("%w: Redis at %s: %s (%w)", store.ErrUnavailable, s.target, text, err)
	}
	return fmt.Errorf("%w: Redis at %s: %w", store.ErrUnavailable, s.target, err)
}
