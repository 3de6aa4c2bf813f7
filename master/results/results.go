// Package results reads the results of stages: what they are, and their first rows. A result is a file, or a directory of part
// files as Spark, Hadoop and Flink write it. Only what was asked for is read: the first parts of a directory, the first bytes of a
// file, and never more than the configured bounds, whatever stands there.
//
// Text, CSV, JSON lines and Parquet are shown; other known formats are named. Files compressed as a whole are unpacked on the way.
//
// Results are read only below configured directories. Paths come from plans, so whoever may submit a plan could otherwise read
// every file of the master's user.
//
// Where results are is a matter of a Source, chosen by the scheme of a path. The local file system is built in.
package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
)

// Errors that callers branch on. A path that does not exist gives an error that wraps fs.ErrNotExist.
var (
	// ErrDenied: the path is outside of the directories that may be read. The error is a *DeniedError.
	ErrDenied = errors.New("path is not below an allowed directory")
	// ErrPath: the path is no absolute path, or of a scheme that nothing reads.
	ErrPath = errors.New("path cannot be read")
	// ErrNotRegular: the path is neither a regular file nor a directory, but a device, a pipe or a socket.
	ErrNotRegular = errors.New("neither a regular file nor a directory")
	// ErrDamaged: what is there contradicts itself, has a wrong checksum, or was cut off.
	ErrDamaged = errors.New("data is damaged")
	// ErrUnsupported: the format is known, but this file uses a part of it that is not read here.
	ErrUnsupported = errors.New("cannot be shown here")
)

// DeniedError names the path that was refused and what is allowed. It wraps ErrDenied.
type DeniedError struct {
	Path  string
	Roots []string
}

// Error says which directories may be read.
func (e *DeniedError) Error() string {
	if len(e.Roots) == 0 {
		return fmt.Sprintf("cannot read %q: results cannot be read, since no directory is allowed", e.Path)
	}
	return fmt.Sprintf("cannot read %q: results are read only below %s", e.Path, strings.Join(e.Roots, ", "))
}

// Unwrap makes errors.Is(err, ErrDenied) true.
func (e *DeniedError) Unwrap() error { return ErrDenied }

// Config says what may be read and how much of it at once. The zero value reads nothing.
type Config struct {
	// Roots are the directories below which local results are read. Symbolic links count for where they lead.
	Roots []string
	// MaxLine is the length in bytes at which a line is cut; 0 is 4096.
	MaxLine int
	// MaxBytes is the most text that a preview reads, after decompression, and gives; 0 is 4 MiB.
	MaxBytes int64
	// MaxWork is the most that a preview of tables (Parquet) costs, whose columns stand apart and in large pages: bytes read, bytes
	// unpacked and values passed over count alike; 0 is 128 MiB.
	MaxWork int64
	// MaxCount is how many bytes Check reads to count rows, after decompression; 0 is 4 GiB.
	MaxCount int64
	// MaxRows is the most rows that a preview gives, whatever is asked for; 0 is 10,000.
	MaxRows int
	// MaxFiles is how many entries of a directory are looked at; 0 is 100,000.
	MaxFiles int
	// Sources are further sources by the scheme of their paths, such as "hdfs" (FromFS).
	Sources map[string]Source
}

// WithDefaults gives a copy in which zero bounds are replaced.
func (c Config) WithDefaults() Config {
	setDefault(&c.MaxLine, 4096)
	setDefault(&c.MaxBytes, 4<<20)
	setDefault(&c.MaxWork, 128<<20)
	setDefault(&c.MaxCount, 4<<30)
	setDefault(&c.MaxRows, 10_000)
	setDefault(&c.MaxFiles, 100_000)
	return c
}

func setDefault[T int | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Validate checks the bounds and the roots.
func (c Config) Validate() error {
	if min(c.MaxBytes, c.MaxWork, c.MaxCount) < 0 || c.MaxLine < 0 || c.MaxRows < 0 || c.MaxFiles < 0 {
		return errors.New("cannot read results with a negative bound")
	}
	for _, root := range c.Roots {
		if !filepath.IsAbs(root) {
			return fmt.Errorf("cannot read results below %q: the path is not absolute", root)
		}
	}
	return nil
}

// Reader reads results. Its methods may be called from several goroutines.
type Reader struct {
	cfg   Config
	local *local
}

// New makes a Reader.
func New(cfg Config) (*Reader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	return &Reader{cfg: cfg, local: &local{roots: cfg.Roots}}, nil
}

// Kind says what a path is.
type Kind string

const (
	// KindFile is a regular file.
	KindFile Kind = "file"
	// KindDirectory is a directory.
	KindDirectory Kind = "directory"
	// KindMissing: there is nothing (yet).
	KindMissing Kind = "missing"
	// KindOther is a device, a pipe, a socket, a link that leads nowhere.
	KindOther Kind = "other"
)

// Source gives access to files somewhere. Names are what stands in plans, with the scheme, but for local files, which are
// absolute paths. Errors wrap fs.ErrNotExist for what does not exist, ErrDenied for what may not be read.
type Source interface {
	// Stat describes one file or directory; links are followed.
	Stat(ctx context.Context, name string) (Entry, error)
	// ReadDir lists a directory, at most limit entries, in the order of names.
	ReadDir(ctx context.Context, name string, limit int) ([]Entry, error)
	// Open opens a regular file for reading. It never blocks on anything else. Formats that begin at their end, as Parquet does, need
	// a file that is an io.ReaderAt, too.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}

// Entry is a file or a directory.
type Entry struct {
	// Name is the last element of the path.
	Name string
	Kind Kind
	Size int64
}

// source chooses the Source of a path and gives the name that the source knows it by.
func (r *Reader) source(path string) (Source, string, error) {
	scheme, rest := cutScheme(path)
	switch {
	case scheme == "file" || scheme == "":
		name := rest
		if scheme == "file" {
			name = localName(rest)
		}
		if !filepath.IsAbs(name) || strings.ContainsRune(name, 0) {
			return nil, "", fmt.Errorf("cannot read %q: it is not an absolute path: %w", path, ErrPath)
		}
		return r.local, filepath.Clean(name), nil
	case r.cfg.Sources[scheme] != nil:
		return r.cfg.Sources[scheme], path, nil
	}
	return nil, "", fmt.Errorf("cannot read %q: nothing reads paths of the scheme %q: %w", path, scheme, ErrPath)
}

// missing reports whether an error says that there is nothing.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
