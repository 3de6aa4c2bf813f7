package sim

import (
	"errors"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// client is somebody who submits, holds, continues, cancels, retries and looks.
type client struct {
	process
	ops int
	// busy counts the operations that have not ended.
	busy int
}

// op is an operation of a client. It is repeated while the answer says so, or none comes.
type op struct {
	what, who   string // who is unique, so that it can be found in the history
	task, stage string
	req         request
	left        *func()
	done        func()
	tries       int
	// began is when it was first sent, seen what had been acknowledged of the task by then.
	seen uint64
}

func newClient(w *world, name string) *client { return &client{process: w.process(name)} }

// start lets the client do something now and then.
func (c *client) start() {
	c.after(c.w.between(200*time.Millisecond, 2*c.w.opt.pace), func() {
		if c.w.calm {
			return
		}
		c.act()
		c.start()
	})
}

// act does something at random.
func (c *client) act() {
	w := c.w
	task := w.check.anyTask(w.r)
	if task == nil || w.chance(12) {
		if len(w.db.order) < w.opt.tasks {
			c.submit(smallPlan(w.r))
		}
		return
	}
	stage := ""
	if n := len(task.nodes); n > 1 && !w.chance(12) {
		stage = task.nodes[1+w.r.IntN(n-1)].spec.ID
	}
	switch pick := w.r.IntN(40); {
	case pick < 12:
		c.run(&op{what: "read", task: task.name, req: read(task.name)})
	case pick < 20:
		c.suspend(task.name, stage)
	case pick < 32:
		if root := task.anyHold(w.r); root != "" {
			stage = root
		}
		c.resume(task.name, stage)
	case pick < 34:
		if stage != "" || w.chance(6) {
			c.order("cancel", task.name, stage, func(e *engine.Manual, who string, answer func(error)) func() {
				return e.Cancel(task.name, stage, who, "", false, answer)
			})
		}
	case pick < 35:
		c.order("skipped", task.name, stage, func(e *engine.Manual, who string, answer func(error)) func() {
			return e.Skip(task.name, stage, who, "", answer)
		})
	case pick < 39:
		c.retry(task)
	default:
		c.remove(task)
	}
}

func (c *client) submit(yaml string) {
	who := c.who()
	c.w.check.open[who] = true
	c.run(&op{what: "submit", who: who, req: submit(c.w, who, yaml), done: func() { delete(c.w.check.open, who) }})
}

func (c *client) suspend(task, stage string) {
	h := dag.Hold{Mode: dag.Mode(c.w.r.IntN(3))}
	if c.w.chance(4) {
		h.Until = dag.Time(c.clock().Add(c.w.between(time.Second, 10*time.Second)).UnixMilli())
	}
	c.order("suspended", task, stage, func(e *engine.Manual, who string, answer func(error)) func() {
		h.Who = who
		return e.Suspend(task, stage, h, answer)
	})
}

func (c *client) resume(task, stage string) {
	c.order("continued", task, stage, func(e *engine.Manual, who string, answer func(error)) func() {
		return e.Continue(task, stage, who, answer)
	})
}

func (c *client) retry(task *mirror) {
	c.w.check.retried[task.name] = true
	c.order("retried", task.name, "", func(e *engine.Manual, who string, answer func(error)) func() {
		return e.Retry(task.name, who, answer)
	})
}

// remove deletes a task that has ended, unless it is the big one.
func (c *client) remove(task *mirror) {
	if task.task == nil || !task.task.Status.Terminal() || len(task.nodes) > 12 || c.w.check.open[task.task.Request] {
		return // whoever waits for the answer would submit it again
	}
	c.run(&op{what: "delete", who: c.who(), task: task.name, req: func(t *term, answer func(result, error)) {
		if err := t.changeable(); err != nil {
			answer(result{}, err)
			return
		}
		t.eng.Delete(task.name, func(err error) { answer(result{}, err) })
		t.pump()
	}})
}

// who names an operation.
func (c *client) who() string {
	c.ops++
	return c.name + "-" + num(c.ops)
}

// order runs an operation that is a command about a task.
func (c *client) order(what, task, stage string, give func(e *engine.Manual, who string, answer func(error)) func()) {
	o := &op{what: what, who: c.who(), task: task, stage: stage, left: new(func())}
	o.req = order(func(e *engine.Manual, answer func(error)) func() { return give(e, o.who, answer) })(o.left)
	c.run(o)
}

// run sends an operation to some master, until it is answered.
func (c *client) run(o *op) {
	c.busy++
	w := c.w
	w.stats.count("op " + o.what)
	o.tries = 200
	o.seen = w.check.acknowledged(o.task)
	w.say(c.name, o.what, o.who, o.task, o.stage)
	inner := o.req
	o.req = func(t *term, answer func(result, error)) {
		inner(t, func(r result, err error) {
			w.check.answered(o, r, err)
			answer(r, err)
		})
	}
	c.try(o)
}

func (c *client) try(o *op) {
	w := c.w
	m := w.masters[w.r.IntN(len(w.masters))]
	ask(&c.process, &m.process, 4*time.Second, func(answer func(result, error)) {
		m.handle(o.req, false, answer)
	}, func(_ result, err error) {
		if errors.Is(err, errNoAnswer) && o.left != nil && *o.left != nil && w.chance(2) {
			leave := *o.left
			w.send(&c.process, &m.process, leave, nil) // the connection was closed
		}
		o.tries--
		if again(err) && o.tries > 0 {
			c.after(w.between(50*time.Millisecond, 500*time.Millisecond), func() { c.try(o) })
			return
		}
		c.busy--
		w.say(c.name, o.what, o.who, "ends:", text(err))
		if o.what == "submit" && err != nil {
			w.fail("%s could not submit: %v", o.who, err)
		}
		if errors.Is(err, store.ErrNotFound) && o.what != "delete" && !w.check.deleted[o.task] {
			w.fail("%s %s %s: %v", o.what, o.who, o.task, err)
		}
		if o.done != nil {
			o.done()
		}
	})
}

// tidy continues every hold once all is calm, until every task has ended.
func (c *client) tidy() {
	w := c.w
	for _, name := range w.db.order {
		m := w.check.tasks[name]
		for _, root := range m.heldRoots() {
			if c.busy == 0 {
				c.resume(name, root)
			}
		}
	}
	c.after(time.Second, c.tidy)
}
