package master

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/clic-orchestrator/clic/executors/output"
	"github.com/clic-orchestrator/clic/master/dfs/disk"
)

func newOutputs(t *testing.T) (o *outputs, dir string) {
	t.Helper()
	dir = t.TempDir()
	files := &filesystems{disks: map[string]*disk.FS{}}
	t.Cleanup(func() {
		if err := files.Close(); err != nil {
			t.Error(err)
		}
	})
	return &outputs{files: files, dirs: []string{dir}}, dir
}

// TestPublished tells what was published from what was not, whatever stands in the place.
func TestPublished(t *testing.T) {
	const id = "a"
	type step func(ctx context.Context, o *outputs, dir, place string) error
	prepare := func(ctx context.Context, o *outputs, dir, _ string) error { return o.Prepare(ctx, dir) }
	write := func(_ context.Context, _ *outputs, dir, place string) error {
		return os.WriteFile(filepath.Join(dir, filepath.Base(place)), []byte("new"), 0o600)
	}
	writeDir := func(_ context.Context, _ *outputs, dir, place string) error {
		return os.Mkdir(filepath.Join(dir, filepath.Base(place)), 0o750)
	}
	publish := func(ctx context.Context, o *outputs, dir, place string) error { return o.Publish(ctx, dir, place) }
	refused := func(ctx context.Context, o *outputs, dir, place string) error {
		if err := o.Publish(ctx, dir, place); !errors.Is(err, output.ErrUnmet) {
			return fmt.Errorf("published: %w", err)
		}
		return nil
	}
	discard := func(ctx context.Context, o *outputs, dir, _ string) error { return o.Discard(ctx, dir) }
	occupy := func(_ context.Context, _ *outputs, _, place string) error {
		return os.WriteFile(place, []byte("old"), 0o600)
	}
	for name, c := range map[string]struct {
		steps []step
		want  bool
	}{
		"nothing was written":              {[]step{prepare}, false},
		"nothing was written over another": {[]step{prepare, occupy}, false},
		"written":                          {[]step{prepare, write}, false},
		"refused, another is there":        {[]step{prepare, write, occupy, refused}, false},
		"refused, nothing was written":     {[]step{prepare, refused}, false},
		"published":                        {[]step{prepare, write, publish}, true},
		"a directory was published":        {[]step{prepare, writeDir, publish}, true},
		"published and asked to again":     {[]step{prepare, write, publish, refused}, true},
		"published and launched again":     {[]step{prepare, write, publish, prepare}, true},
		"published and discarded":          {[]step{prepare, write, publish, discard}, true},
		"failed and discarded":             {[]step{prepare, write, discard}, false},
	} {
		t.Run(name, func(t *testing.T) {
			o, top := newOutputs(t)
			place := filepath.Join(top, "out")
			dir := output.Dir(id, place)
			for i, do := range c.steps {
				if err := do(t.Context(), o, dir, place); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			if got, err := o.Published(t.Context(), dir, place); got != c.want || err != nil {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
