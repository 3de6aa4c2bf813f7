package kube

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
)

// errRemote: logs are to go to another file system, which only whoever runs the executor knows.
var errRemote = errors.New("the directory of logs is none of this machine, and no archive was given")

// logs is where the logs of this configuration are kept, nil where none are.
func (c *Config) logs() (kubeconf.LogArchive, error) {
	switch {
	case c.Archive != nil:
		return c.Archive, nil
	case c.LogDir == "":
		return nil, nil
	case strings.Contains(c.LogDir, "://"):
		return nil, errRemote
	}
	return logDir(c.LogDir), nil
}

// logDir is an archive that is a directory of this machine, with a file "<name>.log" for each log.
type logDir string

func (d logDir) path(name string) string { return filepath.Join(string(d), name+".log") }

// Kept is whether there is a log.
func (d logDir) Kept(name string) bool {
	_, err := os.Stat(d.path(name))
	return err == nil
}

// Stat is when the log was written.
func (d logDir) Stat(_ context.Context, name string) (time.Time, error) {
	info, err := os.Stat(d.path(name))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Put writes a log beside its place first: what is there is always whole.
func (d logDir) Put(_ context.Context, name string, log io.Reader) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(string(d), ".log-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // once it was renamed there is none
	_, err = io.Copy(f, log)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), d.path(name))
}

// Open reads a log.
func (d logDir) Open(_ context.Context, name string, from int64) (io.ReadCloser, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Remove removes a log.
func (d logDir) Remove(name string) error {
	if err := os.Remove(d.path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

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
