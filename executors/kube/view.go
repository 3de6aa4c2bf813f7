package kube

import (
	"strconv"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// view is what is known of the cluster: our Jobs, their pods, and the last warning about each. It holds of every object only what
// sight needs. Jobs are known by "namespace/name", and so is everything that belongs to them.
type view struct {
	mu       sync.RWMutex
	jobs     map[string]*batchv1.Job
	pods     map[string]map[string]*corev1.Pod // by Job, then by name
	attempts map[string]string                 // Jobs by attempt id
	owners   map[types.UID]string              // Jobs by the UID of themselves and of their pods
	warnings map[types.UID]warning

	// changed is called with the Job about which something changed, and moved where that is only how far a pod has come that goes on;
	// lostPod is called with the last that was seen of a pod that is gone. None is called with the lock held.
	changed func(key string)
	moved   func(key string)
	lostPod func(key string, pod *corev1.Pod)
}

func newView() *view {
	return &view{
		jobs: map[string]*batchv1.Job{}, pods: map[string]map[string]*corev1.Pod{}, attempts: map[string]string{},
		owners: map[types.UID]string{}, warnings: map[types.UID]warning{},
	}
}

func keyOf(namespace, name string) string { return namespace + "/" + name }

// ownerKey is the Job of a pod; "" for a pod that is none of a Job's.
func ownerKey(pod *corev1.Pod) string {
	if name := pod.Labels[batchv1.JobNameLabel]; name != "" {
		return keyOf(pod.Namespace, name)
	}
	return ""
}

// putJob takes a Job as it is, or was: news may come late, behind what an answer has told already.
func (v *view) putJob(job *batchv1.Job) { v.keepJob(trimJob(job)) }

// keepJob is putJob for a Job of which nothing is left but what is needed. It belongs to the view from then on.
func (v *view) keepJob(job *batchv1.Job) {
	key := keyOf(job.Namespace, job.Name)
	v.mu.Lock()
	old := v.jobs[key]
	if old != nil && old.UID == job.UID && !newer(job, old) {
		v.mu.Unlock()
		return
	}
	if old != nil && old.UID != job.UID {
		v.dropOwner(old.UID)
	}
	news := old == nil || old.UID != job.UID || !sameJob(old, job)
	v.jobs[key] = job
	v.owners[job.UID] = key
	v.attempts[job.Annotations[annotationAttempt]] = key
	v.mu.Unlock()
	if news {
		v.changed(key)
	}
}

// newer reports whether a is another and no older version than b. Versions are numbers, which only grow.
func newer(a, b metav1.Object) bool {
	if a.GetResourceVersion() == b.GetResourceVersion() {
		return false
	}
	return versionAfter(a.GetResourceVersion(), b.GetResourceVersion())
}

func versionAfter(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX != nil || errY != nil || x > y
}

func (v *view) dropJob(job *batchv1.Job) {
	key := keyOf(job.Namespace, job.Name)
	v.mu.Lock()
	old := v.jobs[key]
	known := old != nil && old.UID == job.UID
	if known {
		v.dropOwner(old.UID)
		delete(v.jobs, key)
		if id := old.Annotations[annotationAttempt]; v.attempts[id] == key {
			delete(v.attempts, id)
		}
	}
	v.mu.Unlock()
	if known {
		v.changed(key)
	}
}

func (v *view) dropOwner(uid types.UID) {
	delete(v.owners, uid)
	delete(v.warnings, uid)
}

func (v *view) putPod(pod *corev1.Pod) { v.keepPod(trimPod(pod)) }

// keepPod is putPod for a pod of which nothing is left but what is needed. It belongs to the view from then on.
func (v *view) keepPod(pod *corev1.Pod) {
	key := ownerKey(pod)
	if key == "" {
		return
	}
	v.mu.Lock()
	pods := v.pods[key]
	old := pods[pod.Name]
	if old != nil && old.UID == pod.UID && !newer(pod, old) {
		v.mu.Unlock()
		return
	}
	if pods == nil {
		pods = make(map[string]*corev1.Pod, 1)
		v.pods[key] = pods
	}
	pod = carry(pod, old)
	news := old == nil || old.UID != pod.UID || !samePod(old, pod)
	pods[pod.Name] = pod
	v.owners[pod.UID] = key
	v.mu.Unlock()
	switch {
	case !news:
	case pod.DeletionTimestamp == nil && !ended(pod) && mainEnd(pod) == nil:
		v.moved(key)
	default:
		v.changed(key)
	}
}

// dropPod takes note that a pod is gone; pod is the last that was seen of it.
func (v *view) dropPod(pod *corev1.Pod) {
	key := ownerKey(pod)
	v.mu.Lock()
	pods := v.pods[key]
	old := pods[pod.Name]
	known := old != nil && old.UID == pod.UID
	if known {
		delete(pods, pod.Name)
		if len(pods) == 0 {
			delete(v.pods, key)
		}
		v.dropOwner(pod.UID)
	}
	v.mu.Unlock()
	if known {
		v.lostPod(key, carry(trimPod(pod), old))
		v.changed(key)
	}
}

// carry keeps when the deletion of a pod was asked for: once its programs have ended, the last step of the deletion puts another time.
func carry(pod, before *corev1.Pod) *corev1.Pod {
	if before != nil && before.UID == pod.UID && before.DeletionTimestamp != nil {
		pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = before.DeletionTimestamp, before.DeletionGracePeriodSeconds
	}
	return pod
}

// warn takes an event, if it is about one of ours.
func (v *view) warn(event *corev1.Event) {
	w := warning{Kind: event.InvolvedObject.Kind, Reason: event.Reason, Message: event.Message}
	if !telling(w.Reason) {
		return
	}
	w.Message = line(w.Message)
	v.mu.Lock()
	key, ours := v.owners[event.InvolvedObject.UID]
	news := ours && v.warnings[event.InvolvedObject.UID] != w
	if news {
		v.warnings[event.InvolvedObject.UID] = w
	}
	v.mu.Unlock()
	if news {
		v.changed(key)
	}
}

// telling reports whether an event says why something is pending that its object's own state does not.
func telling(reason string) bool {
	switch reason {
	case "FailedCreate", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox":
		return true
	}
	return false
}

// look gives what is known of a Job. Where the Job is gone, uid is the one whose pods are asked for.
func (v *view) look(key string, uid types.UID) (job *batchv1.Job, pods []*corev1.Pod, events []warning) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if job = v.jobs[key]; job != nil {
		uid = job.UID
	}
	if w, ok := v.warnings[uid]; ok {
		events = append(events, w)
	}
	for _, pod := range v.pods[key] {
		if uid != "" && ownerUID(pod) != uid {
			continue
		}
		pods = append(pods, pod)
		if w, ok := v.warnings[pod.UID]; ok {
			events = append(events, w)
		}
	}
	return job, pods, events
}

func (v *view) job(key string) *batchv1.Job {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.jobs[key]
}

// find gives the Job of an attempt by its id.
func (v *view) find(attemptID string) (string, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	key, ok := v.attempts[attemptID]
	return key, ok
}

// each calls f for every Job, with the lock held.
func (v *view) each(f func(key string, job *batchv1.Job)) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for key, job := range v.jobs {
		f(key, job)
	}
}

// staleJobs gives the Jobs of a namespace ("" is all) that are not in a list of what there was at a version. What was made since is
// not stale.
func (v *view) staleJobs(namespace, version string, there map[types.UID]bool) (gone []*batchv1.Job) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, job := range v.jobs {
		if (namespace == "" || job.Namespace == namespace) && !there[job.UID] && !versionAfter(job.ResourceVersion, version) {
			gone = append(gone, job)
		}
	}
	return gone
}

// stalePods is the same for pods.
func (v *view) stalePods(namespace, version string, there map[types.UID]bool) (gone []*corev1.Pod) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, pods := range v.pods {
		for _, pod := range pods {
			if (namespace == "" || pod.Namespace == namespace) && !there[pod.UID] && !versionAfter(pod.ResourceVersion, version) {
				gone = append(gone, pod)
			}
		}
	}
	return gone
}

func ownerUID(o metav1.Object) types.UID {
	if owner := metav1.GetControllerOfNoCopy(o); owner != nil {
		return owner.UID
	}
	return ""
}
