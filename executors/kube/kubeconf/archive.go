package kubeconf

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// errRemote: logs are to go to another file system, which only whoever runs the executor knows.
var errRemote = errors.New("the directory of logs is none of this machine, and no archive was given")

// Logs is where the logs of this configuration are kept, nil where none are.
func (c Config) Logs() (LogArchive, error) {
	switch {
	case c.Archive != nil:
		return c.Archive, nil
	case c.LogDir == "":
		return nil, nil
	case strings.Contains(c.LogDir, "://"):
		return nil, errRemote
	}
	return LogDir(c.LogDir), nil
}

// LogDir is a LogArchive that is a directory of this machine, with a file "<name>.log" for each log.
type LogDir string

func (d LogDir) path(name string) string { return filepath.Join(string(d), name+".log") }

// Kept is whether there is a log.
func (d LogDir) Kept(name string) bool {
	_, err := os.Stat(d.path(name))
	return err == nil
}

// Stat is when the log was written.
func (d LogDir) Stat(_ context.Context, name string) (time.Time, error) {
	info, err := os.Stat(d.path(name))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Put writes a log beside its place first: what is there is always whole.
func (d LogDir) Put(_ context.Context, name string, log io.Reader) error {
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
func (d LogDir) Open(_ context.Context, name string, from int64) (io.ReadCloser, error) {
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
func (d LogDir) Remove(name string) error {
	if err := os.Remove(d.path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
