package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// Resolve finds the file system that a URI leads to, and the path in it, which is absolute and clean. The same file system is the same
// value each time.
type Resolve func(uri string) (dfs.FS, string, error)

// FromFS makes a Source of distributed file systems. It reads only what is at or below one of the roots, which are URIs such as
// hdfs://cluster/data; without roots it reads nothing. A root and a path need not be spelled alike (hdfs:///data is hdfs://cluster/data
// where that is the default): what counts is where they lead.
func FromFS(resolve Resolve, roots []string) Source {
	return &remote{resolve: resolve, roots: roots}
}

type remote struct {
	resolve Resolve
	roots   []string
}

// find checks that a URI leads below a root.
func (r *remote) find(name string) (dfs.FS, string, error) {
	files, path, err := r.resolve(name)
	switch {
	case errors.Is(err, dfs.ErrUnavailable):
		return nil, "", fmt.Errorf("cannot read %q: %w", name, err)
	case err != nil:
		return nil, "", fmt.Errorf("cannot read %q: %w: %w", name, ErrPath, err)
	}
	for _, root := range r.roots {
		its, top, err := r.resolve(root)
		if err != nil {
			return nil, "", fmt.Errorf("cannot read below %q: %w", root, err)
		}
		if its == files && (path == top || strings.HasPrefix(path, strings.TrimSuffix(top, "/")+"/")) {
			return files, path, nil
		}
	}
	return nil, "", &DeniedError{Path: name, Roots: r.roots}
}

// failed adds the name to an error, and tells what callers of this package branch on.
func failed(name string, err error) error {
	switch {
	case errors.Is(err, dfs.ErrNotDirectory):
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err) // something on the way is a file
	case errors.Is(err, dfs.ErrCorrupt):
		err = damage(err)
	case errors.Is(err, dfs.ErrIsDirectory):
		err = fmt.Errorf("%w: %w", ErrNotRegular, err)
	}
	return fmt.Errorf("cannot read %q: %w", name, err)
}

// Stat describes a file or a directory.
func (r *remote) Stat(ctx context.Context, name string) (Entry, error) {
	files, path, err := r.find(name)
	if err != nil {
		return Entry{}, err
	}
	info, err := files.Stat(ctx, path)
	if err != nil {
		return Entry{}, failed(name, err)
	}
	return remoteEntry(info), nil
}

func remoteEntry(info dfs.Info) Entry {
	kind := KindFile
	if info.Dir {
		kind = KindDirectory
	}
	return Entry{Name: info.Name, Kind: kind, Size: info.Size}
}

// ReadDir lists a directory.
func (r *remote) ReadDir(ctx context.Context, name string, limit int) ([]Entry, error) {
	files, path, err := r.find(name)
	if err != nil {
		return nil, err
	}
	list, err := files.ReadDir(ctx, path, limit)
	if err != nil {
		return nil, failed(name, err)
	}
	entries := make([]Entry, 0, len(list))
	for _, info := range list {
		entries = append(entries, remoteEntry(info))
	}
	return entries, nil
}

// Open opens a file.
func (r *remote) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	files, path, err := r.find(name)
	if err != nil {
		return nil, err
	}
	file, err := files.Open(ctx, path)
	if err != nil {
		return nil, failed(name, err)
	}
	return &remoteFile{File: file}, nil
}

// remoteFile is a file whose errors are those of this package. The name is added by who reads.
type remoteFile struct{ dfs.File }

func (f *remoteFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	return n, readError(err)
}

func (f *remoteFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	return n, readError(err)
}

func readError(err error) error {
	if errors.Is(err, dfs.ErrCorrupt) {
		return damage(err)
	}
	return err
}
