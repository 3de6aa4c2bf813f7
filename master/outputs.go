package master

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors/output"
	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/results"
	"github.com/clic-orchestrator/clic/master/rpc"
)

// outputs is the output.Store of this master: what plans say of outputs counts below the directories of results.
type outputs struct {
	files *filesystems
	dirs  []string
	// reader looks at outputs; readFile reads the operator file that may name one.
	reader   *results.Reader
	readFile func(path string) ([]byte, error)
}

var _ output.Store = (*outputs)(nil)

// final marks errors that asking again will not mend.
func final(err error) error {
	for _, known := range []error{
		results.ErrUnmet, results.ErrUndecided, results.ErrDamaged, results.ErrUnsupported, results.ErrPath, results.ErrDenied, results.ErrNotRegular,
		rpc.ErrDenied, dfs.ErrInvalid, dfs.ErrNotDirectory, dfs.ErrIsDirectory, fs.ErrPermission, fs.ErrExist,
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", output.ErrUnmet, err)
		}
	}
	return err
}

// Prepare makes the directory of an attempt.
func (o *outputs) Prepare(ctx context.Context, dir string) error {
	fsys, at, err := o.files.locate(dir, o.dirs)
	if err != nil {
		return final(err)
	}
	return final(fsys.MkdirAll(ctx, at))
}

// Check looks at an output.
func (o *outputs) Check(ctx context.Context, spec *dag.StageSpec, where string) error {
	if where == "" {
		file := engine.OperatorFile(spec)
		text, err := o.readFile(file)
		if err != nil {
			return final(fmt.Errorf("cannot find the output in the operator file %q: %w", file, err))
		}
		var ok bool
		if where, ok = plan.ResultPath(text); !ok {
			return fmt.Errorf("%w: the operator file %q names no outputPath", output.ErrUnmet, file)
		}
	}
	return final(o.reader.Check(ctx, results.Contract{Path: where, Success: spec.Output.Success}))
}

// publishing is the mark in the directory of an attempt that says: if the output is not beside it any more, it was published.
const publishing = "_clic-publishing"

// Published reports whether the output of an attempt was moved to its place: the attempt's directory was discarded afterwards, or has the
// mark that Publish makes before it moves the output, and no output; and there is one in the place.
func (o *outputs) Published(ctx context.Context, dir, place string) (bool, error) {
	fsys, from, to, err := o.both(dir, place)
	if err != nil {
		return false, err
	}
	moved, err := absent(ctx, fsys, from)
	if !moved && err == nil {
		moved, err = absent(ctx, fsys, path.Join(from, path.Base(to)))
		if moved && err == nil {
			unmarked, problem := absent(ctx, fsys, path.Join(from, publishing))
			moved, err = !unmarked, problem
		}
	}
	if !moved || err != nil {
		return false, final(err)
	}
	none, err := absent(ctx, fsys, to)
	return !none && err == nil, final(err)
}

// absent reports whether there is nothing at a path.
func absent(ctx context.Context, fsys dfs.FS, name string) (bool, error) {
	_, err := fsys.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// Publish renames an output into its place.
func (o *outputs) Publish(ctx context.Context, dir, place string) error {
	fsys, from, to, err := o.both(dir, place)
	if err != nil {
		return err
	}
	if err := fsys.MkdirAll(ctx, path.Join(from, publishing)); err != nil {
		return final(err)
	}
	err = fsys.Rename(ctx, path.Join(from, path.Base(to)), to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the program has written nothing to the path in CLIC_OUTPUT", output.ErrUnmet)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: %q exists already, and is not replaced: name the output after the task, say with {{workflow.name}}", output.ErrUnmet, place)
	}
	return final(err)
}

// Discard removes the directory of an attempt.
func (o *outputs) Discard(ctx context.Context, dir string) error {
	fsys, at, err := o.files.locate(dir, o.dirs)
	if err != nil {
		return final(err)
	}
	if err := fsys.Remove(ctx, at, true); !errors.Is(err, fs.ErrNotExist) {
		return final(err)
	}
	return nil
}

func (o *outputs) both(dir, place string) (fsys dfs.FS, from, to string, err error) {
	if fsys, from, err = o.files.locate(dir, o.dirs); err != nil {
		return nil, "", "", final(err)
	}
	other, to, err := o.files.locate(place, o.dirs)
	if err != nil || other != fsys {
		return nil, "", "", final(errors.Join(err, fmt.Errorf("%w: %q and %q are not in one file system", dfs.ErrInvalid, dir, place)))
	}
	return fsys, from, to, nil
}
