package kube

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/clic-orchestrator/clic/executors"
)

// epochs is what is known of the leaders' epochs. The highest is kept in a ConfigMap of the cluster, so that it outlives masters, and
// so that those that were replaced hear of it.
type epochs struct {
	seen   atomic.Uint64 // the highest that anybody has told
	stored atomic.Uint64 // the highest that is known to be in the ConfigMap
	turn   chan struct{} // held by who writes the ConfigMap
}

const epochEntry = "epoch"

func (c *Config) epochMap() string { return "clic-epoch-" + c.Instance }

func raise(a *atomic.Uint64, n uint64) {
	for old := a.Load(); n > old && !a.CompareAndSwap(old, n); {
		old = a.Load()
	}
}

// stale is the error for what was decided in an epoch that is over.
func stale(epoch, now uint64) error {
	return fmt.Errorf("%w: epoch %d, and it is %d", executors.ErrStale, epoch, now)
}

// enter checks that an epoch is not over, and makes it known that it has begun.
func (e *Executor) enter(ctx context.Context, epoch uint64) error {
	if now := e.epochs.seen.Load(); epoch < now {
		return stale(epoch, now)
	}
	if epoch <= e.epochs.stored.Load() {
		return nil
	}
	select {
	case e.epochs.turn <- struct{}{}:
		defer func() { <-e.epochs.turn }()
	case <-ctx.Done():
		return ctx.Err()
	case <-e.ctx.Done():
		return executors.ErrClosed
	}
	if epoch <= e.epochs.stored.Load() {
		return e.enterStored(epoch)
	}
	if err := e.storeEpoch(ctx, epoch); err != nil {
		return fmt.Errorf("cannot write the epoch %d: %w", epoch, err)
	}
	return e.enterStored(epoch)
}

func (e *Executor) enterStored(epoch uint64) error {
	if now := e.epochs.stored.Load(); epoch < now {
		return stale(epoch, now)
	}
	return nil
}

// storeEpoch raises the epoch in the ConfigMap, and takes note of what is there where that is higher. What somebody else writes at
// the same time is read again.
func (e *Executor) storeEpoch(ctx context.Context, epoch uint64) error {
	api := e.client.ConfigMaps(e.cfg.Namespace)
	for n := 0; ; n++ {
		err := e.insist(ctx, func(ctx context.Context) error {
			m, err := api.Get(ctx, e.cfg.epochMap(), metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
				m = &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{
						Name:   e.cfg.epochMap(),
						Labels: map[string]string{labelManagedBy: managedBy, labelInstance: e.cfg.Instance},
					},
					Data: map[string]string{epochEntry: strconv.FormatUint(epoch, 10)},
				}
				m, err = api.Create(ctx, m, metav1.CreateOptions{})
			case err != nil:
			case epochIn(m) < epoch:
				if m.Data == nil {
					m.Data = map[string]string{}
				}
				m.Data[epochEntry] = strconv.FormatUint(epoch, 10)
				m, err = api.Update(ctx, m, metav1.UpdateOptions{})
			}
			if err == nil {
				e.sawEpoch(m)
			}
			return err
		})
		// Right after its start an API server may not know anybody's rights yet.
		again := apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsForbidden(err) && n < 5
		if !again {
			return err
		}
		if !e.sleep(ctx, pauseAfter(nil, n)) {
			return e.stopped(ctx)
		}
	}
}

func epochIn(m *corev1.ConfigMap) uint64 {
	n, err := strconv.ParseUint(m.Data[epochEntry], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (e *Executor) sawEpoch(m *corev1.ConfigMap) {
	n := epochIn(m)
	raise(&e.epochs.stored, n)
	raise(&e.epochs.seen, n)
}

func (e *Executor) epochFeed() *feed {
	blank := func() object { return &corev1.ConfigMap{} }
	trim := func(o metav1.Object) metav1.Object { return o }
	return &feed{
		name: "the epoch in ConfigMap " + keyOf(e.cfg.Namespace, e.cfg.epochMap()), needed: true,
		namespace: e.cfg.Namespace, resource: "configmaps",
		fields: fields.OneTermEqualSelector(metav1.ObjectNameField, e.cfg.epochMap()).String(),
		lists:  e.client.Core, watches: e.streams.Core, parameters: e.client.Parameters,
		read: wholly(blank, trim), blank: blank, trim: trim, store: &epochStore{e},
	}
}

// epochStore hears of higher epochs.
type epochStore struct{ e *Executor }

func (s *epochStore) put(o metav1.Object) { s.e.sawEpoch(o.(*corev1.ConfigMap)) }
func (s *epochStore) drop(metav1.Object)  {}

func (s *epochStore) replace(all []metav1.Object, _ string) {
	for _, o := range all {
		s.put(o)
	}
}
