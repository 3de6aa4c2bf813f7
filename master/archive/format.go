package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// Version is the version of the format. A reader takes older ones, and refuses newer ones.
const Version = 1

// line is one line of an archive. Exactly one field is set.
type line struct {
	Archive *beginLine  `json:"archive,omitempty"`
	Task    *taskLine   `json:"task,omitempty"`
	Source  *sourceLine `json:"source,omitempty"`
	Node    *nodeLine   `json:"node,omitempty"`
	Event   *eventLine  `json:"event,omitempty"`
	Done    *doneLine   `json:"done,omitempty"`
	Cursor  *string     `json:"cursor,omitempty"`
	End     *Counts     `json:"end,omitempty"`
}

type beginLine struct {
	Version int `json:"version"`
	// Program and Made are for people.
	Program string `json:"program,omitempty"`
	Made    string `json:"made,omitempty"`
	// After is the cursor after which this export begins.
	After string `json:"after,omitempty"`
}

type taskLine struct {
	Name      text            `json:"name"`
	Plan      text            `json:"plan"`
	Status    dag.TaskStatus  `json:"status"`
	Submitted dag.Time        `json:"submitted"`
	Ended     dag.Time        `json:"ended,omitempty"`
	Expires   dag.Time        `json:"expires,omitempty"`
	Labels    map[string]text `json:"labels,omitempty"`
	// OddLabels are labels of which the name is no valid text.
	OddLabels [][2]text `json:"odd_labels,omitempty"`
	Request   text      `json:"request,omitempty"`
	Revision  uint64    `json:"revision,omitempty"`
	LastSeq   uint64    `json:"last_seq,omitempty"`

	Body       json.RawMessage `json:"body,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

type sourceLine struct {
	JSON   json.RawMessage `json:"json,omitempty"`
	Base64 []byte          `json:"base64,omitempty"`
}

type nodeLine struct {
	Index  int32  `json:"index"`
	Stage  text   `json:"stage"`
	Status string `json:"status,omitempty"`

	Spec        json.RawMessage `json:"spec,omitempty"`
	SpecBase64  []byte          `json:"spec_base64,omitempty"`
	State       json.RawMessage `json:"state,omitempty"`
	StateBase64 []byte          `json:"state_base64,omitempty"`
}

type eventLine struct {
	Seq        uint64          `json:"seq"`
	Body       json.RawMessage `json:"body,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

type doneLine struct {
	Task   text  `json:"task"`
	Nodes  int   `json:"nodes"`
	Events int64 `json:"events"`
	// SHA256 is that of the task's lines before this one, each with its newline. Who edits an archive by hand leaves it out.
	SHA256 string `json:"sha256,omitempty"`
}

// Counts says how much was exported, or imported.
type Counts struct {
	Tasks  int   `json:"tasks"`
	Nodes  int   `json:"nodes"`
	Events int64 `json:"events"`
}

func (c *Counts) add(more Counts) {
	c.Tasks += more.Tasks
	c.Nodes += more.Nodes
	c.Events += more.Events
}

// text is a string that may not be valid UTF-8, which JSON could not hold: {"base64":"…"} then.
type text string

type oddText struct {
	Base64 *string `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	s := base64.StdEncoding.EncodeToString([]byte(t))
	return json.Marshal(oddText{Base64: &s})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	var plain string
	if err := json.Unmarshal(b, &plain); err == nil {
		*t = text(plain)
		return nil
	}
	var odd oddText
	if err := json.Unmarshal(b, &odd); err != nil || odd.Base64 == nil {
		return errors.New(`want a text, or {"base64":"…"}`)
	}
	raw, err := base64.StdEncoding.DecodeString(*odd.Base64)
	*t = text(raw)
	return err
}

// pack gives a record as JSON where that keeps every byte of it, else the record as it is.
func pack(body []byte) (asJSON json.RawMessage, raw []byte) {
	if len(body) == 0 {
		return nil, nil
	}
	if body[0] == '{' && utf8.Valid(body) && json.Valid(body) {
		var compact bytes.Buffer
		if err := json.Compact(&compact, body); err == nil && bytes.Equal(compact.Bytes(), body) {
			return body, nil
		}
	}
	return nil, body
}

// unpack is the reverse of pack. It is never nil.
func unpack(asJSON json.RawMessage, raw []byte) []byte {
	switch {
	case len(asJSON) > 0:
		return asJSON
	case raw != nil:
		return raw
	}
	return []byte{}
}

// packTask makes the first line of a task.
func packTask(h *store.Header, revision, lastSeq uint64) *taskLine {
	t := &taskLine{
		Name: text(h.Task), Plan: text(h.Plan), Status: h.Status, Submitted: h.Submitted, Ended: h.Ended, Expires: h.Expires,
		Request: text(h.Request), Revision: revision, LastSeq: lastSeq,
	}
	for _, name := range slices.Sorted(maps.Keys(h.Labels)) {
		if !utf8.ValidString(name) {
			t.OddLabels = append(t.OddLabels, [2]text{text(name), text(h.Labels[name])})
			continue
		}
		if t.Labels == nil {
			t.Labels = map[string]text{}
		}
		t.Labels[name] = text(h.Labels[name])
	}
	t.Body, t.BodyBase64 = pack(h.Body)
	return t
}

// header is the reverse of packTask.
func (t *taskLine) header() (*store.Header, error) {
	if t.Name == "" {
		return nil, errors.New("the task has no name")
	}
	h := &store.Header{
		Task: string(t.Name), Plan: string(t.Plan), Status: t.Status, Submitted: t.Submitted, Ended: t.Ended, Expires: t.Expires,
		Request: string(t.Request), Body: unpack(t.Body, t.BodyBase64),
	}
	if len(t.Labels)+len(t.OddLabels) > 0 {
		h.Labels = map[string]string{}
	}
	for k, v := range t.Labels {
		h.Labels[k] = string(v)
	}
	for _, l := range t.OddLabels {
		h.Labels[string(l[0])] = string(l[1])
	}
	return h, nil
}

func packNode(n *store.NodeRecord) *nodeLine {
	l := &nodeLine{Index: n.Index, Stage: text(n.Stage), Status: n.Status}
	l.Spec, l.SpecBase64 = pack(n.Spec)
	l.State, l.StateBase64 = pack(n.State)
	return l
}

func (l *nodeLine) record() store.NodeRecord {
	return store.NodeRecord{
		Index: l.Index, Stage: string(l.Stage), Status: l.Status, Spec: unpack(l.Spec, l.SpecBase64), State: unpack(l.State, l.StateBase64),
	}
}

// writer writes lines, and keeps the checksum of those of a task.
type writer struct {
	w   io.Writer
	buf bytes.Buffer
	sum hash.Hash
}

func newWriter(w io.Writer) *writer { return &writer{w: w, sum: sha256.New()} }

func (p *writer) write(l *line) error {
	if l.Task != nil {
		p.sum.Reset()
	}
	if l.Done != nil {
		l.Done.SHA256 = hex.EncodeToString(p.sum.Sum(nil))
	}
	p.buf.Reset()
	e := json.NewEncoder(&p.buf)
	e.SetEscapeHTML(false) // would change records
	if err := e.Encode(l); err != nil {
		return fmt.Errorf("cannot encode: %w", err)
	}
	_, _ = p.sum.Write(p.buf.Bytes()) // a hash takes everything
	_, err := p.w.Write(p.buf.Bytes())
	return err
}
