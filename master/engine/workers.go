package engine

import (
	"context"
	"sync"
)

// pool runs jobs in a bounded number of goroutines that exist only while there are jobs. Jobs wait in line without bound:
// whoever gives them keeps their number small. Cancels have goroutines of their own, so that launches that hang do not
// keep anything from being stopped.
type pool struct {
	ctx  context.Context
	most int
	wg   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	lanes  [2]jobs
}

type jobs struct {
	queue   []func(context.Context)
	running int
}

func newPool(ctx context.Context, most int) *pool { return &pool{ctx: ctx, most: most} }

func (p *pool) launch(job func(context.Context)) { p.add(0, job) }
func (p *pool) cancel(job func(context.Context)) { p.add(1, job) }

func (p *pool) add(lane int, job func(context.Context)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	j := &p.lanes[lane]
	j.queue = append(j.queue, job)
	if j.running < p.most {
		j.running++
		p.wg.Go(func() { p.work(j) })
	}
}

func (p *pool) work(j *jobs) {
	for {
		p.mu.Lock()
		if len(j.queue) == 0 {
			j.queue = nil
			j.running--
			p.mu.Unlock()
			return
		}
		job := j.queue[0]
		j.queue[0] = nil
		j.queue = j.queue[1:]
		p.mu.Unlock()
		job(p.ctx)
	}
}

// close drops what has not begun. wait returns when the rest is over.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for i := range p.lanes {
		p.lanes[i].queue = nil
	}
}

func (p *pool) wait() { p.wg.Wait() }
