package uploads

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// Sweep removes what is not used and has not changed for Config.Unused: contents of no task, and uploads that were given up. Tasks that do
// not exist (any more) are released first; exists is asked about each that has uploads. What cannot be looked at is left for the next time.
func (s *Store) Sweep(ctx context.Context, exists func(ctx context.Context, task string) (bool, error)) error {
	errs := []error{s.sweepStaging(ctx)}
	tasks, err := s.list(ctx, path.Join(s.cfg.Root, tasksDir))
	errs = append(errs, err)
	for _, task := range tasks {
		// One that is just being submitted has its marks already.
		if s.cfg.Now().Sub(task.Modified) < s.cfg.Unused {
			continue
		}
		switch known, err := exists(ctx, task.Name); {
		case err != nil:
			errs = append(errs, err)
		case !known:
			errs = append(errs, s.Release(ctx, task.Name))
		}
	}
	return errors.Join(append(errs, s.sweepContent(ctx))...)
}

func (s *Store) sweepStaging(ctx context.Context) error {
	entries, err := os.ReadDir(s.cfg.Staging)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		sum, _, _ := strings.Cut(e.Name(), "-")
		unlock, err := s.lock(ctx, sum)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if info, err := e.Info(); err == nil && s.cfg.Now().Sub(info.ModTime()) >= s.cfg.Unused {
			errs = append(errs, os.Remove(filepath.Join(s.cfg.Staging, e.Name())))
		}
		unlock()
	}
	return errors.Join(errs...)
}

func (s *Store) sweepContent(ctx context.Context) error {
	top := path.Join(s.cfg.Root, contentDir)
	groups, err := s.list(ctx, top)
	errs := []error{err}
	for _, group := range groups {
		sums, err := s.list(ctx, path.Join(top, group.Name))
		errs = append(errs, err)
		for _, sum := range sums {
			if len(sum.Name) == 64 && s.cfg.Now().Sub(sum.Modified) >= s.cfg.Unused {
				errs = append(errs, s.sweepOne(ctx, sum.Name))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Store) sweepOne(ctx context.Context, sum string) error {
	unlock, err := s.lock(ctx, sum)
	if err != nil {
		return err
	}
	defer unlock()
	used, err := s.used(ctx, sum)
	if used || err != nil {
		return err
	}
	return s.remove(ctx, sum)
}

// list is ReadDir of a directory that need not exist.
func (s *Store) list(ctx context.Context, dir string) ([]dfs.Info, error) {
	entries, err := s.cfg.FS.ReadDir(ctx, dir, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}
