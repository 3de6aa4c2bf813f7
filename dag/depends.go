package dag

// Want is the set of outcomes of a node that satisfy an atom of a condition.
type Want uint16

const (
	// WantSucceeded is satisfied by COMPLETED, and by PREPARED, a promise that is as good.
	WantSucceeded Want = 1 << iota
	// WantFailed is satisfied by FAILED for the program's fault, and by CANCELLED.
	WantFailed
	// WantErrored is satisfied by FAILED for the system's fault (Argo's Error).
	WantErrored
	// WantSkipped is satisfied by SKIPPED.
	WantSkipped
	// WantOmitted is satisfied by OMITTED.
	WantOmitted
	// WantAnySucceeded is satisfied by a fan-out of which at least one instance is COMPLETED.
	WantAnySucceeded
	// WantAllFailed is satisfied by a fan-out of which every instance is FAILED.
	WantAllFailed
	// WantDaemoned is satisfied by a stage that was prepared and serves on.
	WantDaemoned
	// WantPlain is a plain dependency: succeeded or skipped, or what the other node's continueOn allows.
	WantPlain
)

// Depends is the condition of a node over its siblings. Without an Expr, every one of On has to satisfy WantPlain.
type Depends struct {
	// On are the indices of all nodes that the condition names, without repetition.
	On []int32 `json:"on,omitempty"`
	// Expr is the condition where it is not a plain conjunction.
	Expr *Expr `json:"expr,omitempty"`
	// Cancel is the subset of On whose failure after having prepared its data stops this node, which then waits for
	// their next attempt. For all others the promise holds.
	Cancel []int32 `json:"cancel,omitempty"`
}

// Op is the operator of an Expr.
type Op uint8

const (
	// OpAtom tests one node.
	OpAtom Op = iota
	// OpAnd is true where all of Sub are.
	OpAnd
	// OpOr is true where any of Sub is.
	OpOr
	// OpNot is true where its only Sub is false.
	OpNot
)

// Expr is a condition over the outcomes of nodes.
type Expr struct {
	Op Op `json:"op,omitempty"`
	// Node and Want are the atom's.
	Node int32   `json:"n,omitempty"`
	Want Want    `json:"w,omitempty"`
	Sub  []*Expr `json:"sub,omitempty"`
}
