package dfs_test

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/master/dfs"
)

func TestCheckPath(t *testing.T) {
	for name, good := range map[string]bool{
		"/": true, "/a": true, "/a b/%20/ü/#?": true, "/" + strings.Repeat("x", 255): true, "/.hidden": true, "/...": true,
		"": false, ".": false, "a": false, "a/b": false, "/a/": false, "//a": false, "/a/../b": false, "/./a": false,
		"hdfs://host/a": false, "/\xff": false, "/a\x00b": false, "/" + strings.Repeat("x", 256): false,
	} {
		err := dfs.CheckPath(name)
		if (err == nil) != good || err != nil && !errors.Is(err, dfs.ErrInvalid) {
			t.Errorf("%q: %v, want good: %t", name, err, good)
		}
	}
}

func FuzzCheckPath(f *testing.F) {
	f.Add("/a/b")
	f.Add("//")
	f.Fuzz(func(t *testing.T, name string) {
		if dfs.CheckPath(name) == nil && (path.Clean(name) != name || name[0] != '/') {
			t.Fatalf("%q passed", name)
		}
	})
}
