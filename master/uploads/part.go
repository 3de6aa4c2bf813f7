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
	"time"

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
// the content is moved into the file system, if its checksum is right. Where that takes longer than Config.Wait, nothing is missing and it
// is not complete yet: ask again.
func (s *Store) Put(ctx context.Context, c Content, offset int64, data []byte) (State, error) {
	if err := c.check(s.cfg.MaxSize); err != nil {
		return State{}, err
	}
	s.mu.Lock()
	m := s.moves[c]
	s.mu.Unlock()
	if m != nil {
		return s.await(ctx, c, m)
	}
	unlock, err := s.lock(ctx, c.SHA256)
	if err != nil {
		return State{}, err
	}
	have, complete, err := s.take(ctx, c, offset, data)
	if err != nil || complete || have < c.Size {
		unlock()
		return State{Offset: have, Complete: complete, URI: s.URI(c)}, err
	}
	if m, err = s.move(c, unlock); err != nil {
		unlock()
		return State{}, err
	}
	return s.await(ctx, c, m)
}

// take stages a part of a content that is not complete yet, and gives how much there is.
func (s *Store) take(ctx context.Context, c Content, offset int64, data []byte) (have int64, complete bool, err error) {
	switch ok, err := s.there(ctx, c); {
	case err != nil:
		return 0, false, fmt.Errorf("cannot look for %q: %w", c.Name, err)
	case ok:
		return c.Size, true, os.RemoveAll(s.staged(c))
	}
	have, err = s.stage(c, offset, data)
	return have, false, err
}

// A move is a content on its way into the file system.
type move struct {
	done chan struct{}
	// err is what came of it, once done is closed.
	err error
}

// move begins to move a content whose turn it is, and unlocks it at the end.
func (s *Store) move(c Content, unlock func()) (*move, error) {
	m := &move{done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.life.Err(); err != nil {
		return nil, fmt.Errorf("cannot store %q: %w: the uploads were closed", c.Name, dfs.ErrUnavailable)
	}
	s.moves[c] = m
	s.work.Go(func() {
		m.err = s.store(s.life, c)
		s.mu.Lock()
		delete(s.moves, c)
		s.mu.Unlock()
		unlock()
		close(m.done)
	})
	return m, nil
}

// await waits for a move, but not for long.
func (s *Store) await(ctx context.Context, c Content, m *move) (State, error) {
	state := State{Offset: c.Size, URI: s.URI(c)}
	timer := time.NewTimer(s.cfg.Wait)
	defer timer.Stop()
	select {
	case <-m.done:
		if m.err != nil {
			return State{}, m.err
		}
		state.Complete = true
	case <-timer.C:
	case <-ctx.Done():
		return State{}, fmt.Errorf("cannot wait for %q to be stored: %w", c.Name, ctx.Err())
	}
	return state, nil
}

// staged is the file of a content that is on its way. Who announces another size is at something else: one of the two is wrong.
func (s *Store) staged(c Content) string {
	return filepath.Join(s.cfg.Staging, fmt.Sprintf("%s-%d", c.SHA256, c.Size))
}

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
	if err := s.write(ctx, c, f); err != nil {
		return fmt.Errorf("cannot store %q: %w", c.Name, err)
	}
	return os.Remove(s.staged(c))
}

// write makes the file of a content. Where another master does the same at the same time, one of them comes second, and leaves what is
// there to the stages that may be reading it by now. What has another length is not whole: it is removed.
func (s *Store) write(ctx context.Context, c Content, from io.ReadSeeker) error {
	name := path.Join(s.dir(c.SHA256), c.Name)
	for again := true; ; again = false {
		if _, err := from.Seek(0, io.SeekStart); err != nil {
			return err
		}
		w, err := s.cfg.FS.Create(ctx, name)
		if err == nil {
			err = finish(w, from)
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		switch ok, problem := s.there(ctx, c); {
		case ok || problem != nil:
			return problem
		case !again:
			return err
		}
		if err := s.cfg.FS.Remove(ctx, name, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

func finish(w dfs.Writer, from io.Reader) error {
	if _, err := io.Copy(w, from); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Close()
}
