// Package uploads keeps what users send along with their plans: jars, functions, small data. It puts each content once into a file
// system that the stages can read, and knows which tasks use it, so that it goes when the last of them goes.
//
//	<root>/content/<2 hex digits>/<sha256>/<name>    the content, under the name that it was sent with
//	<root>/content/<2 hex digits>/<sha256>/_tasks/T  a mark: task T uses it
//	<root>/tasks/T/<sha256>                          the same the other way round
//
// What is only partly there is on this machine (Config.Staging) until it is whole and its checksum is right: a file system such as HDFS
// cannot be written in pieces by several connections.
package uploads

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// Errors that callers branch on.
var (
	// ErrBad: what was sent cannot be an upload. The error says why.
	ErrBad = errors.New("not an upload")
	// ErrChecksum: the bytes that arrived are not those of the checksum. They are dropped.
	ErrChecksum = errors.New("checksum is wrong")
	// ErrMissing: the content is not there (any more). It has to be sent again.
	ErrMissing = errors.New("content is not there")
	// ErrTooLarge: the content is larger than is allowed, or there is too much under way.
	ErrTooLarge = errors.New("too large")
)

// Config is where uploads go. All fields but the bounds are required.
type Config struct {
	// FS is the file system, Root the directory in it, Base the URI of Root as stages know it.
	FS         dfs.FS
	Root, Base string
	// Staging is a directory of this machine.
	Staging string
	// MaxSize bounds one content in bytes (default 1 GiB), MaxStaged all that is under way (default 4 GiB).
	MaxSize, MaxStaged int64
	// Wait is how long Put waits for a complete content to be moved into the file system, which goes on after that. Default 5 s.
	Wait time.Duration
	// Unused is how long content is kept that no task uses, and what is only partly there. Default 24 h.
	Unused time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Store is the uploads of one installation. Its methods may be called from several goroutines. Close ends it.
type Store struct {
	cfg Config
	// life ends with Close; work is what is being moved.
	life context.Context //nolint:containedctx // the life of what callers need not wait for
	end  context.CancelFunc
	work sync.WaitGroup

	mu sync.Mutex
	// turns has one lock per content that is being worked on, moves are the contents that are being moved into the file system.
	turns map[string]*turn
	moves map[Content]*move
}

type turn struct {
	busy  chan struct{} // has one place
	users int
}

// Content names what was sent: the same bytes under the same name are the same content.
type Content struct {
	// SHA256 is the checksum of the bytes in hexadecimal digits, Size their number.
	SHA256 string
	Size   int64
	// Name is the file's, without directories.
	Name string
}

// maxName bounds the name of a file in bytes: that of HDFS is 255.
const maxName = 200

func (c Content) check(maxSize int64) error {
	if sum, err := hex.DecodeString(c.SHA256); err != nil || len(sum) != 32 || strings.ToLower(c.SHA256) != c.SHA256 {
		return fmt.Errorf("%w: %.80q is no SHA-256 in lower-case hexadecimal digits", ErrBad, c.SHA256)
	}
	bad := func(r rune) bool { return r == '/' || r == '\\' || r == ':' || unicode.IsControl(r) }
	if c.Name == "" || len(c.Name) > maxName || strings.HasPrefix(c.Name, ".") || strings.HasPrefix(c.Name, "_") ||
		!utf8.ValidString(c.Name) || strings.ContainsFunc(c.Name, bad) {
		return fmt.Errorf("%w: %.80q cannot be the name of a file", ErrBad, c.Name)
	}
	if c.Size < 0 {
		return fmt.Errorf("%w: its size is negative", ErrBad)
	}
	if c.Size > maxSize {
		return fmt.Errorf("%w: %q has %d bytes, %d are allowed", ErrTooLarge, c.Name, c.Size, maxSize)
	}
	return nil
}

// New makes a Store. It asks nothing of the file system yet.
func New(c Config) (*Store, error) {
	if c.FS == nil || !path.IsAbs(c.Root) || path.Clean(c.Root) != c.Root || c.Base == "" || c.Staging == "" {
		return nil, errors.New("uploads need a file system, a directory in it, its URI and a directory of this machine")
	}
	if c.MaxSize == 0 {
		c.MaxSize = 1 << 30
	}
	if c.MaxStaged == 0 {
		c.MaxStaged = 4 << 30
	}
	if c.Unused == 0 {
		c.Unused = 24 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wait == 0 {
		c.Wait = 5 * time.Second
	}
	s := &Store{cfg: c, turns: map[string]*turn{}, moves: map[Content]*move{}}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Close breaks off what is being moved into the file system, and waits for it. It is begun anew when it is asked for again.
func (s *Store) Close() {
	s.mu.Lock() // what is begun later fails at once
	s.end()
	s.mu.Unlock()
	s.work.Wait()
}

// lock gives the caller a content for himself, once it is his turn: moving a large one into the file system takes a while.
func (s *Store) lock(ctx context.Context, sum string) (unlock func(), err error) {
	s.mu.Lock()
	t := s.turns[sum]
	if t == nil {
		t = &turn{busy: make(chan struct{}, 1)}
		s.turns[sum] = t
	}
	t.users++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		if t.users--; t.users == 0 {
			delete(s.turns, sum)
		}
		s.mu.Unlock()
	}
	select {
	case t.busy <- struct{}{}:
		return func() { <-t.busy; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("cannot wait for who is at the same content: %w", ctx.Err())
	}
}

const (
	contentDir = "content"
	tasksDir   = "tasks"
	marksDir   = "_tasks"
)

// dir is the directory of a content.
func (s *Store) dir(sum string) string { return path.Join(s.cfg.Root, contentDir, sum[:2], sum) }

// URI is where stages find a content.
func (s *Store) URI(c Content) string {
	return strings.TrimSuffix(s.cfg.Base, "/") + "/" + path.Join(contentDir, c.SHA256[:2], c.SHA256, c.Name)
}

// there reports whether a content is in the file system.
func (s *Store) there(ctx context.Context, c Content) (bool, error) {
	info, err := s.cfg.FS.Stat(ctx, path.Join(s.dir(c.SHA256), c.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && !info.Dir && info.Size == c.Size, err
}

// Claim notes that a new task uses contents, so that they stay for as long as it does. ErrMissing names one that has to be sent first;
// after an error the task has nothing.
func (s *Store) Claim(ctx context.Context, task string, all []Content) error {
	for _, c := range all {
		if err := c.check(s.cfg.MaxSize); err != nil {
			return err
		}
		if err := s.claim(ctx, task, c); err != nil {
			return errors.Join(err, s.Release(ctx, task))
		}
	}
	return nil
}

func (s *Store) claim(ctx context.Context, task string, c Content) error {
	unlock, err := s.lock(ctx, c.SHA256)
	if err != nil {
		return err
	}
	defer unlock()
	// The marks come first: what is marked is not removed.
	for _, mark := range []string{path.Join(s.cfg.Root, tasksDir, task, c.SHA256), path.Join(s.dir(c.SHA256), marksDir, task)} {
		if err := s.mark(ctx, mark); err != nil {
			return fmt.Errorf("cannot note that task %q uses %q: %w", task, c.Name, err)
		}
	}
	ok, err := s.there(ctx, c)
	if err != nil {
		return fmt.Errorf("cannot look for %q: %w", c.Name, err)
	}
	if !ok {
		return fmt.Errorf("%q: %w", c.Name, ErrMissing)
	}
	return nil
}

func (s *Store) mark(ctx context.Context, name string) error {
	w, err := s.cfg.FS.Create(ctx, name)
	if err == nil {
		err = w.Close()
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// Release forgets a task, and removes what nobody else uses. A task without uploads is no error.
func (s *Store) Release(ctx context.Context, task string) error {
	home := path.Join(s.cfg.Root, tasksDir, task)
	marks, err := s.cfg.FS.ReadDir(ctx, home, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look for the uploads of task %q: %w", task, err)
	}
	for _, m := range marks {
		if err := s.release(ctx, task, m.Name); err != nil {
			return fmt.Errorf("cannot remove an upload of task %q: %w", task, err)
		}
	}
	if err := s.cfg.FS.Remove(ctx, home, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot forget the uploads of task %q: %w", task, err)
	}
	return nil
}

func (s *Store) release(ctx context.Context, task, sum string) error {
	if len(sum) != 64 {
		return nil // none of ours
	}
	unlock, err := s.lock(ctx, sum)
	if err != nil {
		return err
	}
	defer unlock()
	err = s.cfg.FS.Remove(ctx, path.Join(s.dir(sum), marksDir, task), false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	used, err := s.used(ctx, sum)
	if used || err != nil {
		return err
	}
	return s.remove(ctx, sum)
}

// used reports whether a task uses a content.
func (s *Store) used(ctx context.Context, sum string) (bool, error) {
	marks, err := s.cfg.FS.ReadDir(ctx, path.Join(s.dir(sum), marksDir), 1)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(marks) > 0, err
}

func (s *Store) remove(ctx context.Context, sum string) error {
	if err := s.cfg.FS.Remove(ctx, s.dir(sum), true); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
