//go:build hdfs

package webhdfs_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
	"github.com/clic-orchestrator/clic/master/dfs/webhdfs"
)

// deaf is a service of which the answers to an operation are lost, after it was carried out, as often as lost says.
func deaf(t *testing.T, service, op string, lost *atomic.Int32) string {
	t.Helper()
	target, err := url.Parse(service)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("op") != op || lost.Add(-1) < 0 {
			proxy.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestLostAnswers loses the answers to changes that were made.
func TestLostAnswers(t *testing.T) {
	c := hdfstest.Shared(t)
	for name, service := range services(c) {
		t.Run(name, func(t *testing.T) {
			dir := directory(t, connect(t, service, c.User, nil))
			var renames atomic.Int32
			fsys := opened(t, deaf(t, service, "RENAME", &renames), c.User, func(cfg *webhdfs.Config) { cfg.RetryFor = 5 * time.Second })
			renames.Store(1)
			put(t, fsys, dir+"/new", []byte("content"))
			if got, err := get(t, fsys, dir+"/new"); err != nil || !bytes.Equal(got, []byte("content")) {
				t.Errorf("%q, %v", got, err)
			}
			renames.Store(1)
			if err := fsys.Rename(t.Context(), dir+"/new", dir+"/moved"); !errors.Is(err, dfs.ErrUnavailable) {
				t.Errorf("a rename without an answer: %v", err)
			}
			if list, err := fsys.ReadDir(t.Context(), dir, 0); err != nil || len(list) != 1 || list[0].Name != "moved" {
				t.Errorf("%v, %v", list, err)
			}
			renames.Store(0)

			var removals atomic.Int32
			other := opened(t, deaf(t, service, "DELETE", &removals), c.User, nil)
			removals.Store(1)
			if err := other.Remove(t.Context(), dir+"/moved", false); !errors.Is(err, dfs.ErrUnavailable) {
				t.Errorf("a removal without an answer: %v", err)
			}
		})
	}
}

// TestDeadDatanode has a namenode that names the same dead datanode each time, as it does where that is on the client's own host.
func TestDeadDatanode(t *testing.T) {
	c := hdfstest.Shared(t)
	target, err := url.Parse(c.WebHDFS)
	if err != nil {
		t.Fatal(err)
	}
	const dead = "127.0.0.2"
	var sent atomic.Int32
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(res *http.Response) error {
		q := res.Request.URL.Query()
		if to, err := res.Location(); err == nil && q.Get("op") == "CREATE" && q.Get("excludedatanodes") != dead {
			sent.Add(1)
			to.Host = dead + ":1"
			res.Header.Set("Location", to.String())
		}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	dir := directory(t, connect(t, c.WebHDFS, c.User, nil))
	fsys := opened(t, server.URL, c.User, func(cfg *webhdfs.Config) { cfg.RetryFor = 3 * time.Second })
	put(t, fsys, dir+"/new", []byte("content"))
	if got, err := get(t, fsys, dir+"/new"); err != nil || string(got) != "content" || sent.Load() != 1 {
		t.Errorf("%q, %v; it was sent to the dead one %d times", got, err, sent.Load())
	}
}

// TestStandbyFirst has several namenodes configured, of which the first is a standby, the second gone, and the third the active one.
func TestStandbyFirst(t *testing.T) {
	c := hdfstest.Shared(t)
	var asked atomic.Int32
	standby := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		const message = "Operation category READ is not supported in state standby"
		_, _ = w.Write([]byte(`{"RemoteException":{"exception":"StandbyException","javaClassName":"org.apache.hadoop.ipc.StandbyException","message":"` + message + `"}}`))
	}))
	t.Cleanup(standby.Close)
	dir := directory(t, connect(t, c.WebHDFS, c.User, nil))
	fsys := opened(t, standby.URL, c.User, func(cfg *webhdfs.Config) { cfg.URLs = []string{standby.URL, "http://127.0.0.2:1", c.WebHDFS} })
	put(t, fsys, dir+"/new", []byte("content"))
	if got, err := get(t, fsys, dir+"/new"); err != nil || string(got) != "content" || asked.Load() != 1 {
		t.Errorf("%q, %v; the standby was asked %d times", got, err, asked.Load())
	}
}
