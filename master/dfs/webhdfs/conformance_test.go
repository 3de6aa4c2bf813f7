//go:build hdfs

package webhdfs_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/dfstest"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
	"github.com/clic-orchestrator/clic/master/dfs/webhdfs"
)

// connect makes the file system of a service, with changes.
func connect(t testing.TB, service, user string, change func(*webhdfs.Config)) *webhdfs.FS {
	t.Helper()
	cfg := webhdfs.Config{URLs: []string{service}, User: user}
	if change != nil {
		change(&cfg)
	}
	fsys, err := webhdfs.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// opened is connect for as long as the test goes on.
func opened(t testing.TB, service, user string, change func(*webhdfs.Config)) *webhdfs.FS {
	t.Helper()
	fsys := connect(t, service, user, change)
	t.Cleanup(func() {
		if err := fsys.Close(); err != nil {
			t.Error(err)
		}
	})
	return fsys
}

// directory makes a directory for one test, and removes it.
func directory(t testing.TB, fsys dfs.FS) string {
	t.Helper()
	dir := "/" + rand.Text()
	if err := fsys.MkdirAll(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context has ended by now.
		if err := fsys.Remove(context.Background(), dir, true); err != nil {
			t.Error(err)
		}
		if err := fsys.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// do makes a request of the protocol that the file system has no method for.
func do(t testing.TB, service, user, method, name, query string) string {
	t.Helper()
	u := service + "/webhdfs/v1" + (&url.URL{Path: name}).EscapedPath() + "?user.name=" + user + "&" + query
	req, err := http.NewRequestWithContext(t.Context(), method, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode > 299 {
		t.Fatalf("%s %s: %s %s, %v", method, query, res.Status, body, err)
	}
	return string(body)
}

// services are the two ways over HTTP.
func services(c *hdfstest.Cluster) map[string]string {
	return map[string]string{"WebHDFS": c.WebHDFS, "HttpFS": c.HTTPFS}
}

func TestConformance(t *testing.T) {
	c := hdfstest.Shared(t)
	defer func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t)
	}()
	for name, service := range services(c) {
		t.Run(name, func(t *testing.T) {
			dfstest.Run(t, dfstest.Backend{
				Root:     directory(t, connect(t, service, c.User, nil)),
				New:      func(t *testing.T) dfs.FS { return connect(t, service, c.User, nil) },
				Stranger: func(t *testing.T) dfs.FS { return connect(t, service, "nobody-in-particular", nil) },
				Private: func(t *testing.T, file string) {
					do(t, service, c.User, http.MethodPut, file, "op=SETPERMISSION&permission=700")
				},
				// Four requests make one file: a twentieth of what others have.
				Many: 2100,
				Fill: func(t *testing.T, dir string, n int) { fill(t, service, c.User, dir, n) },
			})
		})
	}
}

// fill makes empty files part-00000 and so on.
func fill(t *testing.T, service, user, dir string, n int) {
	t.Helper()
	fsys := opened(t, service, user, nil)
	for i := range n {
		if err := fsys.MkdirAll(t.Context(), fmt.Sprintf("%s/part-%05d", dir, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSums(t *testing.T) {
	c := hdfstest.Shared(t)
	fsys := connect(t, c.WebHDFS, c.User, nil)
	dir := directory(t, fsys)
	for _, size := range []int{1, 511, 512, 513, 100_000} {
		w, err := fsys.Create(t.Context(), dir+"/x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, strings.Repeat("x", size)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := fsys.Open(t.Context(), dir+"/x")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, f); err != nil || n != int64(size) {
			t.Errorf("%d bytes: %d, %v", size, n, err)
		}
		if !webhdfs.Summed(f) {
			t.Errorf("%d bytes: nothing was compared", size)
		}
		f.Close()
		if err := fsys.Remove(t.Context(), dir+"/x", false); err != nil {
			t.Fatal(err)
		}
	}
}
