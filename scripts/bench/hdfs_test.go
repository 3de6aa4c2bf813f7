//go:build hdfs

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

// TestHDFSRigWorks takes every figure that needs an HDFS, at its smallest size.
func TestHDFSRigWorks(t *testing.T) {
	c := hdfstest.Shared(t)
	t.Setenv(hadoopConf, c.ConfDir)
	t.Setenv("PATH", c.Dir+"/bin:"+os.Getenv("PATH"))
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"-hdfs", "-quick", "-dir", t.TempDir()}, &out, &errs); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	for _, figure := range []string{"file", "file-hadoop", "file-memory", "parts", "parts-hadoop-end", "parts-memory"} {
		if !strings.Contains(out.String(), "\nhdfs/"+figure+" ") {
			t.Errorf("no figure hdfs/%s in\n%s", figure, out.String())
		}
	}
}
