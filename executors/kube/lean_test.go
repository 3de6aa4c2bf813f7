package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

type marshaler interface{ Marshal() ([]byte, error) }

func protobufOf(t testing.TB, o marshaler) []byte {
	t.Helper()
	raw, err := o.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// seen are the objects that the tests with a real cluster have recorded, and Jobs as they are sent there.
func seen(t testing.TB) (jobs []*batchv1.Job, pods []*corev1.Pod) {
	t.Helper()
	scenes, err := filepath.Glob(filepath.Join("testdata", "seen", "*.yaml"))
	if err != nil || len(scenes) == 0 {
		t.Fatal(scenes, err)
	}
	for _, path := range scenes {
		var s scene
		readYAML(t, path, &s)
		if s.Job != nil {
			jobs = append(jobs, s.Job)
		}
		for i := range s.Pods {
			pods = append(pods, &s.Pods[i])
		}
	}
	golden, err := filepath.Glob(filepath.Join("testdata", "jobs", "*.yaml"))
	if err != nil || len(golden) == 0 {
		t.Fatal(golden, err)
	}
	for _, path := range golden {
		job := &batchv1.Job{}
		readYAML(t, path, job)
		jobs = append(jobs, job)
		pods = append(pods, &corev1.Pod{ObjectMeta: job.Spec.Template.ObjectMeta, Spec: job.Spec.Template.Spec})
	}
	return jobs, pods
}

func readYAML(t testing.TB, path string, to any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(path, err)
	}
}

// What is read the short way is what the library reads, as far as it is kept.
func TestReadsWhatTheLibraryReads(t *testing.T) {
	jobs, pods := seen(t)
	for _, job := range jobs {
		sameJobRead(t, protobufOf(t, job), true)
	}
	for _, pod := range pods {
		samePodRead(t, protobufOf(t, pod), true)
	}
}

// sameJobRead reads a Job both ways. Where the library cannot read it, anything but a panic is right; where only the library can, it is
// asked.
func sameJobRead(t *testing.T, raw []byte, must bool) {
	t.Helper()
	var whole batchv1.Job
	short, err := readJob(raw)
	if must && err != nil {
		t.Fatal(err)
	}
	if whole.Unmarshal(raw) != nil || err != nil {
		return
	}
	if diff := cmp.Diff(trimJob(&whole), short); diff != "" {
		t.Fatal(diff)
	}
}

func samePodRead(t *testing.T, raw []byte, must bool) {
	t.Helper()
	var whole corev1.Pod
	short, err := readPod(raw)
	if must && err != nil {
		t.Fatal(err)
	}
	if whole.Unmarshal(raw) != nil || err != nil {
		return
	}
	if diff := cmp.Diff(trimPod(&whole), short); diff != "" {
		t.Fatal(diff)
	}
}

// seedEvery leaves out most of the objects that fuzzing could begin with: they are much alike, and each has to be run, slowly, before
// anything new is tried.
const seedEvery = 4

// Whatever comes: no panic, and nothing that the library would read otherwise.
func FuzzReadJob(f *testing.F) {
	jobs, _ := seen(f)
	for i := 0; i < len(jobs); i += seedEvery {
		f.Add(protobufOf(f, jobs[i]))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { sameJobRead(t, raw, false) })
}

func FuzzReadPod(f *testing.F) {
	_, pods := seen(f)
	for i := 0; i < len(pods); i += seedEvery {
		f.Add(protobufOf(f, pods[i]))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { samePodRead(t, raw, false) })
}

// encoded is an object as a server sends it.
func encoded(t testing.TB, o runtime.Object) []byte {
	t.Helper()
	raw, err := runtime.Encode(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A page of a list, as a server sends it.
func TestReadPage(t *testing.T) {
	list := &batchv1.JobList{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "JobList"}, ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "more"},
	}
	jobs, _ := seen(t)
	for _, job := range jobs {
		list.Items = append(list.Items, *job)
	}
	apiVersion, kind, raw, err := unwrap(encoded(t, list))
	if err != nil || apiVersion != "batch/v1" || kind != "JobList" {
		t.Fatal(apiVersion, kind, err)
	}
	var names []string
	version, more, err := readPage(raw, func(raw []byte) error {
		job, err := readJob(raw)
		names = append(names, job.Name)
		return err
	})
	if err != nil || version != "7" || more != "more" || len(names) != len(jobs) || names[0] != jobs[0].Name {
		t.Fatal(version, more, names, err)
	}
}

// Frames, pages and envelopes that are cut or are none give errors.
func FuzzWire(f *testing.F) {
	f.Add(encoded(f, &batchv1.Job{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}}))
	f.Add(protobufOf(f, &metav1.WatchEvent{Type: "ADDED", Object: runtime.RawExtension{Raw: []byte(magic)}}))
	f.Add(protobufOf(f, &metav1.Status{Message: "gone"}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if what, object, err := readEvent(raw); err == nil && len(what)+len(object) > len(raw) {
			t.Fatal("more than there was")
		}
		if _, _, inner, err := unwrap(raw); err == nil && !strings.Contains(string(raw), string(inner)) {
			t.Fatal("something else")
		}
		n := 0
		if _, _, err := readPage(raw, func([]byte) error { n++; return nil }); err == nil && n > len(raw) {
			t.Fatal("too many")
		}
	})
}

// What it costs to read an object of a watch, both ways.
func BenchmarkRead(b *testing.B) {
	jobs, pods := seen(b)
	job, pod := protobufOf(b, jobs[0]), protobufOf(b, pods[0])
	for _, c := range []struct {
		name string
		read func() error
	}{
		{"job", func() error { _, err := readJob(job); return err }},
		{"job-by-library", func() error { return new(batchv1.Job).Unmarshal(job) }},
		{"pod", func() error { _, err := readPod(pod); return err }},
		{"pod-by-library", func() error { return new(corev1.Pod).Unmarshal(pod) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
