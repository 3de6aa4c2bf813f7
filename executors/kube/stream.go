package kube

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// object is what the library knows of a kind: it reads all of it.
type object interface {
	metav1.Object
	Unmarshal(raw []byte) error
}

const (
	typeProtobuf = "application/vnd.kubernetes.protobuf"
	typeJSON     = "application/json"
	// listPage is how many objects are asked for at once.
	listPage = 500
	// maxFrame bounds what a watch may say at once, in bytes. Objects of the cluster have up to 1.5 MiB.
	maxFrame = 16 << 20
	// pageTimeout bounds a request for a page of a list.
	pageTimeout = 2 * time.Minute
	// silence is how long a watch may say nothing before it is taken for dead. The server says every minute how far it is.
	silence = 3 * time.Minute
	// brief is how long a watch lasts at least that is worth to be begun again at once.
	brief = time.Second
)

// parse makes an object of protobuf. What the short way does not understand goes the long one.
func (f *feed) parse(raw []byte) (metav1.Object, error) {
	if o, err := f.read(raw); err == nil {
		return o, nil
	}
	o := f.blank()
	if err := o.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("cannot read one of %s: %w", f.name, err)
	}
	return f.trim(o), nil
}

func (f *feed) parseJSON(text []byte) (metav1.Object, error) {
	o := f.blank()
	if err := json.Unmarshal(text, o); err != nil {
		return nil, fmt.Errorf("cannot read one of %s: %w", f.name, err)
	}
	return f.trim(o), nil
}

// request asks for the feed's objects.
func (f *feed) request(api rest.Interface, o metav1.ListOptions, accept string) *rest.Request {
	o.LabelSelector, o.FieldSelector = f.labels, f.fields
	return api.Get().NamespaceIfScoped(f.namespace, f.namespace != "").Resource(f.resource).
		VersionedParams(&o, f.parameters).SetHeader("Accept", accept)
}

// list gives what there is now, and at which version.
func (f *feed) list(ctx context.Context) (all []metav1.Object, version string, err error) {
	for more := ""; ; {
		var page string
		if page, more, err = f.page(ctx, more, &all); err != nil {
			return nil, "", err
		}
		if version == "" { // all pages are of the same moment
			version = page
		}
		if more == "" {
			return all, version, nil
		}
	}
}

// page adds a page of the list. more is what to ask for the next one with, "" at the end.
func (f *feed) page(ctx context.Context, from string, all *[]metav1.Object) (version, more string, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	var kind string
	answer := f.request(f.lists, metav1.ListOptions{Limit: listPage, Continue: from}, typeProtobuf+","+typeJSON).
		Do(ctx).ContentType(&kind)
	if err := answer.Error(); err != nil { // which reads what the server says of it
		return "", "", err
	}
	body, err := answer.Raw()
	if err != nil {
		return "", "", err
	}
	add := func(o metav1.Object, err error) error {
		*all = append(*all, o)
		return err
	}
	if strings.HasPrefix(kind, typeProtobuf) {
		_, _, raw, err := unwrap(body)
		if err != nil {
			return "", "", err
		}
		return readPage(raw, func(item []byte) error { return add(f.parse(item)) })
	}
	var page struct {
		Metadata metav1.ListMeta   `json:"metadata"`
		Items    []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return "", "", fmt.Errorf("cannot read a list of %s: %w", f.name, err)
	}
	for _, item := range page.Items {
		if err := add(f.parseJSON(item)); err != nil {
			return "", "", err
		}
	}
	return page.Metadata.ResourceVersion, page.Metadata.Continue, nil
}

// errBrief: a watch has ended at once, and has said nothing.
var errBrief = errors.New("the watch has ended at once")

// watch takes what happens after a version, until the server or the connection ends that. It gives the version that it has come to,
// from which to go on where there is no error.
func (f *feed) watch(ctx context.Context, version string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The server ends it by itself then. It is not to happen to all feeds, and all masters, at the same time.
	last := int64(300 + rand.IntN(300))
	body, err := f.request(f.watches, metav1.ListOptions{
		Watch: true, ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: &last,
	}, typeProtobuf+";stream=watch,"+typeJSON+";stream=watch").Stream(paced(ctx, f.pace))
	if err != nil {
		return version, err
	}
	defer body.Close()
	silent := time.AfterFunc(silence, cancel)
	defer silent.Stop()
	began, from := time.Now(), version
	in := &events{f: f, in: bufio.NewReaderSize(body, 32<<10)}
	for {
		what, raw, err := in.next()
		if err != nil {
			if version == from && time.Since(began) < brief {
				return version, fmt.Errorf("%w: %w", errBrief, err)
			}
			if errors.Is(err, errWire) {
				return version, err
			}
			return version, nil // it is over, or the connection is broken
		}
		silent.Reset(silence)
		o, err := in.object(what, raw)
		if err != nil {
			return version, err
		}
		switch what {
		case watch.Added, watch.Modified:
			f.store.put(o)
		case watch.Deleted:
			f.store.drop(o)
		}
		if v := o.GetResourceVersion(); v != "" {
			version = v
		}
	}
}

// events reads what a watch says, in the encoding in which the server says it.
type events struct {
	f     *feed
	in    *bufio.Reader
	text  *json.Decoder // set once it is known that it is JSON
	frame []byte
}

// next waits for an event. What it gives is good until it is called again.
func (e *events) next() (what watch.EventType, raw []byte, err error) {
	if e.text != nil {
		return e.nextJSON()
	}
	head, err := e.in.Peek(4)
	if err != nil {
		return "", nil, err
	}
	if head[0] == '{' {
		e.text = json.NewDecoder(e.in)
		return e.nextJSON()
	}
	n := binary.BigEndian.Uint32(head)
	if n > maxFrame {
		return "", nil, fmt.Errorf("%w: a frame of %d bytes", errWire, n)
	}
	_, _ = e.in.Discard(len(head)) // which are in the buffer
	if cap(e.frame) < int(n) {
		e.frame = make([]byte, n, n+n/4)
	}
	e.frame = e.frame[:n]
	if _, err := io.ReadFull(e.in, e.frame); err != nil {
		return "", nil, err
	}
	kind, raw, err := readEvent(e.frame)
	return watch.EventType(kind), raw, err
}

func (e *events) nextJSON() (watch.EventType, []byte, error) {
	var event struct {
		Type   watch.EventType `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	err := e.text.Decode(&event)
	return event.Type, event.Object, err
}

// object reads the object of an event. That of an error is the error.
func (e *events) object(what watch.EventType, raw []byte) (metav1.Object, error) {
	inner := raw
	if e.text == nil {
		var err error
		if _, _, inner, err = unwrap(raw); err != nil {
			return nil, err
		}
	}
	switch {
	case what == watch.Error && e.text == nil:
		var s metav1.Status
		if err := s.Unmarshal(inner); err != nil {
			return nil, err
		}
		return nil, apierrors.FromObject(&s)
	case what == watch.Error:
		var s metav1.Status
		if err := json.Unmarshal(inner, &s); err != nil {
			return nil, err
		}
		return nil, apierrors.FromObject(&s)
	case e.text == nil:
		return e.f.parse(inner)
	}
	return e.f.parseJSON(inner)
}
