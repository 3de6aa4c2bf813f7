package sim

import (
	"errors"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
)

// save makes changes durable and says what became of each, as an engine does: what is refused as a whole is written one by
// one.
func (t *term) save(changes []store.Change, done func([]error)) {
	t.commit(changes, func(err error) {
		if err == nil {
			done(nil)
			return
		}
		errs := make([]error, len(changes))
		if len(changes) == 1 || errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrUnavailable) {
			for i := range errs {
				errs[i] = err
			}
			done(errs)
			return
		}
		t.saveEach(changes, errs, 0, done)
	})
}

func (t *term) saveEach(changes []store.Change, errs []error, i int, done func([]error)) {
	if i == len(changes) {
		done(errs)
		return
	}
	t.commit(changes[i:i+1], func(err error) {
		errs[i] = err
		t.saveEach(changes, errs, i+1, done)
	})
}

// commit repeats the very same batch while the store is unavailable, for as long as the engine is configured to.
func (t *term) commit(changes []store.Change, done func(error)) {
	m := t.m
	began, repeated := m.clock(), false
	end := func(err error) {
		if repeated {
			t.repeating--
		}
		done(err)
	}
	var try func(n int)
	try = func(n int) {
		m.adapter.commit(t.epoch, changes, func(err error) {
			again := errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrRolledBack)
			patient := m.w.opt.patience < 0 || m.clock().Sub(began) < m.w.opt.patience
			switch {
			case t.over():
			case errors.Is(err, store.ErrFenced):
				t.fence("a commit was refused")
			case again && patient:
				if !repeated {
					repeated = true
					t.repeating++
				}
				m.w.stats.count("commit repeated")
				m.after(min(100*time.Millisecond<<min(n, 5), 2*time.Second), func() {
					if !t.over() {
						try(n + 1)
					}
				})
			default:
				if err != nil {
					m.w.stats.count("commit given up")
					m.w.say(m.name, "commit", text(err))
				}
				end(err)
			}
		})
	}
	try(0)
}
