package dag

// Task is the record of a run as a whole: what does not belong to one node.
type Task struct {
	// Name is the full name: the plan's name and a random suffix.
	Name     string            `json:"name"`
	Plan     string            `json:"plan"`
	Form     Form              `json:"form,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
	Priority int32             `json:"prio,omitempty"`

	Status  TaskStatus `json:"st"`
	Message string     `json:"msg,omitempty"`
	// Submitted, Started and Ended are the moments of the contract's submit_time, start_time, complete_time.
	Submitted Time `json:"submit"`
	Started   Time `json:"start,omitempty"`
	Ended     Time `json:"end,omitempty"`

	Timeout     Duration `json:"timeout,omitempty"`
	Parallelism int32    `json:"par,omitempty"`
	// Due is when the deadline is over, once the task has started.
	Due      Time   `json:"due,omitempty"`
	Limits   Limits `json:"limits,omitzero"`
	OnExit   bool   `json:"onexit,omitempty"`
	ExitNode int32  `json:"exitnode,omitempty"` // index of the exit handler; 0 while there is none

	// Stop is set once somebody cancelled the task or its deadline passed.
	Stop *Stop `json:"stop,omitempty"`
	// Holds are the holds in force, by id.
	Holds    []Hold `json:"holds,omitempty"`
	LastHold int64  `json:"lasthold,omitempty"`
	// Globals are output parameters that stages made known to the whole task.
	Globals map[string]string `json:"globals,omitempty"`
	// Nodes is the number of nodes; Stages the number of stages; Counts the stages per status.
	Nodes  int32              `json:"nodes"`
	Stages int32              `json:"stages"`
	Counts [numStatuses]int32 `json:"counts"`
	// Seq counts the steps that changed something.
	Seq uint64 `json:"seq,omitempty"`

	// The rest is the submitter's and the engine's; the core keeps it and never looks.

	// Owner is who submitted; Request is the idempotency key of the submission.
	Owner   string `json:"owner,omitempty"`
	Request string `json:"req,omitempty"`
	// Namespace and Options are for executors.
	Options map[string]string `json:"opts,omitempty"`
	// Retain is how long the task is kept after its end.
	Retain Duration `json:"retain,omitempty"`
}

// Stop is why a whole task is being ended.
type Stop struct {
	At       Time   `json:"at"`
	Who      string `json:"who,omitempty"`
	Why      string `json:"why,omitempty"`
	Handlers bool   `json:"handlers,omitempty"`
	// Timeout is set where the task's deadline did it.
	Timeout bool `json:"timeout,omitempty"`
}

// Progress is the number of stages that have ended, and the number of all.
func (t *Task) Progress() (done, total int32) {
	for s, n := range t.Counts {
		if Status(s).Terminal() {
			done += n
		}
	}
	return done, t.Stages
}
