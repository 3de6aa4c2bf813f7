package uploads

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// State is how far an upload has come.
type State struct {
	// Offset is the first byte that is missing; that of a complete content is its size.
	Offset   int64
	Complete bool
	// URI is where stages find it once it is complete.
	URI string
}

// Put takes a part of a content, beginning at offset, and says what is missing. Parts come in order; one that does not begin where the
// last one ended is dropped, and the answer says where to go on. So an empty part asks how far the upload has come. With the last one
// the content is moved into the file system, if its checksum is right.
func (s *Store) Put(ctx context.Context, c Content, offset int64, data []byte) (State, error) {
	if err := c.check(s.cfg.MaxSize); err != nil {
		return State{}, err
	}
	defer s.lock(c.SHA256)()
	done := State{Offset: c.Size, Complete: true, URI: s.URI(c)}
	if ok, err := s.there(ctx, c); err != nil {
		return State{}, fmt.Errorf("cannot look for %q: %w", c.Name, err)
	} else if ok {
		return done, os.RemoveAll(s.staged(c))
	}
	have, err := s.stage(c, offset, data)
	if err != nil || have < c.Size {
		return State{Offset: have, URI: done.URI}, err
	}
	if err := s.store(ctx, c); err != nil {
		return State{}, err
	}
	return done, nil
}

// staged is the file of a content that is on its way.
func (s *Store) staged(c Content) string { return filepath.Join(s.cfg.Staging, c.SHA256) }

// stage appends a part, and gives how much there is.
func (s *Store) stage(c Content, offset int64, data []byte) (have int64, err error) {
	if err := os.MkdirAll(s.cfg.Staging, 0o700); err != nil {
		return 0, fmt.Errorf("cannot take an upload: %w", err)
	}
	f, err := os.OpenFile(s.staged(c), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, fmt.Errorf("cannot take an upload: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("cannot take an upload: %w", err)
	}
	have = info.Size()
	if offset != have || len(data) == 0 {
		return have, nil
	}
	if have+int64(len(data)) > c.Size {
		return have, fmt.Errorf("%w: %q has more bytes than the %d that were announced", ErrBad, c.Name, c.Size)
	}
	if under, err := s.underway(); err != nil || under+int64(len(data)) > s.cfg.MaxStaged {
		return have, errors.Join(err, fmt.Errorf("%w: %d bytes are being uploaded already, by all users together", ErrTooLarge, under))
	}
	if _, err := f.WriteAt(data, have); err != nil {
		return have, errors.Join(fmt.Errorf("cannot keep an upload: %w", err), f.Truncate(have))
	}
	return have + int64(len(data)), nil
}

// underway is how many bytes are staged.
func (s *Store) underway() (sum int64, err error) {
	entries, err := os.ReadDir(s.cfg.Staging)
	if err != nil {
		return 0, fmt.Errorf("cannot look at the uploads that are under way: %w", err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum, nil
}

// store moves a content that is complete to where the stages find it.
func (s *Store) store(ctx context.Context, c Content) error {
	f, err := os.Open(s.staged(c))
	if err != nil {
		return fmt.Errorf("cannot read an upload: %w", err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return fmt.Errorf("cannot read an upload: %w", err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != c.SHA256 {
		return errors.Join(fmt.Errorf("%q: %w: it is %s, and should be %s", c.Name, ErrChecksum, sum, c.SHA256), os.Remove(s.staged(c)))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("cannot read an upload: %w", err)
	}
	if err := s.write(ctx, path.Join(s.dir(c.SHA256), c.Name), f); err != nil {
		return fmt.Errorf("cannot store %q: %w", c.Name, err)
	}
	return os.Remove(s.staged(c))
}

// write makes a file. What is there under its name is not whole: it is what another master began.
func (s *Store) write(ctx context.Context, name string, from io.Reader) error {
	w, err := s.cfg.FS.Create(ctx, name)
	if errors.Is(err, fs.ErrExist) {
		if err := s.cfg.FS.Remove(ctx, name, false); err != nil {
			return err
		}
		w, err = s.cfg.FS.Create(ctx, name)
	}
	if err != nil {
		return err
	}
	return finish(w, from)
}

func finish(w dfs.Writer, from io.Reader) error {
	if _, err := io.Copy(w, from); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Close()
}
