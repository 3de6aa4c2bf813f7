package dag

// EffectKind is what the world has to do.
type EffectKind uint8

const (
	// EffectReady: the stage may be launched as soon as the dispatcher has a slot; answer with Grant.
	EffectReady EffectKind = iota + 1
	// EffectLaunch: the executor has to launch the attempt, or adopt it if it exists. It follows from the state for as
	// long as nobody has seen the attempt run, so whoever acts on it remembers what it has handed on.
	EffectLaunch
	// EffectCancel: the executor has to stop the attempt.
	EffectCancel
	// EffectTimer: a Tick is due at At.
	EffectTimer
)

// String names the kind.
func (k EffectKind) String() string {
	return [...]string{"", "ready", "launch", "cancel", "timer"}[k%5]
}

// Effect is something that follows from a run's state and that the world still has to do.
type Effect struct {
	Kind EffectKind
	// Node is the node's index; -1 for the task's own timers.
	Node int32
	// Attempt is the attempt to launch or cancel.
	Attempt int32
	// At is a timer's time.
	At Time
	// Pause goes with EffectCancel where the stage runs again after a hold: an executor that can keep the attempt for then
	// may pause it instead, and report it as Kept.
	Pause bool
}
