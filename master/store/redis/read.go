package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store"
)

// ownBytes makes bytes of a text that came from the server, which nobody else has.
func ownBytes(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}

// readError wraps the error of a read.
func (s *Store) readError(what string, err error) error {
	return fmt.Errorf("cannot %s: %w", what, s.fault(err))
}

// noTask is the error for a task that does not exist.
func noTask(task string) error { return fmt.Errorf("task %q: %w", task, store.ErrNotFound) }

// Header reads a task's header.
func (s *Store) Header(ctx context.Context, task string) (*store.Header, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	values, err := s.reader.HMGet(ctx, s.keys.taskKey(task), headerFields...).Result()
	if err != nil {
		return nil, s.readError(fmt.Sprintf("read task %q", task), err)
	}
	h, ok, err := decodeHeader(task, values)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, noTask(task)
	}
	return h, nil
}

// What is read of a task beside its header, and of a node.
var (
	recordFields = append(headerFields[:len(headerFields):len(headerFields)], "revision", "nodes", "seq", "creation")
	nodeFields   = []string{"id", "spec", "state", "status"}
)

const (
	// nodesAtOnce is how many nodes are read in one go.
	nodesAtOnce = 1000
	// maxTries is how often a task that changes meanwhile is read in pieces.
	maxTries = 3
	// maxWhole is the most nodes that are read in one piece by a script.
	maxWhole = 200_000
)

// Load reads a task. What it gives was there at one time: if the task has changed while it was read in pieces, it is read again.
func (s *Store) Load(ctx context.Context, task string) (*store.Record, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		r, same, err := s.loadPieces(ctx, task)
		switch {
		case err != nil && final(err):
			return nil, err
		case err != nil:
			return nil, s.readError(fmt.Sprintf("read task %q", task), err)
		case same:
			return r, nil
		}
		if len(r.Nodes) <= maxWhole && try >= maxTries {
			if r, err = s.loadWhole(ctx, task, len(r.Nodes)); err != nil || r != nil {
				return r, err
			}
		}
	}
}

// record makes a record of the values of recordFields, without source and nodes.
func record(task string, values []any) (*store.Record, int, error) {
	h, ok, err := decodeHeader(task, values)
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return nil, 0, noTask(task)
	}
	r := &store.Record{Header: *h}
	n := len(headerFields)
	revision, _ := values[n].(string)
	seq, _ := values[n+2].(string)
	r.Revision, _ = strconv.ParseUint(revision, 10, 64)
	r.LastSeq, _ = strconv.ParseUint(seq, 10, 64)
	return r, number(values[n+1]), nil
}

// loadPieces reads the task's own hash, the nodes, and once more which task it is, at which revision; same says that it is the same.
func (s *Store) loadPieces(ctx context.Context, task string) (r *store.Record, same bool, err error) {
	key := s.keys.taskKey(task)
	pipe := s.reader.Pipeline()
	head := pipe.HMGet(ctx, key, recordFields...)
	plan := pipe.Get(ctx, s.keys.planKey(task))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, false, err
	}
	r, count, err := record(task, head.Val())
	if err != nil {
		return nil, false, err
	}
	r.Source = ownBytes(plan.Val())
	r.Nodes = make([]store.NodeRecord, count)
	missing := -1
	var again *redis.SliceCmd
	for from := 0; from < count || again == nil; from += nodesAtOnce {
		to := min(from+nodesAtOnce, count)
		cmds := make([]*redis.SliceCmd, 0, nodesAtOnce)
		for i := from; i < to; i++ {
			cmds = append(cmds, pipe.HMGet(ctx, s.keys.stageKey(task, i), nodeFields...))
		}
		if to == count {
			again = pipe.HMGet(ctx, key, "revision", "creation")
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, false, err
		}
		for i, cmd := range cmds {
			if !fillNode(&r.Nodes[from+i], from+i, cmd.Val()) && missing < 0 {
				missing = from + i
			}
		}
	}
	now, before := again.Val(), head.Val()[len(headerFields):]
	if now[0] != before[0] || now[1] != before[3] {
		return r, false, nil
	}
	if missing >= 0 {
		return nil, false, fmt.Errorf("%w: node %d of task %q is missing", errDamaged, missing, task)
	}
	return r, true, nil
}

// fillNode reads the values of nodeFields; false if there are none.
func fillNode(n *store.NodeRecord, index int, v []any) bool {
	if len(v) < len(nodeFields) {
		return false
	}
	n.Index = int32(index)
	n.Stage, _ = v[0].(string)
	if text, ok := v[1].(string); ok {
		n.Spec = ownBytes(text)
	}
	if text, ok := v[2].(string); ok {
		n.State = ownBytes(text)
	}
	n.Status, _ = v[3].(string)
	return v[0] != nil || v[1] != nil || v[2] != nil
}

// loadWhole reads a task of so many nodes with a script. It gives nil if it has another number now.
func (s *Store) loadWhole(ctx context.Context, task string, count int) (*store.Record, error) {
	keys := []string{s.keys.taskKey(task), s.keys.planKey(task)}
	for i := range count {
		keys = append(keys, s.keys.stageKey(task, i))
	}
	args := []any{len(recordFields)}
	for _, f := range append(recordFields[:len(recordFields):len(recordFields)], nodeFields...) {
		args = append(args, f)
	}
	values, err := s.reader.EvalSha(ctx, s.scripts.load.sha.(string), keys, args...).Slice()
	if errors.Is(err, redis.Nil) {
		return nil, noTask(task)
	}
	if err != nil {
		return nil, s.readError(fmt.Sprintf("read task %q", task), err)
	}
	r, nodes, err := record(task, values)
	if err != nil || nodes != count {
		return nil, err
	}
	values = values[len(recordFields):]
	plan, _ := values[0].(string)
	r.Source = ownBytes(plan)
	r.Nodes = make([]store.NodeRecord, count)
	for i := range r.Nodes {
		if !fillNode(&r.Nodes[i], i, values[1+i*len(nodeFields):]) {
			return nil, fmt.Errorf("%w: node %d of task %q is missing", errDamaged, i, task)
		}
	}
	return r, nil
}

// historyPage is how many entries History gives where it is not told.
const historyPage = 1000

// History reads a page of a task's history.
func (s *Store) History(ctx context.Context, task string, after uint64, limit int) ([]store.LogEntry, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = historyPage
	}
	pipe := s.reader.Pipeline()
	exists := pipe.Exists(ctx, s.keys.taskKey(task))
	var page *redis.XMessageSliceCmd
	if after < math.MaxUint64 {
		page = pipe.XRangeN(ctx, s.keys.eventsKey(task), strconv.FormatUint(after+1, 10), "+", int64(limit))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, s.readError(fmt.Sprintf("read history of task %q", task), err)
	}
	if exists.Val() == 0 {
		return nil, noTask(task)
	}
	if page == nil {
		return nil, nil
	}
	log := make([]store.LogEntry, 0, len(page.Val()))
	for _, m := range page.Val() {
		n := len(m.ID)
		if n < 3 || m.ID[n-2:] != "-0" {
			return nil, fmt.Errorf("%w: history of task %q has entry %q", errDamaged, task, m.ID)
		}
		seq, err := strconv.ParseUint(m.ID[:n-2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: history of task %q has entry %q", errDamaged, task, m.ID)
		}
		event, _ := m.Values["event"].(string)
		log = append(log, store.LogEntry{Seq: seq, Body: ownBytes(event)})
	}
	return log, nil
}

// Resolve looks a suffix or a request key up. Where several tasks have the suffix it gives one of them.
func (s *Store) Resolve(ctx context.Context, k store.Key) (string, error) {
	if err := s.ready(ctx); err != nil {
		return "", err
	}
	var task string
	var err error
	what := fmt.Sprintf("suffix %q", k.Suffix)
	switch {
	case k.Request != "":
		what = fmt.Sprintf("request %q", k.Request)
		task, err = s.resolveRequest(ctx, k.Request)
	case k.Suffix != "":
		task, err = s.resolveSuffix(ctx, k.Suffix)
	}
	if err != nil {
		return "", s.readError("resolve "+what, err)
	}
	if task == "" {
		return "", fmt.Errorf("task with %s: %w", what, store.ErrNotFound)
	}
	return task, nil
}

func (s *Store) resolveRequest(ctx context.Context, request string) (string, error) {
	task, err := s.reader.Get(ctx, s.keys.request(request)).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	has, err := s.reader.HGet(ctx, s.keys.taskKey(task), fieldRequest).Result()
	if errors.Is(err, redis.Nil) || err == nil && has != request {
		return "", nil // left over
	}
	return task, err
}

func (s *Store) resolveSuffix(ctx context.Context, suffix string) (string, error) {
	const some = 16
	start := "[" + suffix + ":"
	for {
		members, err := s.reader.ZRangeArgs(ctx, redis.ZRangeArgs{
			Key: s.keys.suffix(), Start: start, Stop: "(" + suffix + ";", ByLex: true, Count: some,
		}).Result()
		if err != nil || len(members) == 0 {
			return "", err
		}
		pipe := s.reader.Pipeline()
		cmds := make([]*redis.IntCmd, len(members))
		for i, m := range members {
			cmds[i] = pipe.Exists(ctx, s.keys.taskKey(m[len(suffix)+1:]))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return "", err
		}
		for i, m := range members {
			if task := m[len(suffix)+1:]; cmds[i].Val() > 0 && suffixOf(task) == suffix {
				return task, nil
			}
		}
		start = "(" + members[len(members)-1]
	}
}
