package engine

import (
	"context"
	"sync"
)

// pool runs jobs in a bounded number of goroutines, of which few stay when there is nothing to do. Jobs wait in line without bound:
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
	running int // goroutines, of which idle wait for more
	idle    int
	more    sync.Cond
}

// spareWorkers is how many goroutines of a lane wait for more when there is nothing left to do. Each time one is made anew its stack has to
// grow again, for as deep as a launch goes.
const spareWorkers = 2

func newPool(ctx context.Context, most int) *pool {
	p := &pool{ctx: ctx, most: most}
	for i := range p.lanes {
		p.lanes[i].more.L = &p.mu
	}
	return p
}

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
	switch {
	case j.idle > 0:
		j.idle--
		j.more.Signal()
	case j.running < p.most:
		j.running++
		p.wg.Go(func() { p.work(j) })
	}
}

func (p *pool) work(j *jobs) {
	p.mu.Lock()
	for {
		if len(j.queue) == 0 {
			j.queue = nil
			if p.closed || j.idle == spareWorkers {
				j.running--
				p.mu.Unlock()
				return
			}
			j.idle++
			j.more.Wait() // add, or close, has counted it out
			continue
		}
		job := j.queue[0]
		j.queue[0] = nil
		j.queue = j.queue[1:]
		p.mu.Unlock()
		job(p.ctx)
		p.mu.Lock()
	}
}

// close drops what has not begun. wait returns when the rest is over.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for i := range p.lanes {
		p.lanes[i].queue, p.lanes[i].idle = nil, 0
		p.lanes[i].more.Broadcast()
	}
}

func (p *pool) wait() { p.wg.Wait() }
