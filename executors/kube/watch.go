package kube

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// feed is one kind of objects of one namespace that is listed and watched.
type feed struct {
	name string // "Jobs in namespace argo"
	// namespace ("" is all), resource and selectors say what is asked for.
	namespace, resource string
	labels, fields      string
	// lists and watches are who is asked, parameters encodes for what.
	lists, watches rest.Interface
	parameters     runtime.ParameterCodec
	// read takes out of protobuf what is needed of an object. blank and trim do the same with the library's own decoding.
	read  func(raw []byte) (metav1.Object, error)
	blank func() object
	trim  func(o metav1.Object) metav1.Object
	store store
	// pace is how its watch is read; nil: as it comes.
	pace *pace
	// needed: the executor cannot start without it.
	needed bool
	synced chan struct{}
	failed chan error // the first error, if it comes before synced
}

// store takes what a feed brings.
type store interface {
	put(o metav1.Object)
	// drop takes the last that was to be seen of something that is gone.
	drop(o metav1.Object)
	// replace takes all that there is at a version.
	replace(all []metav1.Object, version string)
}

// gulps are for what the cluster says of Jobs. What is urgent, how programs begin and end, it says of their pods, which are read in sips
// where there are many.
const (
	gulp = 100 * time.Millisecond
	sip  = 10 * time.Millisecond
)

func (e *Executor) feeds() []*feed {
	namespaces := []string{metav1.NamespaceAll}
	if !e.cfg.anyNamespace() {
		namespaces = e.cfg.namespaces()
	}
	ours := labels.SelectorFromSet(labels.Set{labelInstance: e.cfg.Instance}).String()
	all := []*feed{e.epochFeed()}
	for _, ns := range namespaces {
		all = append(all, e.jobFeed(ns, ours), e.podFeed(ns, ours), e.eventFeed(ns))
	}
	for _, f := range all {
		f.synced, f.failed = make(chan struct{}), make(chan error, 1)
	}
	return all
}

func where(kind, namespace string) string {
	if namespace == "" {
		return kind + " in all namespaces"
	}
	return fmt.Sprintf("%s in namespace %s", kind, namespace)
}

func (e *Executor) jobFeed(ns, ours string) *feed {
	trim := func(o metav1.Object) metav1.Object { return trimJob(o.(*batchv1.Job)) }
	return &feed{
		name: where("Jobs", ns), namespace: ns, resource: "jobs", labels: ours, needed: true, pace: &pace{pause: gulp},
		lists: e.client.Batch, watches: e.streams.Batch, parameters: e.client.Parameters,
		read:  func(raw []byte) (metav1.Object, error) { return readJob(raw) },
		blank: func() object { return &batchv1.Job{} }, trim: trim, store: &jobStore{v: e.view, namespace: ns},
	}
}

func (e *Executor) podFeed(ns, ours string) *feed {
	trim := func(o metav1.Object) metav1.Object { return trimPod(o.(*corev1.Pod)) }
	return &feed{
		name: where("pods", ns), namespace: ns, resource: "pods", labels: ours, needed: true, pace: &pace{pause: sip, spare: 16, crowd: e.underWay},
		lists: e.client.Core, watches: e.streams.Core, parameters: e.client.Parameters,
		read:  func(raw []byte) (metav1.Object, error) { return readPod(raw) },
		blank: func() object { return &corev1.Pod{} }, trim: trim, store: &podStore{v: e.view, namespace: ns},
	}
}

func (e *Executor) eventFeed(ns string) *feed {
	trim := func(o metav1.Object) metav1.Object { return trimEvent(o.(*corev1.Event)) }
	return &feed{
		name: where("events", ns), namespace: ns, resource: "events",
		fields: fields.OneTermEqualSelector("type", corev1.EventTypeWarning).String(),
		lists:  e.client.Core, watches: e.streams.Core, parameters: e.client.Parameters,
		read: wholly(func() object { return &corev1.Event{} }, trim), blank: func() object { return &corev1.Event{} }, trim: trim,
		store: &eventStore{v: e.view}, pace: &pace{pause: gulp},
	}
}

// wholly reads what there is little of, or not often.
func wholly(blank func() object, trim func(o metav1.Object) metav1.Object) func(raw []byte) (metav1.Object, error) {
	return func(raw []byte) (metav1.Object, error) {
		o := blank()
		if err := o.Unmarshal(raw); err != nil {
			return nil, err
		}
		return trim(o), nil
	}
}

// follow keeps a feed up to date until the executor stops. It lists everything anew every Resync, and whenever a watch ends with an
// error, so that what a watch has missed is not missed for long.
func (e *Executor) follow(f *feed) {
	ctx := klog.NewContext(e.ctx, logr.FromSlogHandler(quieter{e.cfg.Logger.Handler()}))
	for n := 0; ; n++ {
		// Not all feeds, and not all masters, at the same time.
		period := time.Duration((0.8 + 0.4*rand.Float64()) * float64(e.cfg.Resync))
		began := time.Now()
		err := e.followOnce(ctx, f, period)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e.losses.note(f, err)
			select {
			case f.failed <- err:
			default:
			}
			level := slog.LevelWarn
			if n > 0 { // once is enough, for as long as it lasts
				level = slog.LevelDebug
			}
			e.cfg.Logger.Log(ctx, level, "cannot follow the cluster", "what", f.name, "error", err)
		}
		if time.Since(began) > time.Minute {
			n = 0
		}
		if err != nil && !e.sleep(ctx, pauseAfter(err, n)) {
			return
		}
	}
}

// followOnce lists once, and watches for a period or until an error.
func (e *Executor) followOnce(ctx context.Context, f *feed, period time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, period)
	defer cancel()
	all, version, err := f.list(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("cannot list: %w", err)
	}
	f.store.replace(all, version)
	e.losses.note(f, nil)
	select {
	case <-f.synced:
	default:
		close(f.synced)
	}
	for first := version; ctx.Err() == nil; {
		version, err = f.watch(ctx, version)
		switch {
		case err == nil:
		case (apierrors.IsResourceExpired(err) || apierrors.IsGone(err)) && version != first:
			return nil // it was left too far behind, and has to be listed anew
		case ctx.Err() == nil:
			return fmt.Errorf("cannot watch: %w", err)
		}
	}
	return nil
}

// jobStore, podStore and eventStore put what comes into the view.
type jobStore struct {
	v         *view
	namespace string
}

func (s *jobStore) put(o metav1.Object)  { s.v.keepJob(o.(*batchv1.Job)) }
func (s *jobStore) drop(o metav1.Object) { s.v.dropJob(o.(*batchv1.Job)) }

func (s *jobStore) replace(all []metav1.Object, version string) {
	there := make(map[types.UID]bool, len(all))
	for _, o := range all {
		there[o.GetUID()] = true
	}
	for _, job := range s.v.staleJobs(s.namespace, version, there) {
		s.v.dropJob(job)
	}
	for _, o := range all {
		s.put(o)
	}
}

type podStore struct {
	v         *view
	namespace string
}

func (s *podStore) put(o metav1.Object)  { s.v.keepPod(o.(*corev1.Pod)) }
func (s *podStore) drop(o metav1.Object) { s.v.dropPod(o.(*corev1.Pod)) }

func (s *podStore) replace(all []metav1.Object, version string) {
	there := make(map[types.UID]bool, len(all))
	for _, o := range all {
		there[o.GetUID()] = true
	}
	for _, pod := range s.v.stalePods(s.namespace, version, there) {
		s.v.dropPod(pod)
	}
	for _, o := range all {
		s.put(o)
	}
}

type eventStore struct{ v *view }

func (s *eventStore) put(o metav1.Object) { s.v.warn(o.(*corev1.Event)) }
func (s *eventStore) drop(metav1.Object)  {}

func (s *eventStore) replace(all []metav1.Object, _ string) {
	for _, o := range all {
		s.put(o)
	}
}
