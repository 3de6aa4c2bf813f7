package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	lib "github.com/colinmarc/hdfs/v2"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// describe gives what the library says of a file.
func describe(info os.FileInfo) dfs.Info {
	d := dfs.Info{Name: info.Name(), Dir: info.IsDir(), Modified: info.ModTime()}
	if of, ok := info.(*lib.FileInfo); ok {
		d.Owner = of.Owner()
	}
	if !d.Dir {
		d.Size = info.Size()
	}
	return d
}

// Stat is dfs.FS's. The size of a file that is being written is that of its blocks that are complete.
func (f *FS) Stat(ctx context.Context, name string) (dfs.Info, error) {
	info, err := f.stat(ctx, name)
	return info, wrap("describe", name, err)
}

func (f *FS) stat(ctx context.Context, name string) (info dfs.Info, err error) {
	if err := dfs.CheckPath(name); err != nil {
		return dfs.Info{}, err
	}
	err = f.call(ctx, true, func(s *session) error {
		got, err := s.client.Stat(name)
		if err == nil {
			info = describe(got)
		}
		return err
	})
	return info, err
}

// batch is how many entries of a directory are asked for at once: as many as namenodes give unless told otherwise.
const batch = 1000

// ReadDir is dfs.FS's. Files that Create has not completed are left out.
func (f *FS) ReadDir(ctx context.Context, name string, limit int) ([]dfs.Info, error) {
	if err := dfs.CheckPath(name); err != nil {
		return nil, wrap("list", name, err)
	}
	if limit < 0 {
		return nil, wrap("list", name, fmt.Errorf("%w: a limit of %d", dfs.ErrInvalid, limit))
	}
	var list []dfs.Info
	err := f.call(ctx, true, func(s *session) (err error) {
		list, err = readDir(s.client, name, limit)
		return err
	})
	if err != nil {
		return nil, wrap("list", name, err)
	}
	slices.SortFunc(list, func(a, b dfs.Info) int { return strings.Compare(a.Name, b.Name) })
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list, nil
}

// readDir reads as much of a directory as has its first entries in it. The namenode's order takes bytes as signed numbers: names
// with letters beyond ASCII come before others, not after them. So what is still to come can only come before such names, and enough is
// read when there are as many others as are wanted.
func readDir(client *lib.Client, name string, limit int) ([]dfs.Info, error) {
	dir, err := client.Open(name)
	if err != nil {
		return nil, err
	}
	if !dir.Stat().IsDir() {
		return nil, dfs.ErrNotDirectory
	}
	list := []dfs.Info{}
	for plain := 0; limit == 0 || plain < limit; {
		entries, err := dir.Readdir(batch)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), temporary) {
				continue
			}
			list = append(list, describe(e))
			if isASCII(e.Name()) {
				plain++
			}
		}
	}
	return list, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// MkdirAll is dfs.FS's.
func (f *FS) MkdirAll(ctx context.Context, name string) error {
	return wrap("make the directory", name, f.mkdirAll(ctx, name))
}

func (f *FS) mkdirAll(ctx context.Context, name string) error {
	if err := dfs.CheckPath(name); err != nil {
		return err
	}
	err := f.call(ctx, true, func(s *session) error { return s.client.MkdirAll(name, 0o755) })
	if errors.Is(err, fs.ErrExist) {
		// Something stands there that is no directory.
		return dfs.ErrNotDirectory
	}
	return err
}

// Rename is dfs.FS's. Where requests are wrapped by Kerberos (hadoop.rpc.protection integrity or privacy) the namenode cannot be told not
// to overwrite: it is looked before, and a file that another writes in the same moment is lost.
func (f *FS) Rename(ctx context.Context, from, to string) error {
	return wrap(fmt.Sprintf("rename to %q", to), from, f.rename(ctx, from, to))
}

func (f *FS) rename(ctx context.Context, from, to string) error {
	for _, name := range []string{from, to} {
		if err := dfs.CheckPath(name); err != nil {
			return err
		}
	}
	switch {
	case from == "/" || strings.HasPrefix(to, from+"/"):
		return fmt.Errorf("%w: a directory cannot be moved into itself", dfs.ErrInvalid)
	case to == "/":
		return fs.ErrExist
	}
	return f.call(ctx, false, func(s *session) error {
		if f.config.Kerberos.Enabled() {
			if _, err := s.client.Stat(to); err == nil {
				return fs.ErrExist
			}
		}
		return s.client.Rename(from, to)
	})
}

// Remove is dfs.FS's.
func (f *FS) Remove(ctx context.Context, name string, all bool) error {
	return wrap("remove", name, f.remove(ctx, name, all))
}

func (f *FS) remove(ctx context.Context, name string, all bool) error {
	if err := dfs.CheckPath(name); err != nil {
		return err
	}
	if path.Dir(name) == name {
		return dfs.ErrInvalid
	}
	return f.call(ctx, false, func(s *session) error {
		if !all {
			return s.client.Remove(name)
		}
		// The library takes for a success that there is nothing.
		if _, err := s.client.Stat(name); err != nil {
			return err
		}
		return s.client.RemoveAll(name)
	})
}
