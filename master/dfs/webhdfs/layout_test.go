//go:build hdfs

package webhdfs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

// TestErasureCoded reads and writes files whose checksum is not that of their bytes in a row.
func TestErasureCoded(t *testing.T) {
	c := hdfstest.Shared(t)
	for name, service := range services(c) {
		fsys := opened(t, service, c.User, nil)
		dir := directory(t, connect(t, service, c.User, nil)) + "/coded"
		c.ErasureCoded(t, dir)
		content := random(5 << 20)
		local := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(local, content, 0o600); err != nil {
			t.Fatal(err)
		}
		c.Tool(t, "dfs", "-put", local, dir+"/file")
		put(t, fsys, dir+"/own", content)
		for _, file := range []string{"/file", "/own"} {
			if got, err := get(t, fsys, dir+file); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s, %s: %d bytes, equal %v, %v", name, file, len(got), bytes.Equal(got, content), err)
			}
		}
	}
}
