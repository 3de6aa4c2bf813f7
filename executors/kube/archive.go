package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clic-orchestrator/clic/executors"
)

// archived is a log that was kept.
type archived struct{ path string }

func (a archived) open(_ context.Context, from int64, _ bool) (io.ReadCloser, error) {
	f, err := os.Open(a.path)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (archived) ended() bool { return true }

// archivePath is where the log of an attempt is kept. A name that is no file's is replaced by that of its Job.
func (e *Executor) archivePath(id string) string {
	if strings.ContainsAny(id, "/\x00") || !filepath.IsLocal(id) {
		id = jobName(id)
	}
	return filepath.Join(e.cfg.LogDir, id+".log")
}

// archive keeps the log of an attempt. A log that is kept already stays. With follow it goes on until the attempt has ended.
func (e *Executor) archive(ctx context.Context, key, id string, uid types.UID, follow bool) error {
	path := e.archivePath(id)
	if _, err := os.Stat(path); err == nil {
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
	if err := os.MkdirAll(e.cfg.LogDir, 0o700); err != nil {
		return fmt.Errorf("cannot make the directory of logs: %w", err)
	}
	f, err := os.CreateTemp(e.cfg.LogDir, ".log-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // once it was renamed there is none
	_, err = io.Copy(f, l)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
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
