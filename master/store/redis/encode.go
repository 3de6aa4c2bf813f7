package redis

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
)

// valid checks what can be checked of a change without the server.
func valid(c *store.Change) error {
	switch {
	case c.Task == "":
		return errors.New("cannot write a change without a task")
	case c.Delete:
		return nil
	case c.Create && (c.Header == nil || c.Source == nil):
		return fmt.Errorf("cannot create task %q without header and source", c.Task)
	case c.Header != nil && c.Header.Task != c.Task:
		return fmt.Errorf("cannot write the header of task %q to task %q", c.Header.Task, c.Task)
	case !c.Create && len(c.Nodes) > maxNodes:
		return fmt.Errorf("cannot change %d nodes of task %q at once, at most %d", len(c.Nodes), c.Task, maxNodes)
	}
	for i := range c.Nodes {
		if c.Nodes[i].Index < 0 {
			return fmt.Errorf("cannot write node %d of task %q: its index is negative", c.Nodes[i].Index, c.Task)
		}
	}
	return nil
}

// maxNodes bounds the nodes of a Change that is applied at once: a command of Redis has 1,048,576 arguments at most, and each node
// may need six.
const maxNodes = 170_000

// fingerprint hashes all that a Change says, but for its task and base. It tells one Create from another, and whether a Change is
// the one that was applied last.
func fingerprint(c *store.Change) [sha256.Size]byte {
	size := 64 + len(c.Source) + logSize(c.Log) + nodesSize(c.Nodes, "")
	if c.Header != nil {
		size += 256 + len(c.Header.Body)
	}
	h := digest{buf: make([]byte, 0, min(size, 2*digestAtOnce))}
	if head := c.Header; head != nil {
		h.text(head.Plan)
		h.number(uint64(head.Status))
		h.number(uint64(head.Submitted))
		h.number(uint64(head.Ended))
		h.number(uint64(head.Expires))
		for _, k := range slices.Sorted(maps.Keys(head.Labels)) {
			h.text(k)
			h.text(head.Labels[k])
		}
		h.text(head.Request)
		h.bytes(head.Body)
	}
	h.bytes(c.Source)
	for i := range c.Nodes {
		n := &c.Nodes[i]
		h.number(uint64(uint32(n.Index)))
		h.text(n.Stage)
		h.text(n.Status)
		h.bytes(n.Spec)
		h.bytes(n.State)
	}
	for i := range c.Log {
		h.number(c.Log[i].Seq)
		h.bytes(c.Log[i].Body)
	}
	return h.sum()
}

// digest gathers what is hashed, with lengths, so that no two things look the same.
type digest struct {
	buf  []byte
	hash hash.Hash // nil as long as everything is in buf
}

// digestAtOnce is how many bytes are gathered before they are hashed.
const digestAtOnce = 64 << 10

func (d *digest) number(n uint64) { d.buf = binary.AppendUvarint(d.buf, n) }

func (d *digest) text(s string) {
	d.number(uint64(len(s)))
	d.buf = append(d.buf, s...)
}

// bytes tells nothing from something that is empty.
func (d *digest) bytes(s []byte) {
	n := uint64(0)
	if s != nil {
		n = uint64(len(s)) + 1
	}
	d.number(n)
	if d.buf = append(d.buf, s...); len(d.buf) > digestAtOnce {
		d.flush()
	}
}

func (d *digest) flush() {
	if d.hash == nil {
		d.hash = sha256.New()
	}
	d.hash.Write(d.buf)
	d.buf = d.buf[:0]
}

func (d *digest) sum() [sha256.Size]byte {
	if d.hash == nil {
		return sha256.Sum256(d.buf)
	}
	d.flush()
	return [sha256.Size]byte(d.hash.Sum(nil))
}

// The names of a task's fields.
const (
	fieldName      = "name"
	fieldPlan      = "plan"
	fieldStatus    = "status"
	fieldSubmitted = "submitted"
	fieldEnded     = "ended"
	fieldExpires   = "expires"
	fieldLabels    = "labels"
	fieldRequest   = "request"
	fieldBody      = "body"
)

// headerFields is what a header is read from, in this order.
var headerFields = []string{
	fieldName, fieldPlan, fieldStatus, fieldSubmitted, fieldEnded, fieldExpires, fieldLabels, fieldRequest, fieldBody,
}

// boxedFields are the same for builders.
var boxedFields = boxed(headerFields)

func boxed(texts []string) []any {
	all := make([]any, len(texts))
	for i, s := range texts {
		all[i] = s
	}
	return all
}

// header adds the fields of a header; they are 2*len(headerFields) arguments.
func (b *builder) header(h *store.Header, labels string) {
	b.fixed(boxedFields[0])
	b.str(h.Task)
	b.fixed(boxedFields[1])
	b.str(h.Plan)
	b.fixed(boxedFields[2])
	b.str(h.Status.String())
	b.fixed(boxedFields[3])
	b.int(int64(h.Submitted))
	b.fixed(boxedFields[4])
	b.int(int64(h.Ended))
	b.fixed(boxedFields[5])
	b.int(int64(h.Expires))
	b.fixed(boxedFields[6])
	b.str(labels)
	b.fixed(boxedFields[7])
	b.str(h.Request)
	b.fixed(boxedFields[8])
	b.bytes(h.Body)
}

// Letters of a node's fields, as nodes.lua has them, for all combinations of Spec and State.
var (
	lettersState any = "us"
	lettersSpec  any = "ip"
	lettersBoth  any = "iups"
)

// empty says that a node record leaves everything as it is.
func empty(n *store.NodeRecord) bool { return n.Spec == nil && n.State == nil }

// node adds the fields of a node that is not empty; they are at most five arguments.
func (b *builder) node(n *store.NodeRecord) {
	switch {
	case n.Spec != nil && n.State != nil:
		b.fixed(lettersBoth)
		b.str(n.Stage)
		b.str(n.Status)
		b.bytes(n.Spec)
		b.bytes(n.State)
	case n.Spec != nil:
		b.fixed(lettersSpec)
		b.str(n.Stage)
		b.bytes(n.Spec)
	default:
		b.fixed(lettersState)
		b.str(n.Status)
		b.bytes(n.State)
	}
}

// nodesSize is about how many bytes the nodes of a change need in a call.
func nodesSize(nodes []store.NodeRecord, base string) int {
	n := 0
	for i := range nodes {
		r := &nodes[i]
		n += len(base) + maxInt + len(r.Stage) + len(r.Status) + len(r.Spec) + len(r.State)
	}
	return n
}

func logSize(log []store.LogEntry) int {
	n := 0
	for i := range log {
		n += maxInt + len(log[i].Body)
	}
	return n
}

// binaryLabels begins labels that are no text. JSON cannot hold those, so they are in hexadecimal: name and value in turn.
const binaryLabels = "hex:"

// encodeLabels writes labels as JSON, in order.
func encodeLabels(labels map[string]string) string {
	if len(labels) == 0 {
		return "{}"
	}
	text := true
	for k, v := range labels {
		text = text && utf8.ValidString(k) && utf8.ValidString(v)
	}
	if text {
		if b, err := json.Marshal(labels); err == nil {
			return string(b)
		}
	}
	var b strings.Builder
	b.WriteString(binaryLabels)
	for i, k := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(hex.EncodeToString([]byte(k)) + "," + hex.EncodeToString([]byte(labels[k])))
	}
	return b.String()
}

func decodeLabels(s string) (map[string]string, error) {
	var labels map[string]string
	coded, ok := strings.CutPrefix(s, binaryLabels)
	if !ok {
		if s == "" || s == "{}" {
			return nil, nil
		}
		err := json.Unmarshal([]byte(s), &labels)
		return labels, err
	}
	labels = map[string]string{}
	parts := strings.Split(coded, ",")
	for i := 0; i+1 < len(parts); i += 2 {
		k, err := hex.DecodeString(parts[i])
		if err != nil {
			return nil, err
		}
		v, err := hex.DecodeString(parts[i+1])
		if err != nil {
			return nil, err
		}
		labels[string(k)] = string(v)
	}
	return labels, nil
}

// errDamaged is what a record says that cannot be read.
var errDamaged = errors.New("data in Redis is damaged")

// decodeHeader reads the values of headerFields. ok is false where there is no task.
func decodeHeader(task string, v []any) (h *store.Header, ok bool, err error) {
	if len(v) < len(headerFields) || v[0] == nil {
		return nil, false, nil
	}
	text := make([]string, len(headerFields))
	for i := range text {
		text[i], _ = v[i].(string)
	}
	h = &store.Header{Task: text[0], Plan: text[1], Request: text[7], Body: ownBytes(text[8])}
	status, ok := statusOf(text[2])
	if !ok || h.Task != task {
		return nil, true, fmt.Errorf("%w: task %q says that it is %q and %s", errDamaged, task, text[0], text[2])
	}
	h.Status = status
	for i, to := range []*dag.Time{&h.Submitted, &h.Ended, &h.Expires} {
		n, err := strconv.ParseInt(text[3+i], 10, 64)
		if err != nil {
			return nil, true, fmt.Errorf("%w: task %q: field %s is no number", errDamaged, task, headerFields[3+i])
		}
		*to = dag.Time(n)
	}
	if h.Labels, err = decodeLabels(text[6]); err != nil {
		return nil, true, fmt.Errorf("%w: task %q: field labels: %w", errDamaged, task, err)
	}
	return h, true, nil
}

func statusOf(s string) (dag.TaskStatus, bool) {
	for _, status := range dag.TaskStatuses() {
		if status.String() == s {
			return status, true
		}
	}
	return 0, false
}

// headSum hashes what the indexes are made of. The seed is the process's own.
func headSum(seed maphash.Seed, h *store.Header, labels string) uint64 {
	var m maphash.Hash
	m.SetSeed(seed)
	var n [17]byte
	n[0] = byte(h.Status)
	binary.BigEndian.PutUint64(n[1:], uint64(h.Submitted))
	binary.BigEndian.PutUint64(n[9:], uint64(h.Expires))
	_, _ = m.Write(n[:])
	for _, s := range []string{h.Plan, h.Request, labels} {
		binary.BigEndian.PutUint64(n[:8], uint64(len(s)))
		_, _ = m.Write(n[:8])
		_, _ = m.WriteString(s)
	}
	return m.Sum64()
}
