package hdfs

import (
	"context"
	"fmt"
	"os"

	lib "github.com/colinmarc/hdfs/v2"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// overHTTP is the way out where the library cannot do what a datanode or a gateway can.
const overHTTP = "; reach it over HTTP (webhdfs://HOST:PORT/…, or hdfs.http in the configuration)"

// contiguous refuses files that the library would take for something else: it reads and writes blocks whose bytes stand in a row, as they
// are. Those of an erasure-coded file are spread over datanodes by turns; those of an encrypted one are delivered as they were encrypted. Of
// a directory it says how the files are that are made in it.
func contiguous(info os.FileInfo) error {
	status, ok := info.Sys().(*lib.FileStatus)
	switch {
	case !ok:
	case status.GetEcPolicy() != nil:
		return fmt.Errorf("%w: it is erasure-coded (%s), which is not read or written by HDFS's own protocol here%s",
			dfs.ErrInvalid, status.GetEcPolicy().GetName(), overHTTP)
	case status.GetFileEncryptionInfo() != nil:
		return fmt.Errorf("%w: it is encrypted (transparent encryption), which is not read by HDFS's own protocol here%s", dfs.ErrInvalid, overHTTP)
	}
	return nil
}

// writable says whether files can be made in a directory.
func (f *FS) writable(ctx context.Context, dir string) error {
	return f.call(ctx, true, func(s *session) error {
		info, err := s.client.Stat(dir)
		if err != nil {
			return err
		}
		return contiguous(info)
	})
}
