package webhdfs_test

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/webhdfs"
)

func TestExceptions(t *testing.T) {
	for _, c := range []struct {
		code               int
		exception, message string
		want               error
	}{
		{404, "FileNotFoundException", "File does not exist: /x", fs.ErrNotExist},
		{404, "FileNotFoundException", "Path is not a file: /x", dfs.ErrIsDirectory},
		{403, "AccessControlException", "Permission denied: user=a", fs.ErrPermission},
		{500, "AccessControlException", "Permission denied: user=a", fs.ErrPermission},
		{403, "StandbyException", "Operation category READ is not supported in state standby", dfs.ErrUnavailable},
		{500, "RemoteException", "org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot create file", dfs.ErrUnavailable},
		{403, "FileAlreadyExistsException", "/x already exists", fs.ErrExist},
		{500, "PathIsNotEmptyDirectoryException", "`/x is non empty'", dfs.ErrNotEmpty},
		{403, "DSQuotaExceededException", "The DiskSpace quota of /x is exceeded", dfs.ErrQuota},
		{403, "BlockMissingException", "Could not obtain block", dfs.ErrCorrupt},
	} {
		err := webhdfs.ParseError(c.code, fmt.Appendf(nil, `{"RemoteException":{"exception":%q,"javaClassName":"x","message":%q}}`, c.exception, c.message))
		if !errors.Is(err, c.want) {
			t.Errorf("%d %s: %v, want %v", c.code, c.exception, err, c.want)
		}
	}
	for code, want := range map[int]error{401: fs.ErrPermission, 403: fs.ErrPermission, 500: dfs.ErrUnavailable, 503: dfs.ErrUnavailable, 418: dfs.ErrUnavailable} {
		if err := webhdfs.ParseError(code, []byte("<html>")); !errors.Is(err, want) {
			t.Errorf("%d with HTML: %v, want %v", code, err, want)
		}
	}
}

func TestConfig(t *testing.T) {
	good := webhdfs.Config{URLs: []string{"http://nn:9870"}, User: "a"}
	if _, err := webhdfs.New(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*webhdfs.Config){
		"no URL":     func(c *webhdfs.Config) { c.URLs = nil },
		"no scheme":  func(c *webhdfs.Config) { c.URLs = []string{"nn:9870"} },
		"other":      func(c *webhdfs.Config) { c.URLs = []string{"ftp://nn"} },
		"a path":     func(c *webhdfs.Config) { c.URLs = []string{"http://nn/webhdfs/v1"} },
		"no user":    func(c *webhdfs.Config) { c.User = "" },
		"time-out":   func(c *webhdfs.Config) { c.CallTimeout = -time.Second },
		"other time": func(c *webhdfs.Config) { c.RetryFor = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := webhdfs.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRedirectHosts(t *testing.T) {
	for _, c := range []struct {
		hosts []string
		host  string
		want  bool
	}{
		{nil, "dn1.example.org", true},
		{nil, "169.254.169.254", false},
		{nil, "fe80::1", false},
		{[]string{"dn1"}, "dn1", true},
		{[]string{"dn1"}, "NN", true},
		{[]string{"dn1"}, "dn2", false},
		{[]string{"*.example.org"}, "DN1.Example.org", true},
		{[]string{"*.example.org"}, "dn1.example.com", false},
		{[]string{"*.example.org"}, "example.org", false},
	} {
		fsys, err := webhdfs.New(webhdfs.Config{URLs: []string{"http://nn:9870"}, User: "a", RedirectHosts: c.hosts})
		if err != nil {
			t.Fatal(err)
		}
		err = fsys.Allowed(c.host, "nn")
		if (err == nil) != c.want || err != nil && errors.Is(err, dfs.ErrUnavailable) {
			t.Errorf("%v, %s: %v", c.hosts, c.host, err)
		}
	}
	server := &url.URL{Scheme: "https", Host: "nn"}
	if _, err := webhdfs.ParseRedirect("http://dn/webhdfs/v1/x?op=OPEN", server, "OPEN"); err == nil {
		t.Error("a redirect away from https is followed")
	}
}

// TestSum compares with checksums that HDFS computed: of five bytes, and what it sums for several blocks.
func TestSum(t *testing.T) {
	if got := fmt.Sprintf("%x", webhdfs.Sum(1<<20, []byte("hello"))); got != "2ebac5fafc444475c9720587791d7412" {
		t.Errorf("checksum of hello: %s", got)
	}
	three := webhdfs.Sum(512, make([]byte, 1100))
	if len(three) != md5.Size {
		t.Errorf("%x", three)
	}
}
