package kube

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/clic-orchestrator/clic/executors/kubeapi"
)

// server answers lists and watches of pods with what it was given, in protobuf or, like very few servers, in JSON only.
type server struct {
	plain  bool // JSON only
	pages  []*corev1.PodList
	events []metav1.WatchEvent
	tail   string // what comes behind the events
	asked  []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.asked = append(s.asked, fmt.Sprintf("%s watch=%s version=%s continue=%s labels=%s", r.URL.Path, q.Get("watch"), q.Get("resourceVersion"), q.Get("continue"), q.Get("labelSelector")))
	kind := typeProtobuf
	if s.plain {
		kind = typeJSON
	}
	if !strings.Contains(r.Header.Get("Accept"), kind) {
		http.Error(w, "not acceptable", http.StatusNotAcceptable)
		return
	}
	if q.Get("watch") == "" {
		w.Header().Set("Content-Type", kind)
		page := s.pages[0]
		s.pages = s.pages[1:]
		_, _ = w.Write(s.encode(page))
		return
	}
	w.Header().Set("Content-Type", kind+";stream=watch")
	for _, e := range s.events {
		e.Object.Raw = s.encode(e.Object.Object)
		e.Object.Object = nil
		if s.plain {
			_ = json.NewEncoder(w).Encode(e)
			continue
		}
		frame, err := e.Marshal()
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	}
	_, _ = w.Write([]byte(s.tail))
}

func (s *server) encode(o runtime.Object) []byte {
	if s.plain {
		b, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		return b
	}
	return encoded(&testing.T{}, o)
}

// kept is a store that writes down what it is told.
type kept struct{ said []string }

func (k *kept) put(o metav1.Object)  { k.said = append(k.said, "put "+o.GetName()) }
func (k *kept) drop(o metav1.Object) { k.said = append(k.said, "drop "+o.GetName()) }
func (k *kept) replace(all []metav1.Object, version string) {
	k.said = append(k.said, fmt.Sprintf("replace %d at %s", len(all), version))
}

// feedOf is the feed of pods of a server.
func feedOf(t *testing.T, s *server) (*feed, *kept) {
	t.Helper()
	at := httptest.NewServer(s)
	t.Cleanup(at.Close)
	client, err := kubeapi.New(&rest.Config{Host: at.URL})
	if err != nil {
		t.Fatal(err)
	}
	e := &Executor{client: client, streams: client, view: newView()}
	f, k := e.podFeed("argo", "clic/instance=x"), &kept{}
	f.store = k
	return f, k
}

func podAt(name, version string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "argo", Name: name, ResourceVersion: version},
	}
}

func eventOf(what string, o runtime.Object) metav1.WatchEvent {
	return metav1.WatchEvent{Type: what, Object: runtime.RawExtension{Object: o}}
}

// Pages and events come in either encoding; bookmarks move the version on, and what the server says of an error is the error.
func TestFeed(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("JSON only %v", plain), func(t *testing.T) {
			s := &server{plain: plain}
			pods := metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}
			s.pages = []*corev1.PodList{
				{TypeMeta: pods, ListMeta: metav1.ListMeta{ResourceVersion: "5", Continue: "next"}, Items: []corev1.Pod{*podAt("a", "1"), *podAt("b", "2")}},
				{TypeMeta: pods, ListMeta: metav1.ListMeta{ResourceVersion: "5"}, Items: []corev1.Pod{*podAt("c", "3")}},
			}
			s.events = []metav1.WatchEvent{
				eventOf("ADDED", podAt("d", "6")), eventOf("MODIFIED", podAt("d", "7")), eventOf("DELETED", podAt("a", "8")),
				eventOf("BOOKMARK", podAt("", "9")),
			}
			f, k := feedOf(t, s)
			all, version, err := f.list(t.Context())
			if err != nil || version != "5" {
				t.Fatal(version, err)
			}
			var names []string
			for _, o := range all {
				names = append(names, o.GetName())
			}
			version, err = f.watch(t.Context(), version)
			if err != nil || version != "9" {
				t.Errorf("it has come to %s, %v", version, err)
			}
			if diff := cmp.Diff([]string{"a", "b", "c", "put d", "put d", "drop a"}, slices.Concat(names, k.said)); diff != "" {
				t.Error(diff)
			}
			s.events = append(s.events, eventOf("ERROR", &metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: http.StatusGone,
			}))
			if version, err = f.watch(t.Context(), version); version != "9" || !apierrors.IsResourceExpired(err) {
				t.Errorf("it has come to %s, %v", version, err)
			}
			want := []string{
				"watch= version= continue=", "watch= version= continue=next", "watch=true version=5 continue=", "watch=true version=9 continue=",
			}
			for i := range want {
				want[i] = "/api/v1/namespaces/argo/pods " + want[i] + " labels=clic/instance=x"
			}
			if diff := cmp.Diff(want, s.asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A watch that ends at once is an error, so that it is not begun again and again. One that was cut in the middle goes on where it was.
func TestFeedIsCut(t *testing.T) {
	huge := string(binary.BigEndian.AppendUint32(nil, maxFrame+1)) + "x"
	for _, c := range []struct {
		name    string
		events  []metav1.WatchEvent
		tail    string
		version string
		want    error
	}{
		{name: "at once", version: "5", want: errBrief},
		{name: "in the first frame", tail: "\x00\x00\x01\x00half of it", version: "5", want: errBrief},
		{name: "in a frame", events: []metav1.WatchEvent{eventOf("ADDED", podAt("a", "6"))}, tail: "\x00\x00\x01\x00half of it", version: "6"},
		{name: "too much", events: []metav1.WatchEvent{eventOf("ADDED", podAt("a", "6"))}, tail: huge, version: "6", want: errWire},
		{name: "nonsense", events: []metav1.WatchEvent{eventOf("ADDED", podAt("a", "6"))}, tail: "\x00\x00\x00\x04nono", version: "6", want: errWire},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, _ := feedOf(t, &server{events: c.events, tail: c.tail})
			version, err := f.watch(t.Context(), "5")
			if version != c.version || !errors.Is(err, c.want) {
				t.Errorf("it has come to %s, %v", version, err)
			}
		})
	}
}
