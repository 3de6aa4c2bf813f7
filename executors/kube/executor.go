package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/executors/kubeapi"
)

// Executor runs attempts as Jobs of a cluster. It implements executors.Executor and executors.Pauser.
//
// Everything that is known of the cluster is in the view, which a list and a watch of each kind keep up to date. What changes there is
// queued by Job, and a few workers look at what is queued: so work is in proportion to what changed, and one attempt is looked at by
// one worker at a time.
type Executor struct {
	cfg    Config
	client *kubeapi.Client
	// streams is what watches are asked of.
	streams *kubeapi.Client
	view    *view
	epochs  epochs
	// logs keeps logs of attempts that have ended; nil: nobody does.
	logs kubeconf.LogArchive
	// slots bounds the Jobs that are created at the same time.
	slots chan struct{}

	mu      sync.Mutex
	started bool
	closed  bool
	// attempts are those whose end was not reported yet, by Job.
	attempts map[string]*attempt
	// own is the epoch in which this executor leads; 0 before Recover.
	own uint64
	// orphans are Jobs to be deleted, which nobody asked for. The UID is that of the Job.
	orphans map[string]string
	// lingering are Jobs that Recover was not asked for, and until when they may end by themselves: a stage may have reported its
	// end, and its task be over, while its program still does.
	lingering map[string]time.Time
	// spared are Jobs that Recover was asked for. One that was lost may still come, from the leader before, and is then what the
	// launch that follows adopts.
	spared map[string]bool

	parked parking
	losses losses
	sink   executors.Sink
	news   workqueue.TypedDelayingInterface[string]
	movers movers
	chores workqueue.TypedRateLimitingInterface[chore]
	ctx    context.Context //nolint:containedctx // the life of what Start starts
	cancel context.CancelFunc
	work   sync.WaitGroup
}

var (
	_ executors.Executor = (*Executor)(nil)
	_ executors.Pauser   = (*Executor)(nil)
)

// workers is how many goroutines look at what changed. More than one only so that a sink that blocks for one attempt does not stop
// everything.
const workers = 4

// choreWorkers is how many goroutines do what is not urgent: deletions of what nobody asked for, archiving.
const choreWorkers = 4

// New makes an executor. It does not reach for the cluster before Start.
func New(c Config) (*Executor, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot configure the Kubernetes executor: %w", err)
	}
	logs, err := kubeconf.Config(c).Logs()
	if err != nil {
		return nil, fmt.Errorf("cannot configure the Kubernetes executor: %w", err)
	}
	client, streams, err := c.connect()
	if err != nil {
		return nil, fmt.Errorf("cannot configure the Kubernetes executor: %w", err)
	}
	e := &Executor{
		cfg: c, client: client, streams: streams, view: newView(), logs: logs, slots: make(chan struct{}, c.Parallel),
		attempts: map[string]*attempt{}, orphans: map[string]string{}, lingering: map[string]time.Time{},
		spared: map[string]bool{},
		news:   workqueue.NewTypedDelayingQueue[string](),
		chores: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[chore](200*time.Millisecond, 30*time.Second)),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.epochs.turn = make(chan struct{}, 1)
	e.view.changed, e.view.moved = e.news.Add, e.movers.add
	e.movers.tell = e.news.Add
	e.view.lostPod = e.lostPod
	return e, nil
}

// startPatience is how long Start waits for the cluster.
const startPatience = 2 * time.Minute

// Start lists what there is in the cluster, and watches it from then on. It gives an error if the cluster cannot be reached or does not
// let us.
func (e *Executor) Start(ctx context.Context, sink executors.Sink) error {
	e.mu.Lock()
	switch {
	case e.closed:
		e.mu.Unlock()
		return executors.ErrClosed
	case e.started:
		e.mu.Unlock()
		return nil
	}
	e.started, e.sink = true, sink
	feeds := e.feeds()
	for _, f := range feeds {
		e.work.Go(func() { e.follow(f) })
	}
	e.mu.Unlock()
	if err := e.awaitFeeds(ctx, feeds); err != nil {
		return fmt.Errorf("cannot start the Kubernetes executor: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return executors.ErrClosed
	}
	for range workers {
		e.work.Go(e.report)
	}
	for range choreWorkers {
		e.work.Go(e.doChores)
	}
	return nil
}

func (e *Executor) awaitFeeds(ctx context.Context, feeds []*feed) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for _, f := range feeds {
		if !f.needed {
			continue
		}
		var last error
		for synced := false; !synced; {
			select {
			case <-f.synced:
				synced = true
			case last = <-f.failed:
				if apierrors.IsForbidden(last) || apierrors.IsUnauthorized(last) || apierrors.IsNotFound(last) {
					return fmt.Errorf("cannot read %s: %w", f.name, last)
				}
			case <-ctx.Done():
				return fmt.Errorf("cannot read %s: %w", f.name, errors.Join(ctx.Err(), last))
			case <-e.ctx.Done():
				return executors.ErrClosed
			}
		}
	}
	return nil
}

// Stop ends watching. Attempts run on.
func (e *Executor) Stop(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.cancel()
	e.news.ShutDown()
	e.chores.ShutDown()
	e.mu.Unlock()
	e.movers.stop()
	e.parked.clear()
	done := make(chan struct{})
	go func() {
		e.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		e.client.Close()
		e.streams.Close()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot stop the Kubernetes executor in time: %w", ctx.Err())
	}
}

// stopped is why there is no point in going on.
func (e *Executor) stopped(ctx context.Context) error {
	if e.ctx.Err() != nil {
		return executors.ErrClosed
	}
	return ctx.Err()
}

func (e *Executor) alive() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return executors.ErrClosed
	case !e.started:
		return errors.New("the Kubernetes executor was not started")
	}
	return nil
}

// lostPod keeps the last that was seen of a pod of an attempt that is watched.
func (e *Executor) lostPod(key string, pod *corev1.Pod) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := e.attempts[key]; at != nil && (at.uid == "" || ownerUID(pod) == at.uid) {
		at.gone = pod
	}
}

// anyNamespace reports whether plans may choose any namespace.
func (c *Config) anyNamespace() bool { return slices.Contains(c.Namespaces, AnyNamespace) }

// namespaces are those in which there can be Jobs of ours.
func (c *Config) namespaces() []string {
	all := append([]string{c.Namespace}, c.Namespaces...)
	slices.Sort(all)
	return slices.Compact(all)
}

// quieter passes on what is worth to be seen of the library's own messages.
type quieter struct{ slog.Handler }

func (q quieter) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}
