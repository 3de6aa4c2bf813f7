package dag

import (
	"fmt"
	"strings"
)

// Status is where a node stands. The names that [Status.String] gives are part of the wire contract.
type Status uint8

const (
	// Waiting: the node was not launched yet. It waits for its dependencies, a limit or a free slot.
	Waiting Status = iota
	// Launching: the decision to launch the current attempt is made; the executor may or may not have acted on it.
	Launching
	// Running: the attempt (or, for a group, something in it) has started.
	Running
	// Prepared: the stage runs on, but its output is durable and readable, so dependents may start.
	Prepared
	// Completed: the node ended well. Terminal.
	Completed
	// Failed: the node ended badly and no retry is left. Terminal until somebody retries the task.
	Failed
	// Suspended: the node carries at least one hold and is not launched. On the wire: SUSPEND.
	Suspended
	// Retrying: an attempt ended badly and the next one is due at the node's RetryAt.
	Retrying
	// Cancelling: the attempt is to be stopped; its end was not seen yet.
	Cancelling
	// Cancelled: somebody cancelled the node. Terminal until somebody retries the task.
	Cancelled
	// Skipped: the node's condition was false, or somebody skipped it. Terminal.
	Skipped
	// Omitted: the node can never run, because what it depends on ended otherwise. Terminal.
	Omitted

	numStatuses = int(Omitted) + 1
)

var statusNames = [numStatuses]string{
	"WAITING", "LAUNCHING", "RUNNING", "PREPARED", "COMPLETED", "FAILED",
	"SUSPEND", "RETRYING", "CANCELLING", "CANCELLED", "SKIPPED", "OMITTED",
}

// Statuses lists every status in its defined order.
func Statuses() []Status {
	all := make([]Status, numStatuses)
	for i := range all {
		all[i] = Status(i)
	}
	return all
}

// String is the status's name on the wire.
func (s Status) String() string {
	if int(s) < numStatuses {
		return statusNames[s]
	}
	return fmt.Sprintf("STATUS(%d)", uint8(s))
}

// ParseStatus is the inverse of String; letter case does not matter.
func ParseStatus(name string) (Status, error) {
	for i, n := range statusNames {
		if strings.EqualFold(n, name) {
			return Status(i), nil
		}
	}
	return 0, fmt.Errorf("unknown stage status %q (one of %s)", name, strings.Join(statusNames[:], ", "))
}

// Terminal reports whether nothing more happens to a node of this status by itself.
func (s Status) Terminal() bool {
	switch s {
	case Completed, Failed, Cancelled, Skipped, Omitted:
		return true
	}
	return false
}

// Active reports whether an attempt of the current launch may exist outside.
func (s Status) Active() bool {
	switch s {
	case Launching, Running, Prepared, Cancelling:
		return true
	}
	return false
}

// Launchable reports whether the node was not launched in its current attempt, so that a hold may still stop it.
func (s Status) Launchable() bool {
	return s == Waiting || s == Retrying || s == Suspended
}

// MarshalText gives the wire name.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the wire name.
func (s *Status) UnmarshalText(b []byte) error {
	v, err := ParseStatus(string(b))
	if err == nil {
		*s = v
	}
	return err
}

// TaskStatus is where a whole task stands.
type TaskStatus uint8

const (
	// TaskNew: submitted, nothing of it has been launched yet.
	TaskNew TaskStatus = iota
	// TaskRunning: something of it was launched and something is left.
	TaskRunning
	// TaskSuspended: nothing runs, and everything that is left is held.
	TaskSuspended
	// TaskCompleted: ended well. Terminal.
	TaskCompleted
	// TaskFailed: ended badly. Terminal until it is retried.
	TaskFailed
	// TaskCancelled: somebody cancelled it. Terminal until it is retried.
	TaskCancelled

	numTaskStatuses = int(TaskCancelled) + 1
)

var taskStatusNames = [numTaskStatuses]string{"NEW", "RUNNING", "SUSPENDED", "COMPLETED", "FAILED", "CANCELLED"}

// TaskStatuses lists every task status in its defined order.
func TaskStatuses() []TaskStatus {
	all := make([]TaskStatus, numTaskStatuses)
	for i := range all {
		all[i] = TaskStatus(i)
	}
	return all
}

// String is the status's name on the wire.
func (s TaskStatus) String() string {
	if int(s) < numTaskStatuses {
		return taskStatusNames[s]
	}
	return fmt.Sprintf("TASK_STATUS(%d)", uint8(s))
}

// ParseTaskStatus is the inverse of String; letter case does not matter.
func ParseTaskStatus(name string) (TaskStatus, error) {
	for i, n := range taskStatusNames {
		if strings.EqualFold(n, name) {
			return TaskStatus(i), nil
		}
	}
	return 0, fmt.Errorf("unknown task status %q (one of %s)", name, strings.Join(taskStatusNames[:], ", "))
}

// Terminal reports whether nothing more happens to the task by itself.
func (s TaskStatus) Terminal() bool {
	return s == TaskCompleted || s == TaskFailed || s == TaskCancelled
}

// MarshalText gives the wire name.
func (s TaskStatus) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the wire name.
func (s *TaskStatus) UnmarshalText(b []byte) error {
	v, err := ParseTaskStatus(string(b))
	if err == nil {
		*s = v
	}
	return err
}
