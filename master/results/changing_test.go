package results_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/results"
)

// changing is a directory that is replaced by another one each time after it was listed, as often as left says.
type changing struct {
	version string
	left    int
}

func (c *changing) Stat(_ context.Context, name string) (results.Entry, error) {
	if strings.HasSuffix(name, "_SUCCESS") {
		return results.Entry{}, fs.ErrNotExist
	}
	return results.Entry{Name: "dir", Kind: results.KindDirectory}, nil
}

func (c *changing) ReadDir(context.Context, string, int) ([]results.Entry, error) {
	list := []results.Entry{{Name: "part-" + c.version, Kind: results.KindFile, Size: 2}}
	if c.left > 0 {
		c.left--
		c.version += "0"
	}
	return list, nil
}

func (c *changing) Open(_ context.Context, name string) (io.ReadCloser, error) {
	if !strings.HasSuffix(name, "/part-"+c.version) {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(c.version + "\n")), nil
}

func TestChangingDirectory(t *testing.T) {
	for left, want := range map[int]error{0: nil, 1: nil, 2: nil, 1000: fs.ErrNotExist} {
		open := func() *results.Reader {
			return reader(t, results.Config{Sources: map[string]results.Source{"mem": &changing{version: "1", left: left}}})
		}
		p, err := open().Head(t.Context(), "mem:/dir", 5)
		if !errors.Is(err, want) {
			t.Errorf("%d changes: %v", left, err)
		}
		if lines := []string{"1" + strings.Repeat("0", left)}; want == nil && cmp.Diff(lines, p.Lines) != "" {
			t.Errorf("%d changes: %q", left, p.Lines)
		}
		if info, err := open().Stat(t.Context(), "mem:/dir"); !errors.Is(err, want) || want == nil && info.Files != 1 {
			t.Errorf("%d changes: %+v, %v", left, info, err)
		}
	}
}
