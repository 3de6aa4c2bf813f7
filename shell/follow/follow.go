// Package follow goes along with a task until it ends: silently, with one line per event, or with a live view of the whole
// task on a terminal. It is driven by the master's watch call, a long poll with a cursor, so nothing is seen late and nothing
// twice; a master that is restarted meanwhile is waited for.
package follow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/iostreams"
)

// Mode is how much is shown.
type Mode int

const (
	// Silent shows nothing.
	Silent Mode = iota
	// Lines prints one line per event.
	Lines
	// JSON prints one JSON object per event and line.
	JSON
	// Live redraws a view of the task in place. It needs a terminal.
	Live
)

// Auto is Live on a terminal, else Lines.
func Auto(s *iostreams.Streams) Mode {
	if s.OutTerminal {
		return Live
	}
	return Lines
}

// Service is what is needed of the master.
type Service interface {
	GetTask(ctx context.Context, taskName string) (*master.TaskInfo, error)
	ListStages(ctx context.Context, query *master.StageQuery) (*master.StagePage, error)
	Watch(ctx context.Context, taskName string, cursor int64, limit int32, waitMillis int64) (*master.EventPage, error)
}

// Options say what to follow, and how.
type Options struct {
	IO      *iostreams.Streams
	Service Service
	Now     func() time.Time
	// Task is the task's full name.
	Task string
	Mode Mode
	// Cursor is the event after which to begin; 0 shows the whole history.
	Cursor int64
	// Timeout ends the following, not the task; 0 is none.
	Timeout time.Duration
	// Resized gives a signal when the terminal's size has changed; nil for never. Only Live asks for it.
	Resized <-chan os.Signal
	// Notices are lines for the user that Live shows below the stages; nil for none. Only Live reads them.
	Notices <-chan string
}

const (
	// wait is how long the master keeps a watch call that has nothing to tell; grace is how much longer the answer may take.
	wait  = 30 * time.Second
	grace = 15 * time.Second
	// events is how many events are asked for at once: the most that a master gives.
	events = 10_000
	// firstPause and longestPause bound the pauses between attempts to reach a master that is away.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// ErrTimeout says that the task had not ended when Options.Timeout was over.
var ErrTimeout = errors.New("timed out")

// Until follows the task to its end and gives it as it then is. The context's end is the following's end: its error comes
// back, and the task goes on. *TimeoutError after Options.Timeout.
func Until(ctx context.Context, o Options) (*master.TaskInfo, error) {
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, ErrTimeout)
		defer cancel()
	}
	t, err := follow(ctx, o)
	if err == nil {
		return t, nil
	}
	if errors.Is(context.Cause(ctx), ErrTimeout) {
		return nil, exit.With(exit.Retry, fmt.Errorf("task %s has not ended within %v", o.Task, o.Timeout),
			fmt.Sprintf("it goes on; \"clic watch %s\" shows it", o.Task))
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, err
}

func follow(ctx context.Context, o Options) (*master.TaskInfo, error) {
	if o.Mode == Live {
		return live(ctx, o)
	}
	notify := func(text string) {
		if o.Mode != Silent {
			fmt.Fprintln(o.IO.Err, text)
		}
	}
	p := &printer{o: o}
	if err := pages(ctx, o, notify, p.page); err != nil {
		return nil, err
	}
	var t *master.TaskInfo
	err := Persist(ctx, notify, func(ctx context.Context) (err error) {
		t, err = o.Service.GetTask(ctx, o.Task)
		return err
	})
	return t, err
}

// pages calls f with every page of events up to the task's end.
func pages(ctx context.Context, o Options, notify func(string), f func(*master.EventPage) error) error {
	cursor := o.Cursor
	for {
		var page *master.EventPage
		patience := wait
		err := Persist(ctx, notify, func(ctx context.Context) (err error) {
			ctx, cancel := context.WithTimeout(ctx, patience+grace)
			defer cancel()
			page, err = o.Service.Watch(ctx, o.Task, cursor, events, patience.Milliseconds())
			patience = 0 // a master that is back says so at once, not only when something happens
			return err
		})
		if err != nil {
			return err
		}
		if err := f(page); err != nil {
			return err
		}
		if page.Done {
			return nil
		}
		cursor = max(cursor, page.Cursor)
	}
}

// Now gives the cursor after everything that has happened to a task so far.
func Now(ctx context.Context, c Service, task string) (int64, error) {
	var cursor int64
	for {
		page, err := c.Watch(ctx, task, cursor, events, 0)
		if err != nil {
			return 0, err
		}
		cursor = max(cursor, page.Cursor)
		if len(page.Events) == 0 || page.Done {
			return cursor, nil
		}
	}
}

// Persist repeats a call while the master is away, with a notice when it goes and when it is back. A master that could not
// be reached from the very beginning does not get here: the callers have talked to it before.
func Persist(ctx context.Context, notify func(string), call func(context.Context) error) error {
	pause, away := firstPause, false
	for {
		err := call(ctx)
		if err == nil {
			if away {
				notify("the master is back")
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		hint, passing := passing(err)
		if !passing {
			return err
		}
		if !away {
			away = true
			notify(fmt.Sprintf("lost the master (%v), waiting for it to come back", err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(pause, hint)):
		}
		pause = min(2*pause, longestPause)
	}
}

// passing tells errors that pass by themselves, and how long the master asked to wait.
func passing(err error) (wait time.Duration, ok bool) {
	if e, is := errors.AsType[*base.ClicError](err); is && e.Code == base.ErrorCode_UNAVAILABLE {
		return min(time.Duration(e.GetRetryAfterMillis())*time.Millisecond, longestPause), true
	}
	if _, is := errors.AsType[*client.UnreachableError](err); is {
		return 0, true
	}
	if _, is := errors.AsType[*client.LostError](err); is {
		return 0, true
	}
	_, is := errors.AsType[*client.TimeoutError](err)
	return 0, is
}

// Outcome is the exit status that tells how a task ended, as an error that prints nothing more; nil for COMPLETED.
func Outcome(t *master.TaskInfo) error {
	switch t.State {
	case master.TaskState_COMPLETED:
		return nil
	case master.TaskState_CANCELLED:
		return exit.Silent(exit.Cancelled)
	}
	return exit.Silent(exit.Failed)
}

// IsOutcome tells the outcome of a task, as Outcome gives it, from an error.
func IsOutcome(err error) bool {
	e, ok := errors.AsType[*exit.Error](err)
	return ok && e.Err == nil && (e.Status == exit.Failed || e.Status == exit.Cancelled)
}

// Ended reports whether nothing more happens to a task of this state by itself.
func Ended(s master.TaskState) bool {
	return s == master.TaskState_COMPLETED || s == master.TaskState_FAILED || s == master.TaskState_CANCELLED
}
