package kube

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
)

// archived is a log that was kept.
type archived struct {
	in   kubeconf.LogArchive
	name string
}

func (a archived) open(ctx context.Context, from int64, _ bool) (io.ReadCloser, error) {
	return a.in.Open(ctx, a.name, from)
}

func (archived) ended() bool { return true }

// kept is what was kept of an attempt's log, as it counts since a time. fs.ErrNotExist where there is none.
func (e *Executor) kept(ctx context.Context, id string, since time.Time) (source, error) {
	a := archived{e.logs, archiveName(id)}
	written, err := e.logs.Stat(ctx, a.name)
	if err != nil {
		return nil, err
	}
	if written.Before(since) {
		return nothing{}, nil
	}
	return a, nil
}

// archiveName is what the log of an attempt is called in the archive. An id that cannot be a file's name is replaced by that of its Job.
func archiveName(id string) string {
	if strings.ContainsAny(id, "/\x00") || strings.HasPrefix(id, ".") || !filepath.IsLocal(id) {
		return jobName(id)
	}
	return id
}

// archive keeps the log of an attempt. A log that is kept already stays. With follow it goes on until the attempt has ended.
func (e *Executor) archive(ctx context.Context, key, id string, uid types.UID, follow bool) error {
	name := archiveName(id)
	if e.logs.Kept(name) {
		return nil
	}
	_, pods, _ := e.view.look(key, uid)
	o := observation{Pods: pods}
	pod := o.pod()
	if pod == nil || !running(pod) {
		return nil // it never ran, or nothing is left of it
	}
	l, err := e.read(ctx, &podLog{e: e, key: key, pod: pod}, executors.LogOptions{Follow: follow})
	if apierrors.IsNotFound(err) || errors.Is(err, executors.ErrNoLogs) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	return e.logs.Put(ctx, name, l)
}

// archiveNow keeps the log of an attempt that is about to be stopped, to its end: its pod may be gone as soon as it has ended.
func (e *Executor) archiveNow(at *attempt) {
	e.mu.Lock()
	follow := !at.archived && !e.closed
	at.archived = true
	uid := at.uid
	if follow {
		e.work.Go(func() {
			if err := e.archive(e.ctx, at.key, at.id, uid, true); err != nil && e.ctx.Err() == nil {
				e.cfg.Logger.Warn("cannot keep the log of an attempt", "attempt", at.id, "error", err)
			}
		})
	}
	e.mu.Unlock()
}
