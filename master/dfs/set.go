package dfs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A Location is where something is: a file system, by the scheme and the authority of its URIs, and a path in it.
type Location struct {
	// Scheme is in small letters: hdfs, webhdfs, file, …
	Scheme string
	// Authority is the nameservice, or HOST:PORT; empty for the default one of the scheme.
	Authority string
	// Path is absolute and clean (CheckPath).
	Path string
}

// ParseURI reads SCHEME://AUTHORITY/PATH, SCHEME:///PATH or SCHEME:/PATH. The path is taken letter by letter, as Hadoop takes it: %20 is
// three letters of a name, # and ? are letters too. What leads upwards (..) is refused, doubled and last slashes are left out. Errors are
// ErrInvalid.
func ParseURI(uri string) (Location, error) {
	bad := func(reason string) (Location, error) {
		return Location{}, fmt.Errorf("%w: the URI %q %s", ErrInvalid, uri, reason)
	}
	scheme, rest, found := strings.Cut(uri, ":")
	if !found || !isScheme(scheme) || !strings.HasPrefix(rest, "/") {
		return bad("is not SCHEME://AUTHORITY/PATH")
	}
	l := Location{Scheme: strings.ToLower(scheme)}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		slash := strings.IndexByte(after, '/')
		if slash < 0 {
			slash = len(after)
		}
		l.Authority, rest = after[:slash], after[slash:]
	}
	if strings.Contains(l.Authority, "@") {
		return bad("names a user: say who one is in the configuration")
	}
	// net/url knows what a host and a port may be made of.
	if u, err := url.Parse("x://" + l.Authority + "/"); err != nil || u.Host != l.Authority {
		return bad("has no valid authority")
	}
	elements := slices.DeleteFunc(strings.Split(rest, "/"), func(e string) bool { return e == "" })
	if slices.Contains(elements, "..") || slices.Contains(elements, ".") {
		return bad("has . or .. in its path")
	}
	l.Path = "/" + strings.Join(elements, "/")
	if err := CheckPath(l.Path); err != nil {
		return Location{}, err
	}
	return l, nil
}

func isScheme(s string) bool {
	for i, r := range s {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || (r < '0' || r > '9') && r != '+' && r != '-' && r != '.') {
			return false
		}
	}
	return s != ""
}

// String gives the URI. ParseURI reads it as the same location.
func (l Location) String() string { return l.Scheme + "://" + l.Authority + l.Path }

// An Opener makes the file system of an authority that is used for the first time.
type Opener func(authority string) (FS, error)

// Set is all file systems that a configuration knows, by the scheme and the authority of their URIs. Each is opened when it is first asked
// for, and once. The zero value knows none. All methods may be called from several goroutines.
type Set struct {
	mu       sync.Mutex
	schemes  map[string]scheme
	open     map[[2]string]FS
	isClosed bool
}

type scheme struct {
	open      Opener
	authority string // of URIs without one
}

// errSetClosed is what a Set says of itself after Close.
var errSetClosed = errors.New("the file systems were closed")

// Add makes a scheme known, in small letters. URIs without an authority (hdfs:///path) are of the authority given, which may be empty. A
// scheme that is there is replaced for what is not open yet.
func (s *Set) Add(name, authority string, open Opener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.schemes == nil {
		s.schemes = map[string]scheme{}
	}
	s.schemes[name] = scheme{open: open, authority: authority}
}

// Resolve gives the file system of a URI, and the location in it with the authority filled in. A scheme that is not known is ErrInvalid; an
// error of the Opener is wrapped, and it is called again the next time.
func (s *Set) Resolve(uri string) (FS, Location, error) {
	l, err := ParseURI(uri)
	if err != nil {
		return nil, Location{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed {
		return nil, Location{}, fmt.Errorf("cannot use %q: %w: %w", uri, ErrUnavailable, errSetClosed)
	}
	known, ok := s.schemes[l.Scheme]
	if !ok {
		return nil, Location{}, fmt.Errorf("%w: no file system is configured for the URI %q", ErrInvalid, uri)
	}
	if l.Authority == "" {
		l.Authority = known.authority
	}
	key := [2]string{l.Scheme, l.Authority}
	if fsys, ok := s.open[key]; ok {
		return fsys, l, nil
	}
	fsys, err := known.open(l.Authority)
	if err != nil {
		return nil, Location{}, fmt.Errorf("cannot use %q: %w", uri, err)
	}
	if s.open == nil {
		s.open = map[[2]string]FS{}
	}
	s.open[key] = fsys
	return fsys, l, nil
}

// Schemes gives the schemes that are known, in order.
func (s *Set) Schemes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.schemes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Open opens the file of a URI for reading.
func (s *Set) Open(ctx context.Context, uri string) (File, error) {
	fsys, l, err := s.Resolve(uri)
	if err != nil {
		return nil, err
	}
	return fsys.Open(ctx, l.Path)
}

// Close closes all that is open. The set knows nothing afterwards.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isClosed = true
	var errs []error
	for _, fsys := range s.open {
		errs = append(errs, fsys.Close())
	}
	s.open = nil
	return errors.Join(errs...)
}
