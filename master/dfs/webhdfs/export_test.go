package webhdfs

import "github.com/clic-orchestrator/clic/master/dfs"

// Summed says that a file was read to its end and that its checksum was compared and found right.
func Summed(f dfs.File) bool { return f.(*file).summed }

// For fuzzing.
var (
	ParseError    = parseError
	ParseAnswer   = parseAnswer
	ParseRedirect = parseRedirect
)

// Allowed says whether a server may redirect to a host.
func (f *FS) Allowed(host, server string) error { return f.allowed(host, server) }

// Sum is the checksum of content in blocks of a size.
func Sum(blockSize int64, content []byte) []byte {
	s := newSummer(blockSize)
	for len(content) > 0 { // in odd pieces
		n := min(len(content), 101)
		s.add(content[:n])
		content = content[n:]
	}
	return s.sum()
}
