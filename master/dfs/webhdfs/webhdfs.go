// Package webhdfs reaches an HDFS over HTTP, where its own protocol cannot be spoken: by WebHDFS (of namenodes and datanodes) or by HttpFS (a
// gateway). It need not be told which of the two answers; where they differ, it does what is right with both.
//
// What arrives is as long as it should be, or it is fetched again: an answer that was cut off is never taken for the end of a file.
// The server at the other end of the HTTP connection checks the bytes that it reads against HDFS's checksums. A file that is read from
// its beginning to its end by Read is besides compared with the checksum that HDFS gives for it as a whole, where it is of the usual kind
// (MD5 of the blocks' CRCs); so the way over HTTP is covered as well. Reads of parts have nothing but TCP's own checksum, or TLS, on that
// way: the protocol gives no checksum for them.
//
// New files are written under a hidden name in the same directory and renamed when they are complete, since both services keep the
// beginning of a file whose writer went away. Renames never overwrite. HttpFS only has the rename that moves into an existing directory;
// should one come into being at that moment, what was moved into it is moved back.
//
// Requests go to the configured servers and, one step from there, to the host that these redirect to: a datanode, for the same path and
// operation. Config.RedirectHosts limits those hosts.
package webhdfs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
)

// Config says how to reach the service. Zeros take the values of WithDefaults.
type Config struct {
	// URLs are the services, such as http://namenode:9870 or http://httpfs:14000; of several namenodes the active one is found.
	URLs []string
	// User is who the client says to be, where Token is empty. It is needed: HttpFS refuses calls without, WebHDFS lets anybody be
	// its default user.
	User string
	// Token is a delegation token, which secured clusters ask for. Kerberos itself is not spoken here.
	Token string
	// TLS is for https; nil uses the system's certificates.
	TLS *tls.Config
	// RedirectHosts are the hosts, without ports, that servers may redirect to, besides themselves; "*.example.org" stands for all
	// below a domain. Empty allows all but link-local addresses: a namenode names its datanodes, and is trusted with the data anyway.
	RedirectHosts []string
	// ConnectTimeout bounds the making of a connection, CallTimeout the wait for an answer, DataTimeout the wait for the next bytes
	// of a file or for the next ones to be taken.
	ConnectTimeout, CallTimeout, DataTimeout time.Duration
	// RetryFor is how long calls that may be repeated are repeated while the service is not available.
	RetryFor time.Duration
}

// WithDefaults gives a copy with what is not set filled in.
func (c Config) WithDefaults() Config {
	for d, to := range map[*time.Duration]time.Duration{
		&c.ConnectTimeout: 5 * time.Second, &c.CallTimeout: 15 * time.Second, &c.DataTimeout: 20 * time.Second, &c.RetryFor: 20 * time.Second,
	} {
		if *d == 0 {
			*d = to
		}
	}
	return c
}

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	if len(c.URLs) == 0 {
		return errors.New("cannot use WebHDFS: no URL is configured")
	}
	for _, raw := range c.URLs {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
			return fmt.Errorf("cannot use WebHDFS at %q: the URL should be like http://HOST:PORT", raw)
		}
	}
	if c.User == "" && c.Token == "" {
		return errors.New("cannot use WebHDFS: neither a user nor a token is configured")
	}
	if min(c.ConnectTimeout, c.CallTimeout, c.DataTimeout, c.RetryFor) < 0 {
		return errors.New("cannot use WebHDFS with a negative time-out")
	}
	return nil
}

// FS is the file system. It is a dfs.FS.
type FS struct {
	cfg     Config
	servers []*url.URL
	client  *http.Client
	// first is the server that answered last.
	first atomic.Int32
	// life ends with Close.
	life context.Context
	end  context.CancelFunc
}

var _ dfs.FS = (*FS)(nil)

// New makes the file system. It connects to nothing yet.
func New(cfg Config) (*FS, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	f := &FS{cfg: cfg, client: newClient(cfg)}
	for _, raw := range cfg.URLs {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, err
		}
		f.servers = append(f.servers, &url.URL{Scheme: u.Scheme, Host: u.Host})
	}
	f.life, f.end = context.WithCancel(context.Background())
	return f, nil
}

// Close ends connections.
func (f *FS) Close() error {
	f.end()
	f.client.CloseIdleConnections()
	return nil
}

// status is a FileStatus of the protocol.
type status struct {
	PathSuffix       string `json:"pathSuffix"`
	Type             string `json:"type"`
	Length           int64  `json:"length"`
	Owner            string `json:"owner"`
	ModificationTime int64  `json:"modificationTime"`
	FileID           int64  `json:"fileId"`
	BlockSize        int64  `json:"blockSize"`
	// ECBit and ECPolicy say that the file is erasure-coded, each for itself.
	ECBit    bool   `json:"ecBit"`
	ECPolicy string `json:"ecPolicy"`
}

// inRow says that HDFS sums the bytes of a file in their order: those of an erasure-coded one are summed as they stand on the datanodes.
func (s *status) inRow() bool { return !s.ECBit && s.ECPolicy == "" }

func (s *status) dir() bool { return s.Type == "DIRECTORY" }

func (s *status) info(name string) dfs.Info {
	i := dfs.Info{Name: path.Base(name), Dir: s.dir(), Size: s.Length, Modified: time.UnixMilli(s.ModificationTime), Owner: s.Owner}
	if i.Dir {
		i.Size = 0
	}
	return i
}

// status asks for one file or directory.
func (f *FS) status(ctx context.Context, name string) (*status, error) {
	var answer struct{ FileStatus *status }
	err := f.call(ctx, &request{method: http.MethodGet, op: "GETFILESTATUS", name: name, again: true}, &answer)
	if err == nil && (answer.FileStatus == nil || answer.FileStatus.Length < 0) {
		err = errAnswer
	}
	return answer.FileStatus, err
}

// failed names the path and the call in an error.
func failed(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s %q: %w", what, name, err)
}

// Stat describes a file or a directory.
func (f *FS) Stat(ctx context.Context, name string) (dfs.Info, error) {
	if err := dfs.CheckPath(name); err != nil {
		return dfs.Info{}, err
	}
	s, err := f.status(ctx, name)
	if err != nil {
		return dfs.Info{}, failed("stat", name, err)
	}
	return s.info(name), nil
}

// MkdirAll makes a directory and those above it.
func (f *FS) MkdirAll(ctx context.Context, name string) error {
	if err := dfs.CheckPath(name); err != nil {
		return err
	}
	return failed("make the directory", name, f.mkdirAll(ctx, name))
}

func (f *FS) mkdirAll(ctx context.Context, name string) error {
	ok, err := f.change(ctx, &request{method: http.MethodPut, op: "MKDIRS", name: name, again: true})
	var remote *RemoteError
	switch {
	case errors.As(err, &remote) && remote.Exception == "FileAlreadyExistsException":
		return fmt.Errorf("%w: %w", dfs.ErrNotDirectory, errors.New(remote.Message)) // a file is in the way
	case err != nil:
		return err
	case !ok:
		return errRefused
	}
	return nil
}

// errRefused: the service said no without a reason.
var errRefused = errors.New("the server refused without a reason")

// change makes a change. ok is what the server says to it; where it says nothing, as to a rename that never overwrites, it is true and
// plain is false.
func (f *FS) change(ctx context.Context, r *request) (ok bool, err error) {
	var answer struct {
		Boolean *bool `json:"boolean"`
	}
	if err := f.call(ctx, r, &answer); err != nil {
		return false, err
	}
	if answer.Boolean == nil {
		r.silent = true
		return true, nil
	}
	return *answer.Boolean, nil
}

// Remove removes a file, an empty directory, or with all a directory with everything in it.
func (f *FS) Remove(ctx context.Context, name string, all bool) error {
	if err := dfs.CheckPath(name); err != nil {
		return err
	}
	if name == "/" {
		return fmt.Errorf("%w: the root cannot be removed", dfs.ErrInvalid)
	}
	return failed("remove", name, f.remove(ctx, name, all))
}

func (f *FS) remove(ctx context.Context, name string, all bool) error {
	ok, err := f.change(ctx, &request{
		method: http.MethodDelete, op: "DELETE", name: name, query: [][2]string{{"recursive", fmt.Sprint(all)}},
	})
	if err != nil || ok {
		return err
	}
	if _, err := f.status(ctx, name); err != nil {
		return err
	}
	return errRefused
}
