package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// local reads the local file system below its roots.
//
// A name is resolved first, links and all, and what it leads to must be below a root. It is then opened through os.Root, which
// refuses to leave the root: if somebody puts a link in place after the check, the open fails.
type local struct{ roots []string }

// resolved is a checked name.
type resolved struct {
	root, rel string
}

// resolve checks that a name leads below a root. Of a name that does not exist, the part that exists decides, so that nobody
// learns what exists elsewhere.
func (l *local) resolve(name string) (resolved, error) {
	actual, err := realPath(name)
	if err != nil {
		return resolved{}, &DeniedError{Path: name, Roots: l.roots}
	}
	for _, root := range l.roots {
		top, err := filepath.EvalSymlinks(root)
		if err != nil {
			continue // a root that does not exist yet has nothing in it
		}
		if rel, err := filepath.Rel(top, actual); err == nil && filepath.IsLocal(rel) {
			return resolved{root: top, rel: rel}, nil
		}
	}
	return resolved{}, &DeniedError{Path: name, Roots: l.roots}
}

// realPath follows the links of as much of a name as exists.
func realPath(name string) (string, error) {
	actual, err := filepath.EvalSymlinks(name)
	if err == nil {
		return actual, nil
	}
	parent := filepath.Dir(name)
	if parent == name || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return "", err
	}
	actual, err = realPath(parent)
	if err != nil {
		return "", err
	}
	return filepath.Join(actual, filepath.Base(name)), nil
}

// in runs f with the root that a name is below.
func (l *local) in(ctx context.Context, name string, f func(root *os.Root, rel string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at, err := l.resolve(name)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(at.root)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", name, err)
	}
	defer func() { _ = root.Close() }()
	if err := f(root, at.rel); err != nil {
		// The path inside the root means nothing to whoever asked.
		var in *fs.PathError
		if errors.As(err, &in) {
			err = in.Err
		}
		if errors.Is(err, syscall.ENOTDIR) {
			err = fs.ErrNotExist // something on the way is a file
		}
		return fmt.Errorf("cannot read %q: %w", name, err)
	}
	return nil
}

// Stat follows links.
func (l *local) Stat(ctx context.Context, name string) (e Entry, err error) {
	err = l.in(ctx, name, func(root *os.Root, rel string) error {
		info, err := root.Stat(rel)
		if err == nil {
			e = entry(filepath.Base(name), info)
		}
		return err
	})
	return e, err
}

func entry(name string, info fs.FileInfo) Entry {
	kind := KindOther
	switch {
	case info.IsDir():
		kind = KindDirectory
	case info.Mode().IsRegular():
		kind = KindFile
	}
	return Entry{Name: name, Kind: kind, Size: info.Size()}
}

// ReadDir lists a directory. Links in it count for what they lead to; one that leads out of the roots is an error, since
// leaving it out would pass for a smaller result.
func (l *local) ReadDir(ctx context.Context, name string, limit int) ([]Entry, error) {
	var entries []Entry
	err := l.in(ctx, name, func(root *os.Root, rel string) error {
		dir, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer func() { _ = dir.Close() }()
		list, err := dir.ReadDir(limit)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for _, d := range list {
			info, err := d.Info()
			if missing(err) {
				continue // it was removed meanwhile
			}
			if err != nil {
				return err
			}
			entries = append(entries, entry(d.Name(), info))
			if info.Mode()&fs.ModeSymlink != 0 {
				e, err := l.Stat(ctx, filepath.Join(name, d.Name()))
				if err != nil && !missing(err) {
					return err
				}
				if err == nil {
					entries[len(entries)-1] = e
				}
			}
		}
		return nil
	})
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, err
}

// Open opens a regular file.
func (l *local) Open(ctx context.Context, name string) (file io.ReadCloser, err error) {
	err = l.in(ctx, name, func(root *os.Root, rel string) error {
		// Opening a device may do something, and opening a pipe waits for a writer: so look first, and do not wait if it has
		// been exchanged meanwhile.
		info, err := root.Stat(rel)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return ErrNotRegular
		}
		f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
			return errors.Join(err, ErrNotRegular, f.Close())
		}
		file = f
		return nil
	})
	return file, err
}
