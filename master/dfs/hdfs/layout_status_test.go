package hdfs

import (
	"errors"
	"os"
	"strings"
	"testing"

	lib "github.com/colinmarc/hdfs/v2"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// described is a file as the namenode describes it.
type described struct {
	os.FileInfo
	status *lib.FileStatus
}

func (d described) Sys() any { return d.status }

func TestContiguous(t *testing.T) {
	for field, want := range map[protoreflect.Name]string{"": "", "ecPolicy": "erasure-coded", "fileEncryptionInfo": "encrypted"} {
		status := &lib.FileStatus{}
		if field != "" {
			m := status.ProtoReflect()
			m.Mutable(m.Descriptor().Fields().ByName(field))
		}
		err := contiguous(described{status: status})
		if want == "" && err != nil || want != "" && (!errors.Is(err, dfs.ErrInvalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", field, err)
		}
	}
}
