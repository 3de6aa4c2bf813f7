package webhdfs

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// listing is the answer to LISTSTATUS_BATCH.
type listing struct {
	DirectoryListing *struct {
		PartialListing struct {
			FileStatuses struct{ FileStatus []status }
		} `json:"partialListing"`
		RemainingEntries int `json:"remainingEntries"`
	}
}

// ReadDir lists a directory, in batches of what the service gives at once.
func (f *FS) ReadDir(ctx context.Context, name string, limit int) ([]dfs.Info, error) {
	if err := dfs.CheckPath(name); err != nil {
		return nil, err
	}
	if limit < 0 {
		return nil, fmt.Errorf("%w: cannot list %d entries of %q", dfs.ErrInvalid, limit, name)
	}
	list, err := f.list(ctx, name, limit)
	if err != nil {
		return nil, failed("list", name, err)
	}
	return list, nil
}

// list asks for batches until there are enough entries. Namenodes order names by their bytes as signed numbers: what is not ASCII comes
// first. As long as all names are ASCII, the order is the one wanted; a directory with other names is listed as a whole.
func (f *FS) list(ctx context.Context, name string, limit int) ([]dfs.Info, error) {
	var list []dfs.Info
	after, ascii := "", true
	for {
		var answer listing
		r := &request{method: http.MethodGet, op: "LISTSTATUS_BATCH", name: name, again: true}
		if after != "" {
			r.query = [][2]string{{"startAfter", after}}
		}
		err := f.call(ctx, r, &answer)
		if err == nil && answer.DirectoryListing == nil {
			err = errAnswer
		}
		if err != nil {
			return nil, err
		}
		batch := answer.DirectoryListing.PartialListing.FileStatuses.FileStatus
		for i := range batch {
			s := &batch[i]
			if s.PathSuffix == "" && len(batch) == 1 {
				return nil, dfs.ErrNotDirectory // a file lists itself
			}
			if after != "" && signedCompare(s.PathSuffix, after) <= 0 || strings.Contains(s.PathSuffix, "/") || s.PathSuffix == "" {
				return nil, fmt.Errorf("%w: a listing has %q after %q", errAnswer, s.PathSuffix, after)
			}
			after = s.PathSuffix
			ascii = ascii && !strings.ContainsFunc(after, func(r rune) bool { return r >= utf8.RuneSelf })
			list = append(list, s.info(path.Join(name, s.PathSuffix)))
			if ascii && len(list) == limit {
				return list, nil
			}
		}
		if answer.DirectoryListing.RemainingEntries <= 0 || len(batch) == 0 {
			break
		}
	}
	slices.SortFunc(list, func(a, b dfs.Info) int { return cmp.Compare(a.Name, b.Name) })
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list, nil
}

// signedCompare compares as namenodes do.
func signedCompare(a, b string) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Compare(int8(a[i]), int8(b[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}
