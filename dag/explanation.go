package dag

// Reason is what keeps a node from going on.
type Reason string

const (
	// ReasonParents: it waits for other nodes.
	ReasonParents Reason = "parents"
	// ReasonHold: somebody holds it.
	ReasonHold Reason = "hold"
	// ReasonLimit: a limit of the plan (parallelism) is reached.
	ReasonLimit Reason = "limit"
	// ReasonQueue: it is ready and waits for a slot of the executor or a launch that is under way.
	ReasonQueue Reason = "queue"
	// ReasonRetry: its next attempt is due later.
	ReasonRetry Reason = "retry"
	// ReasonExecutor: it is launched, and the executor says why it does not run yet.
	ReasonExecutor Reason = "executor"
	// ReasonRunning: nothing keeps it; it runs.
	ReasonRunning Reason = "running"
	// ReasonGate: it waits for somebody's continue because the plan says so.
	ReasonGate Reason = "gate"
	// ReasonEnded: it has ended; the text says how.
	ReasonEnded Reason = "ended"
)

// Explanation says in one line why a node is where it is.
type Explanation struct {
	Reason Reason
	// Text is one line for people, complete in itself.
	Text string
	// Nodes are what it is about: parents that have not ended, roots of holds.
	Nodes []int32
	// Until is when it ends by itself, or 0.
	Until Time
}
