package kube

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What moves in a moment is told together and once, at its end.
func TestMovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		m := &movers{tell: func(key string) { told = append(told, key) }}
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			m.mu.Lock() // under which it tells
			defer m.mu.Unlock()
			if slices.Sort(told); !slices.Equal(told, want) {
				t.Errorf("%q were told, want %q", told, want)
			}
			told = nil
		}
		for range 2 {
			m.add("a")
			m.add("b")
			<-time.After(moment / 2)
			m.add("a")
			expect()
			<-time.After(moment / 2)
			expect("a", "b")
		}
		m.add("c")
		m.stop()
		<-time.After(2 * moment)
		expect()
	})
}
