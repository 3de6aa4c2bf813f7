package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An entry is one file, directory or link of an image.
type entry struct {
	mode   fs.FileMode // permissions, with the sticky bit and its like
	source string      // a file on this machine with the content; "" for none
	text   []byte      // the content if source is ""
	link   string      // where a symbolic link leads; "" for none
	dir    bool
	uid    int
	gid    int
}

// A tree is what a layer of an image holds, by absolute slash-separated path. It has no root.
type tree map[string]entry

// errPath is the reason of a path that an image cannot have.
var errPath = errors.New("must be absolute and not the root")

// put sets what is at a path. The directories above it are made, for all to read, unless they are there.
func (t tree) put(name string, e entry) error {
	clean := path.Clean(name)
	if !path.IsAbs(name) || clean == "/" {
		return fmt.Errorf("path %q in the image: %w", name, errPath)
	}
	if old, known := t[clean]; known && old.dir != e.dir {
		return fmt.Errorf("path %q in the image: a directory and something else", name)
	}
	for above := path.Dir(clean); above != "/"; above = path.Dir(above) {
		old, known := t[above]
		if known && !old.dir {
			return fmt.Errorf("path %q in the image: %q above it is no directory", name, above)
		}
		if !known {
			t[above] = entry{mode: 0o755, dir: true}
		}
	}
	t[clean] = e
	return nil
}

// putFile sets a file of this machine at a path; links are followed. The mode is the file's own, without write permission for
// others than the owner, if mode is 0.
func (t tree) putFile(source, name string, mode fs.FileMode) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("cannot take a file into the image: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("cannot take %q into the image: no regular file", source)
	}
	if mode == 0 {
		mode = info.Mode().Perm() &^ 0o022
	}
	return t.put(name, entry{mode: mode, source: source})
}

// putTree sets a directory of this machine, with all below it, at a path. Links stay links.
func (t tree) putTree(source, name string) error {
	return filepath.WalkDir(source, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot take a directory into the image: %w", err)
		}
		relative, err := filepath.Rel(source, file)
		if err != nil {
			return err
		}
		to := path.Join(name, filepath.ToSlash(relative))
		switch {
		case to == "/":
			return nil
		case d.IsDir():
			info, err := d.Info()
			if err != nil {
				return err
			}
			return t.put(to, entry{mode: info.Mode().Perm() &^ 0o022, dir: true})
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			return t.put(to, entry{mode: 0o777, link: target})
		default:
			return t.putFile(file, to, 0)
		}
	})
}

// write writes the tree as a tar archive whose bytes depend on nothing but the tree and the time.
func (t tree) write(w io.Writer, at time.Time) error {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	archive := tar.NewWriter(w)
	for _, name := range names {
		if err := writeEntry(archive, strings.TrimPrefix(name, "/"), t[name], at); err != nil {
			return fmt.Errorf("cannot write %q into the layer: %w", name, err)
		}
	}
	return archive.Close()
}

func writeEntry(archive *tar.Writer, name string, e entry, at time.Time) error {
	header := &tar.Header{Name: name, Mode: tarMode(e.mode), Uid: e.uid, Gid: e.gid, ModTime: at, Format: tar.FormatPAX}
	switch {
	case e.dir:
		header.Typeflag, header.Name = tar.TypeDir, name+"/"
	case e.link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, e.link
	default:
		header.Typeflag = tar.TypeReg
	}
	if header.Typeflag != tar.TypeReg {
		return archive.WriteHeader(header)
	}
	content, size, err := e.open()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // only read from
	header.Size = size
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, content)
	return err
}

// open gives the content of a file and its size in bytes.
func (e entry) open() (io.ReadCloser, int64, error) {
	if e.source == "" {
		return io.NopCloser(bytes.NewReader(e.text)), int64(len(e.text)), nil
	}
	f, err := os.Open(e.source)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// tarMode gives the mode as tar has it, where the special bits lie elsewhere than in Go.
func tarMode(mode fs.FileMode) int64 {
	bits := int64(mode.Perm())
	for _, special := range []struct {
		of  fs.FileMode
		bit int64
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if mode&special.of != 0 {
			bits |= special.bit
		}
	}
	return bits
}
