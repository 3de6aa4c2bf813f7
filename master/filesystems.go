package master

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/disk"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfs"
	"github.com/clic-orchestrator/clic/master/dfs/webhdfs"
	"github.com/clic-orchestrator/clic/master/results"
	"github.com/clic-orchestrator/clic/master/rpc"
)

// HDFSConfig is how HDFS is reached. What it does not say is taken from Hadoop's own files, if there are any.
type HDFSConfig struct {
	// ConfDir is the directory of core-site.xml and hdfs-site.xml [hdfs.conf-dir]; clic-master takes $HADOOP_CONF_DIR.
	ConfDir string
	// Name is the nameservice, or HOST:PORT of the only namenode, that hdfs:///path means [hdfs.name]. Default: fs.defaultFS of
	// Hadoop's files, or the first of Namenodes.
	Name string
	// Namenodes are those of Name, as HOST:PORT [hdfs.namenodes].
	Namenodes []string
	// HTTP are URLs of WebHDFS or HttpFS [hdfs.http], which are used for Name where no namenode is known.
	HTTP []string
	// User is who the master is there [hdfs.user]. Default: the user of the process.
	User string
	// Principal and Keytab, or Cache, are who it is by Kerberos [hdfs.principal, hdfs.keytab, hdfs.ticket-cache]; Krb5 is the file
	// krb5.conf [hdfs.krb5-conf]; Service the namenodes' principal [hdfs.service-principal].
	Principal, Keytab, Cache, Krb5, Service string
	// Timeout is how long a server may take to answer [hdfs.timeout], DataTimeout how long the next bytes may take [hdfs.data-timeout],
	// Retry how long what can be repeated is [hdfs.retry].
	Timeout, DataTimeout, Retry time.Duration
	// Replication is how many copies new files have [hdfs.replication], BlockSize the size of their blocks in bytes [hdfs.block-size]. 0:
	// what the namenode wants. These and the next two are of HDFS's own protocol; over HTTP the server decides.
	Replication int
	BlockSize   int64
	// DatanodeHostnames has datanodes reached by their names, not by the addresses that the namenode knows [hdfs.datanode-hostnames].
	DatanodeHostnames *bool
	// Protection is that of data on its way [hdfs.protection]: authentication, integrity or privacy.
	Protection string
}

// The schemes of URIs that are read and written.
const (
	schemeHDFS    = "hdfs"
	schemeWebHDFS = "webhdfs"
	schemeWebTLS  = "swebhdfs"
)

// isURI tells a URI from a path of this machine.
func isURI(path string) bool {
	scheme, rest, ok := strings.Cut(path, ":")
	return ok && len(scheme) > 1 && strings.HasPrefix(rest, "/") && !strings.HasPrefix(path, "/") && !strings.EqualFold(scheme, "file")
}

// localPath is the path of this machine that a path or a file: URI means.
func localPath(name string) string {
	if rest, ok := strings.CutPrefix(name, "file:"); ok {
		if after, ok := strings.CutPrefix(rest, "//"); ok {
			rest = "/" + strings.TrimLeft(strings.TrimPrefix(after, "localhost"), "/")
		}
		return filepath.Clean(rest)
	}
	return filepath.Clean(name)
}

// filesystems are those that the configuration names: nobody can have the master connect to any other.
type filesystems struct {
	set     dfs.Set
	allowed []dfs.Location
	local   []string

	mu    sync.Mutex
	disks map[string]*disk.FS
}

// splitDirs tells the directories of this machine from the URIs of other file systems.
func splitDirs(dirs ...[]string) (local, uris []string) {
	for _, dir := range slices.Concat(dirs...) {
		if isURI(dir) {
			uris = append(uris, dir)
		} else if dir != "" {
			local = append(local, dir)
		}
	}
	return local, uris
}

// validateDirs says what is wrong with the places of files.
func (c Config) validateDirs() (errs []error) {
	for _, group := range []struct {
		key  string
		dirs []string
	}{{"plan-dirs", c.PlanDirs}, {"result-dirs", c.ResultDirs}, {"uploads.dir", []string{c.Uploads.Dir}}} {
		for _, dir := range group.dirs {
			if isURI(dir) {
				if _, err := dfs.ParseURI(dir); err != nil {
					errs = append(errs, c.wrong(group.key, "", "%w", err))
				}
			} else if dir != "" && !filepath.IsAbs(dir) {
				errs = append(errs, c.wrong(group.key, "write it as /... or as hdfs://...", "directory %q is not absolute", dir))
			}
		}
	}
	for _, d := range c.logDirs() {
		if !isURI(d.dir) {
			continue
		}
		if _, err := dfs.ParseURI(d.dir); err != nil {
			errs = append(errs, c.wrong(d.key, "", "%w", err))
		}
	}
	if c.Uploads.MaxSize < 0 || c.Uploads.Unused < 0 || c.HDFS.Timeout < 0 || c.HDFS.DataTimeout < 0 || c.HDFS.Retry < 0 {
		errs = append(errs, errors.New("hdfs and uploads: nothing can be negative"))
	}
	return append(errs, c.validateHDFS()...)
}

// validateHDFS says what is wrong with how new files are made, and data sent.
func (c Config) validateHDFS() (errs []error) {
	h := c.HDFS
	if h.Replication < 0 || h.Replication > 512 {
		errs = append(errs, c.wrong("hdfs.replication", "", "%d is no number of copies from 1 to 512", h.Replication))
	}
	if h.BlockSize != 0 && (h.BlockSize < 64<<10 || h.BlockSize%512 != 0) {
		errs = append(errs, c.wrong("hdfs.block-size", "128MiB is usual", "%d is no multiple of 512 bytes from 64KiB on", h.BlockSize))
	}
	if ways := []string{"authentication", "integrity", "privacy"}; h.Protection != "" && !slices.Contains(ways, h.Protection) {
		errs = append(errs, c.wrong("hdfs.protection", "", "can be %s, not %.40q", strings.Join(ways, ", "), h.Protection))
	}
	return errs
}

// newFilesystems makes the file systems. It connects to none.
func newFilesystems(c Config) (*filesystems, error) {
	f := &filesystems{disks: map[string]*disk.FS{}}
	h := c.HDFS
	properties := hadoop.Properties{}
	name := h.Name
	if h.ConfDir != "" {
		var err error
		if properties, err = hadoop.Load(h.ConfDir); err != nil {
			return nil, fmt.Errorf("cannot read Hadoop's configuration: %w", err)
		}
		if name == "" {
			if name, err = properties.Default(); err != nil {
				return nil, fmt.Errorf("cannot read Hadoop's configuration: %w", err)
			}
		}
	}
	if name == "" && len(h.Namenodes) > 0 {
		name = h.Namenodes[0]
	}
	f.set.Add(schemeHDFS, name, func(authority string) (dfs.FS, error) { return h.open(properties, name, authority) })
	for scheme, over := range map[string]string{schemeWebHDFS: "http", schemeWebTLS: "https"} {
		f.set.Add(scheme, "", func(authority string) (dfs.FS, error) { return h.overHTTP([]string{over + "://" + authority}) })
	}
	local, uris := splitDirs(c.PlanDirs, c.ResultDirs, []string{c.Uploads.Dir})
	f.local = local
	for _, d := range c.logDirs() {
		_, others := splitDirs([]string{d.dir})
		uris = append(uris, others...)
	}
	for _, uri := range uris {
		// Opening says what is wrong with the configuration, and connects to nothing.
		_, at, err := f.set.Resolve(uri)
		if err != nil {
			return nil, errors.Join(err, f.set.Close())
		}
		f.allowed = append(f.allowed, at)
	}
	return f, nil
}

// openFiles makes what reads and writes files: of results, plans, outputs and uploads.
func (m *Master) openFiles() error {
	var err error
	if m.files, err = newFilesystems(m.cfg); err != nil {
		return err
	}
	local, uris := splitDirs(m.cfg.ResultDirs)
	sources := map[string]results.Source{}
	for _, scheme := range m.files.set.Schemes() {
		sources[scheme] = results.FromFS(m.files.resolve, uris)
	}
	if m.reader, err = results.New(results.Config{Roots: local, Sources: sources}); err != nil {
		return fmt.Errorf("cannot make the reader of results: %w", err)
	}
	if m.uploads, err = m.newUploading(); err != nil {
		return err
	}
	m.cleaning = m.newCleaning()
	return m.openLogs()
}

// open makes the file system of an authority of hdfs:// URIs.
func (h HDFSConfig) open(properties hadoop.Properties, name, authority string) (dfs.FS, error) {
	explicit := hadoop.Config{
		User: h.User, CallTimeout: h.Timeout, DataTimeout: h.DataTimeout, RetryFor: h.Retry,
		Replication: h.Replication, BlockSize: h.BlockSize, Protection: h.Protection, Kerberos: hadoop.Kerberos{
			Service: h.Service, Principal: h.Principal, Keytab: h.Keytab, Cache: h.Cache, Configuration: h.Krb5,
		},
	}
	if authority == name {
		explicit.Name, explicit.Namenodes = name, h.Namenodes
		if len(h.Namenodes) == 0 && len(h.HTTP) > 0 {
			return h.overHTTP(h.HTTP)
		}
	}
	base, err := properties.Config(authority)
	if err != nil {
		return nil, err
	}
	all := explicit.Over(base)
	if h.DatanodeHostnames != nil {
		all.DatanodeHostnames = *h.DatanodeHostnames
	}
	return hdfs.New(all)
}

func (h HDFSConfig) overHTTP(urls []string) (dfs.FS, error) {
	user := hadoop.Config{User: h.User}.WithDefaults().User
	return webhdfs.New(webhdfs.Config{URLs: urls, User: user, CallTimeout: h.Timeout, DataTimeout: h.DataTimeout, RetryFor: h.Retry})
}

// resolve finds the file system of a URI, if the configuration has something in it.
func (f *filesystems) resolve(uri string) (dfs.FS, string, error) {
	at, err := dfs.ParseURI(uri)
	if err != nil {
		return nil, "", err
	}
	known := at.Authority == "" || slices.ContainsFunc(f.allowed, func(l dfs.Location) bool {
		return l.Scheme == at.Scheme && l.Authority == at.Authority
	})
	if !known {
		return nil, "", fmt.Errorf("%w: nothing in the file system of %q is configured to be used", dfs.ErrInvalid, uri)
	}
	fsys, at, err := f.set.Resolve(uri)
	return fsys, at.Path, err
}

// locate finds where a path or a URI is that has to be below one of some directories and URIs.
func (f *filesystems) locate(name string, dirs []string) (dfs.FS, string, error) {
	local, uris := splitDirs(dirs)
	if isURI(name) {
		fsys, at, err := f.resolve(name)
		if err != nil {
			return nil, "", err
		}
		for _, uri := range uris {
			if top, dir, err := f.resolve(uri); err == nil && top == fsys && below(dir, at) {
				return fsys, at, nil
			}
		}
	} else {
		name = localPath(name)
		for _, dir := range local {
			if below(filepath.Clean(dir), name) {
				fsys, err := f.disk(filepath.Clean(dir))
				return fsys, path.Clean("/" + strings.TrimPrefix(name, filepath.Clean(dir))), err
			}
		}
	}
	return nil, "", fmt.Errorf("%q is %w: it is outside of %s", name, rpc.ErrDenied, strings.Join(dirs, ", "))
}

func below(dir, name string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// disk is a directory of this machine as a file system.
func (f *filesystems) disk(dir string) (dfs.FS, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d, ok := f.disks[dir]; ok {
		return d, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	d, err := disk.New(dir)
	if err == nil {
		f.disks[dir] = d
	}
	return d, err
}

// reading bounds what has no context of its own.
const reading = 30 * time.Second

// read reads a file that a client or a plan names: by URI, or else as files does.
func (f *filesystems) read(what string, dirs []string, most int64) func(string) ([]byte, error) {
	local, uris := splitDirs(dirs)
	onDisk := files{what, local, most}
	return func(name string) ([]byte, error) {
		if !isURI(name) {
			return onDisk.read(name)
		}
		ctx, cancel := context.WithTimeout(context.Background(), reading)
		defer cancel()
		fsys, at, err := f.locate(name, uris)
		if err != nil {
			return nil, err
		}
		file, err := fsys.Open(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s %q: %w", what, name, err)
		}
		defer func() { _ = file.Close() }() // nothing was written
		b, err := io.ReadAll(io.LimitReader(file, most+1))
		if err != nil {
			return nil, fmt.Errorf("cannot read %s %q: %w", what, name, err)
		}
		if int64(len(b)) > most {
			return nil, fmt.Errorf("cannot read %s %q: %w of %d bytes", what, name, rpc.ErrTooLarge, most)
		}
		return b, nil
	}
}

// Close ends all connections.
func (f *filesystems) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := []error{f.set.Close()}
	for _, d := range f.disks {
		errs = append(errs, d.Close())
	}
	f.disks = map[string]*disk.FS{}
	return errors.Join(errs...)
}
