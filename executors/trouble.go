package executors

import "time"

// Trouble is why an executor can do nothing at the moment.
type Trouble struct {
	// Reason is for people, in one line or few. Since is when it began.
	Reason string
	Since  time.Time
}

// Troubled is an Executor that knows when it can do nothing, as one that Patient has made does.
type Troubled interface {
	// Trouble is false while the executor can work.
	Trouble() (Trouble, bool)
}

// Unwrapper is an Executor that decorates another one.
type Unwrapper interface {
	Unwrap() Executor
}

// TroubleOf asks an executor whether it can do nothing, or else the one that it decorates. One that does not know works.
func TroubleOf(e Executor) (Trouble, bool) {
	for e != nil {
		if x, ok := e.(Troubled); ok {
			return x.Trouble()
		}
		u, ok := e.(Unwrapper)
		if !ok {
			break
		}
		e = u.Unwrap()
	}
	return Trouble{}, false
}
