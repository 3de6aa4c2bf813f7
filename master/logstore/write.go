package logstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// Start begins to write what is in the spool, until Close.
func (s *Store) Start() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.tidy()
	s.work.Go(func() { s.run(ctx) })
}

// Close ends writing: what is in the spool then is written after the next Start. A file system that answers is given Config.Farewell
// to take what is left. Idempotent.
func (s *Store) Close() error {
	s.mu.Lock()
	began := s.stop != nil && !s.closed
	s.closed = true
	s.mu.Unlock()
	if began {
		s.stop()
		s.work.Wait()
	}
	return nil
}

// run writes until ctx is done. Trouble is said once, and that it is over.
func (s *Store) run(ctx context.Context) {
	for failures := 0; ; {
		err := s.pass(ctx)
		switch {
		case ctx.Err() != nil:
			s.farewell(failures)
			return
		case err != nil && failures == 0:
			s.cfg.Logger.Warn("cannot write logs to their archive; they wait on this machine", "archive", s.cfg.Root, "spool", s.cfg.Spool, "error", err)
		case err == nil && failures > 0:
			s.cfg.Logger.Info("logs are written to their archive again", "archive", s.cfg.Root)
		}
		var again <-chan time.Time
		if err == nil {
			failures = 0
		} else {
			again = time.After(min(s.cfg.Backoff<<min(failures, 20), s.cfg.BackoffCap))
			failures++
		}
		if !s.await(ctx, again) {
			s.farewell(failures)
			return
		}
	}
}

// await waits for news, or after a failure for the time to try again. false: it is over.
func (s *Store) await(ctx context.Context, again <-chan time.Time) bool {
	wake := s.wake
	if again != nil {
		wake = nil // what is new would fare no better
	}
	select {
	case <-wake:
	case <-again:
	case <-ctx.Done():
		return false
	}
	return true
}

// farewell writes what is left, if there is hope.
func (s *Store) farewell(failures int) {
	if failures > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Farewell)
	defer cancel()
	if err := s.pass(ctx); err != nil {
		s.cfg.Logger.Warn("logs were left to be archived after the next start", "spool", s.cfg.Spool, "error", err)
	}
}

// abandoned is the age after which nobody writes a file any more that was begun.
const abandoned = 24 * time.Hour

// tidy removes what a master that was killed has begun, and counts what there is. Others may share the directory, and write.
func (s *Store) tidy() {
	all, _ := filepath.Glob(filepath.Join(s.cfg.Spool, "*")) // the pattern is a good one
	var sum int64
	for _, name := range all {
		info, err := os.Stat(name)
		switch {
		case err != nil:
		case strings.HasPrefix(info.Name(), ".") && time.Since(info.ModTime()) > abandoned:
			_ = os.Remove(name) // the next start tries again
		default:
			sum += info.Size()
		}
	}
	s.mu.Lock()
	s.spooled = sum
	s.mu.Unlock()
}

// atOnce is how many names are held in memory.
const atOnce = 256

// pass writes everything that is in the spool. It goes on behind a log that cannot be written, unless the file system is away.
func (s *Store) pass(ctx context.Context) error {
	dir, err := os.Open(s.cfg.Spool)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // nothing was written
	var left int64
	var failed error
	for {
		entries, err := dir.ReadDir(atOnce)
		bytes, wrong := s.some(ctx, entries)
		left += bytes
		if failed == nil {
			failed = wrong
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if errors.Is(failed, dfs.ErrUnavailable) {
			return failed
		}
	}
	s.mu.Lock()
	s.spooled = left // which was a guess: another master may share the directory
	s.mu.Unlock()
	return failed
}

// some works on some files of the spool: first on logs, then on what is to be removed, so that no log is written behind its removal.
// It gives how many bytes stay, and the first error.
func (s *Store) some(ctx context.Context, entries []os.DirEntry) (left int64, failed error) {
	for _, kind := range []struct {
		suffix string
		do     func(ctx context.Context, name string) error
	}{{logFile, s.writeOne}, {goneFile, s.removeOne}} {
		bytes, err := s.each(ctx, entries, kind.suffix, kind.do)
		left += bytes
		if failed == nil {
			failed = err
		}
		if errors.Is(failed, dfs.ErrUnavailable) {
			break
		}
	}
	return left, failed
}

// each works on the files of one kind.
func (s *Store) each(ctx context.Context, entries []os.DirEntry, suffix string, do func(ctx context.Context, name string) error) (left int64, failed error) {
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		slots = make(chan struct{}, s.cfg.Parallel)
	)
	for _, e := range entries {
		info, err := e.Info()
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if err != nil || !ok || strings.HasPrefix(name, ".") || !info.Mode().IsRegular() {
			continue // it is being written, or no longer there
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			var err error
			mu.Lock()
			away := errors.Is(failed, dfs.ErrUnavailable) || ctx.Err() != nil
			mu.Unlock()
			if !away {
				err = do(ctx, name)
			}
			mu.Lock()
			defer mu.Unlock()
			if away || err != nil {
				left += info.Size()
			}
			if failed == nil {
				failed = err
			}
		})
	}
	group.Wait()
	return left, failed
}

func (s *Store) removeOne(ctx context.Context, name string) error {
	err := s.cfg.FS.Remove(ctx, s.place(name), false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the log %q: %w", name, err)
	}
	return s.done(name, logFile, goneFile)
}

func (s *Store) writeOne(ctx context.Context, name string) error {
	f, err := os.Open(s.spool(name, logFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was removed, or another master has written it
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	w, err := s.cfg.FS.Create(ctx, s.place(name))
	if err == nil {
		if _, err = io.Copy(w, f); err != nil {
			err = errors.Join(err, w.Abort())
		} else {
			err = w.Close()
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot write the log %q: %w", name, err)
	}
	return s.done(name, logFile)
}

// done removes files of the spool that are not needed any more.
func (s *Store) done(name string, kinds ...string) error {
	for _, kind := range kinds {
		if err := os.Remove(s.spool(name, kind)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
