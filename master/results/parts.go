package results

import (
	"context"
	"errors"
	"strings"
)

// maxDepth is how deep partition directories may be nested.
const maxDepth = 16

// errEnough stops a walk.
var errEnough = errors.New("enough")

// walk gives the files of a result in the order of their names. It leaves out what is no data (hidden files, names that begin
// with "_", checksums), and goes into the directories of partitions (key=value) only. The files count towards the bound that
// left is.
func walk(ctx context.Context, src Source, name string, left *int, depth int, f func(name string, e Entry) error) error {
	if depth > maxDepth {
		return nil
	}
	entries, err := src.ReadDir(ctx, name, *left+1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if *left == 0 {
			return errEnough
		}
		*left--
		path := strings.TrimSuffix(name, "/") + "/" + e.Name
		switch {
		case !isData(e.Name):
			continue
		case e.Kind == KindFile:
			err = f(path, e)
		case e.Kind == KindDirectory && strings.Contains(e.Name, "="):
			err = walk(ctx, src, path, left, depth+1, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isData tells part files from what is beside them.
func isData(name string) bool {
	return !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "_") && !strings.HasSuffix(name, ".crc")
}

// successMarker is the file that Hadoop's committers leave when all parts are complete.
const successMarker = "_SUCCESS"
