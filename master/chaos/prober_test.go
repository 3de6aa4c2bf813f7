package chaos

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/base"
	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
)

// prober is a client that has something small changed again and again, one after the other, and notes how long it had to
// wait. It asks another master where one does not answer soon, as a client in front of several does.
type prober struct {
	realm *realm
	stage string
	work  sync.WaitGroup
	end   context.CancelFunc

	mu    sync.Mutex
	waits []wait
}

// wait is one change that was asked for, and when it was answered.
type wait struct{ asked, answered time.Time }

const (
	probeEvery = 40 * time.Millisecond  // between an answer and the next question
	probeAgain = 250 * time.Millisecond // until another master is asked
	probeMost  = 16                     // questions at once
)

// probe begins to change a stage that does not run.
func (r *realm) probe(stage string) *prober {
	ctx, end := context.WithCancel(r.Context())
	p := &prober{realm: r, stage: stage, end: end}
	p.work.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			asked := time.Now()
			if p.ask(ctx, i%2 == 0) {
				p.mu.Lock()
				p.waits = append(p.waits, wait{asked, time.Now()})
				p.mu.Unlock()
			}
			select {
			case <-time.After(probeEvery):
			case <-ctx.Done():
			}
		}
	})
	r.Cleanup(p.stop)
	return p
}

func (p *prober) stop() {
	p.end()
	p.work.Wait()
}

// ask asks until the first answer.
func (p *prober) ask(ctx context.Context, suspend bool) bool {
	ctx, cancel := context.WithCancel(ctx)
	var tries sync.WaitGroup
	defer tries.Wait()
	defer cancel()
	answers := make(chan bool, probeMost)
	under := 0
	next := time.NewTimer(0)
	defer next.Stop()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return false
		case ok := <-answers:
			if ok {
				return true
			}
			under--
			next.Reset(10 * time.Millisecond)
		case <-next.C:
			next.Reset(probeAgain)
			m := p.realm.masters[i%len(p.realm.masters)]
			if i++; !m.well() {
				next.Reset(time.Millisecond)
			} else if under < probeMost {
				under++
				tries.Go(func() { answers <- p.call(ctx, m, suspend) })
			}
		}
	}
}

// call reports whether the master has answered: that it is done, or that the state forbids it, which only a leader knows.
func (p *prober) call(ctx context.Context, m *lord, suspend bool) bool {
	c, err := dial(m.address, 10*time.Second)
	if err != nil {
		return false
	}
	defer c.close()
	defer context.AfterFunc(ctx, c.close)()
	t := thriftmaster.NewTaskServiceClient(c.service("TaskService"))
	if suspend {
		_, err = t.Suspend(ctx, p.stage, thriftmaster.HoldMode_HOLD, "", 0, "probe")
	} else {
		err = t.Resume(ctx, p.stage, "probe")
	}
	var e *base.ClicError
	return err == nil || errors.As(err, &e) && e.Code == base.ErrorCode_REFUSED
}

// longest is the longest wait since then.
func (p *prober) longest(since time.Time) (longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.waits) - 1; i >= 0 && p.waits[i].answered.After(since); i-- {
		longest = max(longest, p.waits[i].answered.Sub(p.waits[i].asked))
	}
	return longest
}

// answered is how many changes were answered.
func (p *prober) answered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waits)
}

// await waits for so many more answers.
func (p *prober) await(more int) {
	p.realm.Helper()
	wanted := p.answered() + more
	for end := time.Now().Add(patience); p.answered() < wanted; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.realm.Fatal("a client is not answered any more")
		}
	}
}
