package executors_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clic-orchestrator/clic/executors"
)

// absent is an executor that is away until it is told otherwise.
type absent struct {
	mu       sync.Mutex
	startErr error
	recover  func(epoch uint64) error
	made     int
	calls    []string
	stopped  int
}

func (x *absent) note(call string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.calls = append(x.calls, call)
	return nil
}

func (x *absent) set(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
}

func (x *absent) Start(context.Context, executors.Sink) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.startErr
}

func (x *absent) Recover(_ context.Context, epoch uint64, _ []executors.Attempt) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.recover(epoch)
}
func (x *absent) Launch(context.Context, executors.Attempt) error     { return x.note("launch") }
func (x *absent) Cancel(context.Context, string, time.Duration) error { return x.note("cancel") }
func (x *absent) Forget(context.Context, []string) error              { return x.note("forget") }
func (x *absent) Stop(context.Context) error                          { x.set(func() { x.stopped++ }); return nil }

func (x *absent) Logs(context.Context, string, executors.LogOptions) (io.ReadCloser, error) {
	return nil, x.note("logs")
}

// wrapped decorates an executor.
type wrapped struct{ executors.Executor }

func (w wrapped) Unwrap() executors.Executor { return w.Executor }

// everything makes each call once, and gives the errors.
func everything(e executors.Executor) []error {
	ctx := context.Background()
	_, logs := e.Logs(ctx, "a", executors.LogOptions{})
	return []error{
		e.Launch(ctx, executors.Attempt{ID: "a"}), e.Cancel(ctx, "a", 0), e.(executors.Pauser).Pause(ctx, "a", 0), logs, e.Forget(ctx, []string{"a"}),
	}
}

// TestPatient starts while the executor is away, which has it done nothing, and uses it once it is there.
func TestPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		x := &absent{startErr: down, recover: func(uint64) error { return down }}
		e := executors.Patient(x, executors.Patience{Again: func() (executors.Executor, error) {
			x.set(func() { x.made++ })
			return x, nil
		}})
		began := time.Now()
		if err := errors.Join(e.Start(t.Context(), nil), e.Recover(t.Context(), 3, nil)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("waited for %v", took)
		}
		away := func() {
			t.Helper()
			for _, err := range everything(e) {
				if !errors.Is(err, executors.ErrAway) || !errors.Is(err, down) {
					t.Errorf("while it is away: %v", err)
				}
			}
		}
		trouble := func(wanted string) {
			t.Helper()
			got, is := executors.TroubleOf(wrapped{e})
			if is != (wanted != "") || got.Reason != wanted || is && !got.Since.Equal(began) {
				t.Errorf("its trouble is %+v, %v; want %q", got, is, wanted)
			}
		}
		away()
		trouble("connection refused")
		x.set(func() { x.startErr = nil })
		<-time.After(time.Minute)
		away() // it was started, and cannot recover
		x.set(func() {
			if x.made < 2 || x.stopped != x.made {
				t.Errorf("made %d times anew, stopped %d times", x.made, x.stopped)
			}
			x.recover = func(epoch uint64) error {
				if epoch != 3 {
					t.Errorf("recovered with epoch %d", epoch)
				}
				return nil
			}
		})
		trouble("connection refused")
		<-time.After(time.Minute)
		if err := errors.Join(everything(e)...); err != nil {
			t.Error(err)
		}
		trouble("")
		if len(x.calls) != 5 {
			t.Errorf("called: %v", x.calls)
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// An executor that is there is used at once, and one that knows a later leader says so.
func TestPatientAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &absent{recover: func(epoch uint64) error {
			if epoch < 5 {
				return executors.ErrStale
			}
			return nil
		}}
		began := time.Now()
		for epoch, want := range map[uint64]error{4: executors.ErrStale, 5: nil} {
			e := executors.Patient(x, executors.Patience{})
			if err := e.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if err := e.Recover(t.Context(), epoch, nil); !errors.Is(err, want) || err != nil && want == nil {
				t.Errorf("epoch %d: %v", epoch, err)
			}
			if err := e.Launch(t.Context(), executors.Attempt{}); !errors.Is(err, want) {
				t.Errorf("epoch %d: Launch gave %v", epoch, err)
			}
			if err := e.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

// Stop ends the tries.
func TestPatientStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &absent{startErr: errors.New("down")}
		e := executors.Patient(x, executors.Patience{Again: func() (executors.Executor, error) { return nil, errors.New("no file") }})
		if err := e.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := e.Recover(t.Context(), 1, nil); !errors.Is(err, executors.ErrClosed) {
			t.Errorf("Recover gave %v", err)
		}
		never := executors.Patient(x, executors.Patience{})
		if err := never.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
