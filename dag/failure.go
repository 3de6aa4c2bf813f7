package dag

import (
	"fmt"
	"strings"
)

// FailureKind says in what way an attempt ended badly. Retry policies choose by it.
type FailureKind uint8

const (
	// FailExit: the program ended with a status other than 0.
	FailExit FailureKind = iota + 1
	// FailReported: the stage itself reported that it failed.
	FailReported
	// FailUnreported: a stage of the CLIC form ended without reporting its completion.
	FailUnreported
	// FailOutput: the program ended well but a declared output is missing or unreadable.
	FailOutput
	// FailOOM: the system killed the attempt for want of memory.
	FailOOM
	// FailTimeout: the attempt ran past its deadline, or the task past its own.
	FailTimeout
	// FailEvicted: the system took the attempt's place away (eviction, preemption, node drain).
	FailEvicted
	// FailLost: the executor cannot find the attempt any more.
	FailLost
	// FailLaunch: the attempt could not be started.
	FailLaunch
	// FailPlan: what the plan says could not be evaluated at run time (a condition, a loop, an output).
	FailPlan
	// FailChild: something inside the group failed.
	FailChild
	// FailUpstream: the attempt was stopped because a stage it read from failed after it had prepared its data.
	FailUpstream

	numFailureKinds = int(FailUpstream) + 1
)

var failureNames = [numFailureKinds]string{
	"", "exit", "reported", "unreported", "output", "oom", "timeout", "evicted", "lost", "launch", "plan", "child", "upstream",
}

// String is the kind's name in plans, configuration and output.
func (k FailureKind) String() string {
	if int(k) < numFailureKinds {
		return failureNames[k]
	}
	return fmt.Sprintf("failure(%d)", uint8(k))
}

// ParseFailureKind is the inverse of String.
func ParseFailureKind(name string) (FailureKind, error) {
	for i, n := range failureNames {
		if n == name && i > 0 {
			return FailureKind(i), nil
		}
	}
	return 0, fmt.Errorf("unknown failure kind %q (one of %s)", name, strings.Join(failureNames[1:], ", "))
}

// MarshalText gives the name.
func (k FailureKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the name.
func (k *FailureKind) UnmarshalText(b []byte) error {
	v, err := ParseFailureKind(string(b))
	if err == nil {
		*k = v
	}
	return err
}

// Failure is why an attempt or a node failed.
type Failure struct {
	Kind FailureKind `json:"kind"`
	// ExitCode is the program's exit status; 128+n after signal n; 0 where there was none.
	ExitCode int    `json:"exit,omitempty"`
	Message  string `json:"msg,omitempty"`
	// Errored marks what Argo calls Error rather than Failed: the system's fault, not the program's.
	Errored bool `json:"err,omitempty"`
	// Permanent marks a failure that repeating cannot mend, so that it is not repeated by itself.
	Permanent bool `json:"perm,omitempty"`
	// Child is 1 + the index of the node inside the group that made it fail (FailChild); 0 where there is none.
	Child int32 `json:"child,omitempty"`
}

// Errored reports whether Argo's language calls a failure of this kind Error. Groups pass on what their children had.
func (k FailureKind) Errored() bool {
	switch k {
	case FailOutput, FailEvicted, FailLost, FailLaunch, FailPlan:
		return true
	}
	return false
}

// NewFailure makes a failure whose Errored mark follows from its kind.
func NewFailure(kind FailureKind, exit int, message string) *Failure {
	return &Failure{Kind: kind, ExitCode: exit, Message: message, Errored: kind.Errored()}
}
