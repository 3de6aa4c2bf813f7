package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Jobs run beside each other up to the bound, also where goroutines wait for more already, and none keeps the pool from ending.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 4
		p := newPool(t.Context(), most)
		var running, ended atomic.Int32
		for range 3 {
			ended.Store(0)
			release := make(chan struct{})
			for range 3 * most {
				p.launch(func(context.Context) {
					running.Add(1)
					<-release
					running.Add(-1)
					ended.Add(1)
				})
			}
			synctest.Wait()
			if n := running.Load(); n != most {
				t.Errorf("%d jobs run, want %d", n, most)
			}
			close(release)
			synctest.Wait()
			if n := ended.Load(); n != 3*most {
				t.Errorf("%d jobs have ended, want %d", n, 3*most)
			}
			if j := &p.lanes[0]; j.idle != spareWorkers || j.running != spareWorkers {
				t.Errorf("%d goroutines, of which %d are idle, want %d", j.running, j.idle, spareWorkers)
			}
		}
		p.close()
		p.wait()
		p.launch(func(context.Context) { t.Error("a job of a closed pool") })
	})
}
