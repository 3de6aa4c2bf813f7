package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/store"
)

// Errors that callers branch on.
var (
	// ErrStopping: the engine does not take requests now, because it has not started, is being stopped, or was replaced by
	// another master. The same call may succeed later, or elsewhere.
	ErrStopping = errors.New("the master is stopping")
	// ErrToken: a report carries a token that does not belong to the attempt it is about.
	ErrToken = errors.New("token does not belong to this attempt")
	// ErrNoSource: the file that would name a result cannot be read by the master.
	ErrNoSource = errors.New("cannot be read by the master")
)

// Slots bound how many stages are under way at once: launched, and neither ended nor PREPARED. 0 is no bound.
type Slots struct {
	// Global bounds all stages; Task those of one task.
	Global, Task int
	// Executor and Platform bound by the name of the executor and of the stage's platform.
	Executor, Platform map[string]int
}

// Config is what an Engine is made of. The zero value of every field but Store and Executors has a default.
type Config struct {
	// Store keeps the tasks. The engine does not close it.
	Store store.Store
	// Executors run stages, by name. The engine starts and stops them.
	Executors map[string]executors.Executor
	// Route says which executor runs the stages of a platform. It has to answer the same for as long as such stages may
	// exist. The default is "local" for all.
	Route func(platform string) string
	// Admit says of a submission with which options its task runs, and what else there is to be said of its plan where it runs. By
	// default the options are the submission's, and nothing runs on Kubernetes.
	Admit func(Admission) (options map[string]string, ds plan.Diagnostics)
	// MasterHost and MasterPort are where stage programs are told to call back.
	MasterHost string
	MasterPort int
	// Holder names this master where it takes the lead; the default is host name and process id.
	Holder string

	// Shards is the number of goroutines that own runs.
	Shards int
	// Slots are the limits of what runs at once.
	Slots Slots
	// LaunchWorkers is the number of launches and cancels that are under way at once, per executor.
	LaunchWorkers int
	// LaunchTries is how often a launch that fails is tried before the attempt fails.
	LaunchTries int
	// Backoff is the delay before a failed launch, cancel or commit is repeated; it doubles up to BackoffCap.
	Backoff, BackoffCap time.Duration
	// CommitPatience is for how long a commit is repeated while the store is unavailable; negative is without end. After that
	// the tasks that it is about are loaded again.
	CommitPatience time.Duration
	// Limits bound what plans may become; zero fields are dag.DefaultLimits.
	Limits dag.Limits
	// Retain is how long an ended task is kept where its submission does not say.
	Retain time.Duration
	// JanitorPeriod is the time between two looks for tasks to delete.
	JanitorPeriod time.Duration
	// Callbacks says per platform what stages of the CLIC form have to report.
	Callbacks map[string]dag.Callbacks
	// TokenKey is the secret that attempt tokens are made with. Without one stages get no token, and none is checked.
	TokenKey []byte
	// Forgetting is told of tasks that are about to be deleted because their time has come, while they can still be looked at. May be
	// nil.
	Forgetting func(ctx context.Context, tasks []string)
	// Forgotten is told of tasks that were deleted, from any goroutine, so that what was kept for them elsewhere goes too. A master that
	// ends in between does not tell. May be nil.
	Forgotten func(tasks []string)
	// ReadFile reads a file that a stage's command line names (bounded, below allowed directories only). Without it the
	// result path of stages of the CLIC form is not known.
	ReadFile func(path string) ([]byte, error)

	// Now is the clock; Random gives numbers in [0,1) for jitter.
	Now    func() time.Time
	Random func() float64
	Log    *slog.Logger
}

// WithDefaults gives a copy in which every field that was not set has its default.
func (c Config) WithDefaults() Config {
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	dur := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	or(&c.Shards, max(4, runtime.GOMAXPROCS(0)))
	or(&c.LaunchWorkers, 32)
	or(&c.LaunchTries, 5)
	dur(&c.Backoff, 250*time.Millisecond)
	dur(&c.BackoffCap, 15*time.Second)
	dur(&c.CommitPatience, time.Minute)
	dur(&c.Retain, 30*24*time.Hour)
	dur(&c.JanitorPeriod, time.Minute)
	if c.Route == nil {
		c.Route = func(string) string { return "local" }
	}
	if c.Holder == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		c.Holder = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Store == nil {
		bad("no store is given")
	}
	if len(c.Executors) == 0 {
		bad("no executor is given")
	}
	for name, x := range c.Executors {
		if name == "" || x == nil {
			bad("executor %q is not given", name)
		}
	}
	for name := range c.Slots.Executor {
		if _, ok := c.Executors[name]; !ok {
			bad("slots are given for executor %q, but there is %s only", name, strings.Join(c.executorNames(), ", "))
		}
	}
	for what, n := range map[string]int{
		"shards": c.Shards, "launch workers": c.LaunchWorkers, "launch tries": c.LaunchTries,
		"global slots": c.Slots.Global, "slots per task": c.Slots.Task,
	} {
		if n < 0 {
			bad("%s must not be negative, but are %d", what, n)
		}
	}
	if c.MasterPort < 0 || c.MasterPort > 65535 {
		bad("master port %d is not a port", c.MasterPort)
	}
	return errors.Join(errs...)
}

func (c Config) executorNames() []string {
	var names []string
	for name := range c.Executors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// OptionExecutor is the option of a task that names the executor of all its stages, whatever their platform.
const OptionExecutor = "executor"

// executorOf names the executor of a task's stage.
func (c *Config) executorOf(t *dag.Task, s *dag.NodeSpec) string {
	if name := t.Options[OptionExecutor]; name != "" {
		return name
	}
	return c.Route(s.Platform)
}

// Admission is a submission that is looked at before it becomes a task.
type Admission struct {
	Document *plan.Document
	// Options are the submission's, Labels those of the plan under the submission's.
	Options, Labels map[string]string
	// Diagnostics is what was said of the plan so far.
	Diagnostics plan.Diagnostics
}

func (c *Config) admit(a Admission) (map[string]string, plan.Diagnostics) {
	if c.Admit != nil {
		return c.Admit(a)
	}
	return a.Options, a.Document.Placed(a.Diagnostics, func(string) bool { return false })
}

// retain is how long a task is kept after its end.
func (c *Config) retain(t *dag.Task) dag.Duration {
	if t.Retain > 0 {
		return t.Retain
	}
	return dag.Duration(c.Retain.Milliseconds())
}
