package kube

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clic-orchestrator/clic/executors"
)

// Logs reads the output of the attempt's main container, from the cluster or, where it was kept, from the archive. The cluster knows one
// stream only: standard output and error together, whichever is asked for. See executors.Executor.
func (e *Executor) Logs(ctx context.Context, attemptID string, o executors.LogOptions) (io.ReadCloser, error) {
	if err := e.alive(); err != nil {
		return nil, err
	}
	l, err := e.openLog(ctx, attemptID, o)
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of attempt %q: %w", attemptID, err)
	}
	return l, nil
}

// source is where a log is read from, from any offset.
type source interface {
	open(ctx context.Context, from int64, follow bool) (io.ReadCloser, error)
	// ended reports whether nothing comes any more.
	ended() bool
}

// openLog opens the log that was kept on this machine, or else the cluster's, or else the one in the archive. Where it matters when lines
// were written, the cluster knows best.
func (e *Executor) openLog(ctx context.Context, id string, o executors.LogOptions) (*logReader, error) {
	if e.logs != nil && o.Since.IsZero() && e.logs.Kept(archiveName(id)) {
		return e.read(ctx, archived{e.logs, archiveName(id)}, o)
	}
	var l *logReader
	pod, err := e.podLog(id, o.Since)
	if err == nil {
		l, err = e.read(ctx, pod, o)
	}
	if e.logs == nil || !errors.Is(err, executors.ErrNoLogs) {
		return l, err
	}
	kept, notKept := e.kept(ctx, id, o.Since)
	switch {
	case errors.Is(notKept, fs.ErrNotExist):
		return nil, err
	case notKept != nil:
		return nil, fmt.Errorf("cannot look for it in the archive: %w", notKept)
	}
	return e.read(ctx, kept, o)
}

func (e *Executor) read(ctx context.Context, src source, o executors.LogOptions) (*logReader, error) {
	l := &logReader{src: src, parent: ctx, stop: e.ctx, follow: o.Follow, left: -1}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.unhook = context.AfterFunc(e.ctx, l.cancel)
	if o.Limit > 0 {
		l.left = o.Limit
	}
	l.pos = o.Offset
	var err error
	if o.Offset < 0 || o.TailLines > 0 {
		l.pos, err = tail(l.ctx, src, o)
	}
	if err == nil {
		l.from = l.pos
		l.body, err = src.open(l.ctx, l.pos, o.Follow)
	}
	if err != nil {
		err = l.errorOf(err)
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// nothing is a log in which nothing is.
type nothing struct{}

func (nothing) open(context.Context, int64, bool) (io.ReadCloser, error) {
	return io.NopCloser(eof{}), nil
}
func (nothing) ended() bool { return true }

// podLog finds the log of an attempt in the cluster.
func (e *Executor) podLog(id string, since time.Time) (*podLog, error) {
	namespace, name := e.place(id, nil)
	key := keyOf(namespace, name)
	e.mu.Lock()
	var uid types.UID
	at := e.attempts[key]
	if at != nil && at.id == id {
		uid = at.uid
	}
	e.mu.Unlock()
	job, pods, _ := e.view.look(key, uid)
	if job == nil && uid == "" || job != nil && job.Annotations[annotationAttempt] != id {
		return nil, executors.ErrNoLogs
	}
	o := observation{Job: job, Pods: pods}
	pod := o.pod()
	if pod == nil || pod.Spec.NodeName == "" {
		return nil, executors.ErrNoLogs
	}
	// Its node knows better than we whether it runs already.
	return &podLog{e: e, key: key, pod: pod, since: since}, nil
}

// podLog is the log of a pod's main container.
type podLog struct {
	e     *Executor
	key   string
	pod   *corev1.Pod
	since time.Time
}

func (p *podLog) open(ctx context.Context, from int64, follow bool) (io.ReadCloser, error) {
	o := &corev1.PodLogOptions{Container: p.pod.Annotations[annotationContainer], Follow: follow}
	kind := logKind{pod: p.pod.UID, follow: follow}
	if !p.since.IsZero() {
		kind.since = p.since.Unix()
		o.SinceTime = &metav1.Time{Time: time.Unix(kind.since, 0)}
	}
	if log := p.e.parked.take(kind, from); log != nil {
		return newPart(ctx, log, &p.e.parked, true), nil
	}
	// It outlives the part that it is opened for.
	life, cancel := context.WithCancel(p.e.ctx)
	unhook := context.AfterFunc(ctx, cancel)
	body, err := p.stream(life, o)
	if err != nil {
		cancel()
		return nil, err
	}
	log, err := startAhead(life, cancel, kind, body, p.e.run)
	if err != nil {
		return nil, err
	}
	if err := log.skip(ctx, from); err != nil || !unhook() {
		cancel()
		return nil, cmp.Or(err, ctx.Err())
	}
	return newPart(ctx, log, &p.e.parked, false), nil
}

// run runs something that Stop waits for, and reports whether it is not too late.
func (e *Executor) run(work func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.work.Go(work)
	}
	return !e.closed
}

// late is for how long a node says that a container waits to start which has started, and may even have ended, since.
const late = 2 * time.Second

// stream asks for the log, more than once where the container may have begun just now: its stage may have reported its end already,
// and whoever waited for that wants to see the log.
func (p *podLog) stream(ctx context.Context, o *corev1.PodLogOptions) (io.ReadCloser, error) {
	tick := time.NewTicker(again)
	defer tick.Stop()
	for patience := time.Now().Add(late); ; {
		body, err := p.e.client.PodLog(p.pod.Namespace, p.pod.Name, o).Stream(ctx)
		if err == nil || !apierrors.IsBadRequest(err) || !p.begins() || time.Now().After(patience) {
			return body, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// begins reports whether nothing is known to keep the main container from running.
func (p *podLog) begins() bool {
	c := mainStatus(p.pod)
	return c == nil || c.State.Waiting == nil || slices.Contains([]string{"", "PodInitializing", "ContainerCreating"}, c.State.Waiting.Reason)
}

func (p *podLog) ended() bool {
	p.e.view.mu.RLock()
	defer p.e.view.mu.RUnlock()
	now := p.e.view.pods[p.key][p.pod.Name]
	return now == nil || now.UID != p.pod.UID || mainEnd(now) != nil || ended(now)
}

// tail finds where the last lines, or the last bytes, begin.
func tail(ctx context.Context, src source, o executors.LogOptions) (int64, error) {
	body, err := src.open(ctx, 0, false)
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }()
	lines := make([]int64, 0, min(o.TailLines, 4096)+1) // where the last ones begin, as a ring once it is full
	next := 0
	begin := func(at int64) {
		if o.TailLines <= 0 {
			return
		}
		if len(lines) < o.TailLines {
			lines = append(lines, at)
			return
		}
		lines[next] = at
		next = (next + 1) % len(lines)
	}
	var size int64
	fresh := true
	for r := bufio.NewReaderSize(body, 64<<10); ; {
		part, err := r.ReadSlice('\n')
		if len(part) > 0 && fresh {
			begin(size)
		}
		size += int64(len(part))
		fresh = err == nil
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if !errors.Is(err, io.EOF) {
				return 0, err
			}
			break
		}
	}
	from := o.Offset
	if from < 0 {
		from = max(0, size+from)
	}
	if o.TailLines > 0 && len(lines) > 0 {
		from = max(from, lines[next%len(lines)])
	}
	return from, nil
}

// logReader reads a log, and takes it up again where a connection that it follows breaks.
type logReader struct {
	src          source
	parent, stop context.Context //nolint:containedctx // of the reader, whose Read has none
	ctx          context.Context //nolint:containedctx // ends with either of them, or with Close
	cancel       context.CancelFunc
	unhook       func() bool
	follow       bool
	left         int64 // how much may still be given; < 0 is no limit
	from, pos    int64

	mu     sync.Mutex
	body   io.ReadCloser
	closed bool
}

// Offset is where in the log the reader begins, which callers that count from the end cannot know.
func (l *logReader) Offset() int64 { return l.from }

// again is how long to wait before a log that is followed is opened again.
const again = 200 * time.Millisecond

// Read gives what there is, and waits where the reader follows.
func (l *logReader) Read(b []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	if l.left > 0 && int64(len(b)) > l.left {
		b = b[:l.left]
	}
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, err := l.body.Read(b)
		if n > 0 {
			l.pos += int64(n)
			if l.left > 0 {
				l.left -= int64(n)
			}
			return n, nil
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) && l.old() {
			if err = l.lookAgain(); err == nil {
				continue
			}
		}
		if l.ctx.Err() != nil || !l.follow {
			return 0, l.errorOf(err)
		}
		// Whether it has ended comes first: what was written before is then in the log that is opened again.
		over := l.src.ended()
		if over && errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err := l.reopen(over); err != nil {
			return 0, l.errorOf(err)
		}
	}
}

// old reports whether what has ended is a look at the log of some time ago.
func (l *logReader) old() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.body.(*part)
	return ok && p.old
}

// lookAgain opens the log anew where it stands. io.EOF where it is gone.
func (l *logReader) lookAgain() error {
	body, err := l.src.open(l.ctx, l.pos, l.follow)
	switch {
	case apierrors.IsNotFound(err):
		return io.EOF
	case err != nil:
		return err
	}
	return l.replace(body)
}

// replace goes on with another body.
func (l *logReader) replace(body io.ReadCloser) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = body.Close()
		return os.ErrClosed
	}
	_ = l.body.Close()
	l.body = body
	return nil
}

// reopen goes on where a connection has ended while the attempt runs. over: it has ended since.
func (l *logReader) reopen(over bool) error {
	t := time.NewTimer(again)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
	body, err := l.src.open(l.ctx, l.pos, l.follow)
	switch {
	case err == nil:
	case apierrors.IsNotFound(err) || l.ctx.Err() != nil:
		return io.EOF
	case over:
		return err
	default: // the cluster does not answer; the next Read tries again
		body = io.NopCloser(eof{})
	}
	return l.replace(body)
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// errorOf says why reading has ended.
func (l *logReader) errorOf(err error) error {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	switch {
	case closed:
		return os.ErrClosed
	case l.stop.Err() != nil:
		return executors.ErrClosed
	case l.parent.Err() != nil:
		return l.parent.Err()
	case errors.Is(err, fs.ErrNotExist), apierrors.IsNotFound(err), apierrors.IsBadRequest(err):
		return fmt.Errorf("%w: %w", executors.ErrNoLogs, err)
	}
	return err
}

// Close ends reading. It may be called while Read waits.
func (l *logReader) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.unhook()
	l.cancel()
	if l.body != nil {
		return l.body.Close()
	}
	return nil
}
