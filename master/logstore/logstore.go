package logstore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// Errors that callers branch on, besides fs.ErrNotExist.
var (
	// ErrFull: the spool has no room for another log, because the file system has not taken any for long.
	ErrFull = errors.New("too many logs wait to be archived")
	// ErrName: what is to be kept cannot be the name of a file.
	ErrName = errors.New("not the name of a log")
)

// Config is where logs go. FS, Root and Spool are required; other zero fields stand for the defaults.
type Config struct {
	// FS is the file system, Root an absolute path in it.
	FS   dfs.FS
	Root string
	// Spool is a directory of this machine.
	Spool string
	// MaxSpool bounds what waits there, in bytes. Default 1 GiB.
	MaxSpool int64
	// Parallel is how many logs are written at the same time. Default 4.
	Parallel int
	// Backoff is the pause before a file system that failed is asked again; it doubles up to BackoffCap. Defaults 1 s and 1 min.
	Backoff, BackoffCap time.Duration
	// Farewell is how long Close goes on writing. Default 5 s.
	Farewell time.Duration
	Logger   *slog.Logger
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Backoff, time.Second}, {&c.BackoffCap, time.Minute}, {&c.Farewell, 5 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.MaxSpool == 0 {
		c.MaxSpool = 1 << 30
	}
	if c.Parallel == 0 {
		c.Parallel = 4
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Store is an archive of logs. All methods may be called from several goroutines.
type Store struct {
	cfg  Config
	wake chan struct{}
	stop context.CancelFunc
	work sync.WaitGroup

	mu sync.Mutex
	// spooled is how many bytes wait in the spool, as far as is known.
	spooled int64
	closed  bool
}

// What files of the spool are, by the ends of their names: a log, and a log that is to be removed.
const (
	logFile  = ".log"
	goneFile = ".gone"
	tempFile = ".log-*"
)

// New makes a Store. It asks nothing of the file system, and writes nothing before Start.
func New(c Config) (*Store, error) {
	if c.FS == nil || !path.IsAbs(c.Root) || path.Clean(c.Root) != c.Root || c.Spool == "" {
		return nil, errors.New("an archive of logs needs a file system, a directory in it and one of this machine")
	}
	return &Store{cfg: c.withDefaults(), wake: make(chan struct{}, 1)}, nil
}

func checkName(name string) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\:\x00") {
		return fmt.Errorf("%w: %.100q", ErrName, name)
	}
	return nil
}

// place is where the log of a name is in the file system. Directories of millions of files are more than HDFS takes.
func (s *Store) place(name string) string {
	h := fnv.New32a()
	_, _ = io.WriteString(h, name) // never fails
	return path.Join(s.cfg.Root, fmt.Sprintf("%02x", byte(h.Sum32())), name+logFile)
}

func (s *Store) spool(name, kind string) string { return filepath.Join(s.cfg.Spool, name+kind) }

// Kept reports whether the log of a name waits to be written. It asks this machine only: one that was written is not known.
func (s *Store) Kept(name string) bool {
	_, err := os.Stat(s.spool(name, logFile))
	return err == nil && checkName(name) == nil
}

// Put takes a log to its end, and returns as soon as it is on this machine. A name that has a log in the file system keeps that one.
func (s *Store) Put(_ context.Context, name string, log io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := os.MkdirAll(s.cfg.Spool, 0o700); err != nil {
		return fmt.Errorf("cannot keep a log: %w", err)
	}
	f, err := os.CreateTemp(s.cfg.Spool, tempFile)
	if err != nil {
		return fmt.Errorf("cannot keep a log: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // once it was renamed there is none
	n, err := io.Copy(&bounded{s, f}, log)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.spool(name, logFile))
	}
	if err != nil {
		s.count(-n)
		return fmt.Errorf("cannot keep a log: %w", err)
	}
	s.hurry()
	return nil
}

// bounded writes into the spool for as long as that has room.
type bounded struct {
	s *Store
	w io.Writer
}

func (b *bounded) Write(p []byte) (int, error) {
	if waiting := b.s.count(int64(len(p))); waiting > b.s.cfg.MaxSpool {
		b.s.count(-int64(len(p)))
		return 0, fmt.Errorf("%w: there are %d bytes in %s", ErrFull, waiting-int64(len(p)), b.s.cfg.Spool)
	}
	n, err := b.w.Write(p)
	b.s.count(int64(n - len(p)))
	return n, err
}

// count adds to what waits in the spool, and gives how much that is.
func (s *Store) count(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spooled += n
	return s.spooled
}

// Stat says when the log of a name was written. fs.ErrNotExist where there is none.
func (s *Store) Stat(ctx context.Context, name string) (time.Time, error) {
	if err := checkName(name); err != nil {
		return time.Time{}, err
	}
	if info, err := os.Stat(s.spool(name, logFile)); err == nil {
		return info.ModTime(), nil
	}
	if err := s.removed(name); err != nil {
		return time.Time{}, err
	}
	info, err := s.cfg.FS.Stat(ctx, s.place(name))
	if err != nil {
		return time.Time{}, err
	}
	return info.Modified, nil
}

// Open reads the log of a name, from an offset in bytes. The context bounds every read. fs.ErrNotExist where there is none.
func (s *Store) Open(ctx context.Context, name string, from int64) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if f, err := os.Open(s.spool(name, logFile)); err == nil {
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			_ = f.Close()
			return nil, err
		}
		return f, nil
	}
	if err := s.removed(name); err != nil {
		return nil, err
	}
	f, err := s.cfg.FS.Open(ctx, s.place(name))
	if err != nil {
		return nil, err
	}
	return &part{io.NewSectionReader(f, from, max(0, f.Size()-from)), f}, nil
}

// part is a file from an offset on.
type part struct {
	io.Reader
	io.Closer
}

// Remove removes the log of a name, soon. One that does not exist is no error.
func (s *Store) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := os.MkdirAll(s.cfg.Spool, 0o700); err != nil {
		return fmt.Errorf("cannot remove a log: %w", err)
	}
	if err := os.WriteFile(s.spool(name, goneFile), nil, 0o600); err != nil {
		return fmt.Errorf("cannot remove a log: %w", err)
	}
	s.hurry()
	return s.done(name, logFile)
}

// removed is the error of a log that is to be removed.
func (s *Store) removed(name string) error {
	if _, err := os.Stat(s.spool(name, goneFile)); err == nil {
		return fmt.Errorf("log %q was removed: %w", name, fs.ErrNotExist)
	}
	return nil
}

// hurry has somebody look at the spool.
func (s *Store) hurry() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
