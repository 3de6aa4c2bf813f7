// Package dfs is what clic needs of a distributed file system, in one small interface: results and plans are read through it, uploads
// and archived logs written, outputs published and deleted. Its adapters (native HDFS, WebHDFS and HttpFS, a directory of this
// machine) pass the suite in package dfstest, so that what goes wrong in them looks the same: no wrong byte without an error, no call
// that hangs, no error that cannot be told from another.
package dfs

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that callers branch on, besides fs.ErrNotExist, fs.ErrExist and fs.ErrPermission of package io/fs. Every error of an FS wraps
// one of them where its cause is known, and names the path.
var (
	// ErrUnavailable: the file system did not answer, or not in time, or is not ready (starting, in safe mode, failing over).
	// Whether a change was made is not known. The same call may go through later.
	ErrUnavailable = errors.New("file system is not available")
	// ErrCorrupt: data is there, but no copy of it has the right checksum, or all copies are lost.
	ErrCorrupt = errors.New("data is damaged")
	// ErrIsDirectory and ErrNotDirectory: the path is of the other kind.
	ErrIsDirectory  = errors.New("is a directory")
	ErrNotDirectory = errors.New("is not a directory")
	// ErrNotEmpty: a directory that has entries was to be removed alone.
	ErrNotEmpty = errors.New("directory is not empty")
	// ErrOpenForWriting: a file is still being written, so that its length says nothing.
	ErrOpenForWriting = errors.New("file is still being written")
	// ErrQuota: there is no room left, or the directory's quota is used up.
	ErrQuota = errors.New("no space left")
	// ErrInvalid: the path cannot be one, or the configuration does not allow the call.
	ErrInvalid = errors.New("invalid path")
)

// FS is a file system. Paths are absolute, with slashes, and clean (path.Clean); anything else is ErrInvalid. All methods may be
// called from several goroutines. Each ends soon after its context does, whatever the servers do; without a deadline the adapter's
// own bounds hold.
type FS interface {
	// Stat describes a file or a directory.
	Stat(ctx context.Context, name string) (Info, error)
	// ReadDir lists a directory in the order of names (bytes), at most limit entries, all if limit is 0.
	ReadDir(ctx context.Context, name string, limit int) ([]Info, error)
	// Open opens a file for reading. Whoever may not read it is told now, not at the first Read. The context bounds every read.
	Open(ctx context.Context, name string) (File, error)
	// Create makes a new file, and the directories above it. A file that exists is fs.ErrExist. What is written can be relied on when
	// Close has returned nil; after an error, or when Abort was called, nothing is left under the name.
	Create(ctx context.Context, name string) (Writer, error)
	// MkdirAll makes a directory and those above it. One that exists is no error.
	MkdirAll(ctx context.Context, name string) error
	// Rename moves a file or a directory; the directory above the new name must exist. A new name that exists is fs.ErrExist: nothing is ever
	// overwritten, and nothing moved into a directory of that name.
	Rename(ctx context.Context, from, to string) error
	// Remove removes a file or an empty directory, and with all a directory with everything in it. What does not exist is fs.ErrNotExist.
	Remove(ctx context.Context, name string, all bool) error
	// Close ends connections. Files that are open become unusable.
	Close() error
}

// Info describes a file or a directory.
type Info struct {
	// Name is the last element of the path.
	Name string
	Dir  bool
	// Size is in bytes; 0 for a directory.
	Size     int64
	Modified time.Time
	Owner    string
}

// File is an open file. Read and ReadAt may not be mixed from several goroutines; each has io's meaning. The bytes they give have been
// checked against the file system's checksums.
type File interface {
	io.Reader
	io.ReaderAt
	io.Closer
	// Size is the length in bytes at the time of Open.
	Size() int64
}

// Writer writes a new file.
type Writer interface {
	io.Writer
	// Close makes the file complete and durable.
	Close() error
	// Abort gives the file up. After Close it does nothing.
	Abort() error
}
