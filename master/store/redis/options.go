package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Options say which Redis to use, and how. Only URL must be set.
type Options struct {
	// URL names the server or servers; see ParseURL.
	URL string
	// Prefix begins all keys but those of tasks and stages: "clic:" unless set.
	Prefix string
	// TaskPrefix begins the key of a task, StagePrefix that of a stage: Prefix and "task:", and "stage:", unless set.
	TaskPrefix, StagePrefix string
	// History is how many entries of its history a task keeps, about: 100,000 unless set. A negative number keeps all.
	History int
	// Patience is how long a Commit or Lead is repeated while Redis does not answer, before it gives store.ErrUnavailable: 2 s
	// unless set. The context of the call may end it earlier.
	Patience time.Duration
	// Redo is how long acknowledged writes are kept in memory in order to send them again, should Redis come back without them:
	// 5 s unless set. A Redis that writes its append-only file every second may lose 2 s.
	Redo time.Duration
	// Generation is what Generation of an earlier Store gave. If it is set, Open refuses a Redis that holds anything else
	// with store.ErrRolledBack, such as an empty one.
	Generation string
	// Logger gets warnings; nil discards them.
	Logger *slog.Logger
}

// Defaults.
const (
	defaultPrefix   = "clic:"
	defaultHistory  = 100_000
	defaultPatience = 2 * time.Second
	defaultRedo     = 5 * time.Second
)

// withDefaults gives a copy in which everything is set.
func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.TaskPrefix == "" {
		o.TaskPrefix = o.Prefix + "task:"
	}
	if o.StagePrefix == "" {
		o.StagePrefix = o.Prefix + "stage:"
	}
	if o.History == 0 {
		o.History = defaultHistory
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Redo <= 0 {
		o.Redo = defaultRedo
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) validate() error {
	for _, p := range []struct{ name, value string }{
		{"key prefix", o.Prefix}, {"task key prefix", o.TaskPrefix}, {"stage key prefix", o.StagePrefix},
	} {
		if strings.ContainsAny(p.value, "{}") {
			return fmt.Errorf("%s %q must not have braces: Redis Cluster reads them", p.name, p.value)
		}
	}
	if o.TaskPrefix == o.StagePrefix {
		return errors.New("task key prefix and stage key prefix must not be the same")
	}
	return nil
}
