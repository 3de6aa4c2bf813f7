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
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// listPage is how many objects are asked for at once.
const listPage = 500

// feed is one kind of objects of one namespace that is listed and watched.
type feed struct {
	name  string // "Jobs in namespace argo"
	kind  runtime.Object
	store cache.ReflectorStore
	list  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error)
	watch func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
	// tune restricts what is listed and watched.
	tune func(o *metav1.ListOptions)
	// shorten drops what is not needed of a page as soon as it is there. May be nil.
	shorten func(page runtime.Object)
	// needed: the executor cannot start without it.
	needed bool
	synced chan struct{}
	failed chan error // the first error, if it comes before synced
}

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
	api := e.client.BatchV1().Jobs(ns)
	return &feed{
		name: where("Jobs", ns), kind: &batchv1.Job{}, store: &jobStore{v: e.view, namespace: ns}, needed: true,
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) },
		watch: api.Watch,
		tune:  func(o *metav1.ListOptions) { o.LabelSelector = ours },
		shorten: func(page runtime.Object) {
			if l, ok := page.(*batchv1.JobList); ok {
				for i := range l.Items {
					l.Items[i] = *trimJob(&l.Items[i])
				}
			}
		},
	}
}

func (e *Executor) podFeed(ns, ours string) *feed {
	api := e.client.CoreV1().Pods(ns)
	return &feed{
		name: where("pods", ns), kind: &corev1.Pod{}, store: &podStore{v: e.view, namespace: ns}, needed: true,
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) },
		watch: api.Watch,
		tune:  func(o *metav1.ListOptions) { o.LabelSelector = ours },
		shorten: func(page runtime.Object) {
			if l, ok := page.(*corev1.PodList); ok {
				for i := range l.Items {
					l.Items[i] = *trimPod(&l.Items[i])
				}
			}
		},
	}
}

func (e *Executor) eventFeed(ns string) *feed {
	api := e.client.CoreV1().Events(ns)
	return &feed{
		name: where("events", ns), kind: &corev1.Event{}, store: &eventStore{v: e.view},
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return api.List(ctx, o) },
		watch: api.Watch,
		tune: func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("type", corev1.EventTypeWarning).String()
		},
		shorten: func(page runtime.Object) {
			if l, ok := page.(*corev1.EventList); ok {
				for i := range l.Items {
					it := &l.Items[i]
					l.Items[i] = corev1.Event{
						InvolvedObject: corev1.ObjectReference{Kind: it.InvolvedObject.Kind, UID: it.InvolvedObject.UID},
						Reason:         it.Reason, Message: it.Message, LastTimestamp: it.LastTimestamp,
					}
				}
			}
		},
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
	var problem error
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			f.tune(&o)
			o.ResourceVersion, o.ResourceVersionMatch = "", "" // what there is now, and not what some server remembers
			page, err := f.list(ctx, o)
			if err == nil && f.shorten != nil {
				f.shorten(page)
			}
			return page, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			f.tune(&o)
			w, err := f.watch(ctx, o)
			if err != nil && ctx.Err() == nil {
				problem = fmt.Errorf("cannot watch: %w", err)
				// Without its type: the reflector would wait for up to a minute before it tries again, and we know better.
				err = fmt.Errorf("cannot watch: %s", err.Error())
			}
			return w, err
		},
	}
	r := cache.NewReflectorWithOptions(lw, f.kind, &syncedStore{ReflectorStore: f.store, feed: f}, cache.ReflectorOptions{Name: f.name})
	r.WatchListPageSize = listPage
	r.UseWatchList = ptr(false)
	if err := r.ListAndWatchWithContext(ctx); err != nil && ctx.Err() == nil && !apierrors.IsResourceExpired(err) {
		if problem == nil {
			problem = err
		}
		return problem
	}
	return nil
}

// syncedStore says when the first list has been taken.
type syncedStore struct {
	cache.ReflectorStore
	feed *feed
}

func (s *syncedStore) Replace(list []any, version string) error {
	err := s.ReflectorStore.Replace(list, version)
	select {
	case <-s.feed.synced:
	default:
		close(s.feed.synced)
	}
	return err
}

// jobStore, podStore and eventStore put what comes into the view.
type jobStore struct {
	v         *view
	namespace string
}

func (s *jobStore) Add(o any) error    { s.v.putJob(o.(*batchv1.Job)); return nil }
func (s *jobStore) Update(o any) error { s.v.putJob(o.(*batchv1.Job)); return nil }
func (s *jobStore) Delete(o any) error { s.v.dropJob(o.(*batchv1.Job)); return nil }
func (s *jobStore) Resync() error      { return nil }

func (s *jobStore) Replace(list []any, version string) error {
	there := make(map[types.UID]bool, len(list))
	for _, o := range list {
		there[o.(*batchv1.Job).UID] = true
	}
	for _, job := range s.v.staleJobs(s.namespace, version, there) {
		s.v.dropJob(job)
	}
	for _, o := range list {
		s.v.putJob(o.(*batchv1.Job))
	}
	return nil
}

type podStore struct {
	v         *view
	namespace string
}

func (s *podStore) Add(o any) error    { s.v.putPod(o.(*corev1.Pod)); return nil }
func (s *podStore) Update(o any) error { s.v.putPod(o.(*corev1.Pod)); return nil }
func (s *podStore) Delete(o any) error { s.v.dropPod(o.(*corev1.Pod)); return nil }
func (s *podStore) Resync() error      { return nil }

func (s *podStore) Replace(list []any, version string) error {
	there := make(map[types.UID]bool, len(list))
	for _, o := range list {
		there[o.(*corev1.Pod).UID] = true
	}
	for _, pod := range s.v.stalePods(s.namespace, version, there) {
		s.v.dropPod(pod)
	}
	for _, o := range list {
		s.v.putPod(o.(*corev1.Pod))
	}
	return nil
}

type eventStore struct{ v *view }

func (s *eventStore) Add(o any) error    { s.v.warn(o.(*corev1.Event)); return nil }
func (s *eventStore) Update(o any) error { s.v.warn(o.(*corev1.Event)); return nil }
func (s *eventStore) Delete(any) error   { return nil }
func (s *eventStore) Resync() error      { return nil }

func (s *eventStore) Replace(list []any, _ string) error {
	for _, o := range list {
		s.v.warn(o.(*corev1.Event))
	}
	return nil
}
