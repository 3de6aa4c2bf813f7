package hdfs_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfs"
)

// deaf listens, takes connections and never answers, as a namenode does whose process was stopped. accepted gets a value for each.
func deaf(t *testing.T) (address string, accepted <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan struct{}, 1000)
	var group sync.WaitGroup
	var conns []net.Conn
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			taken <- struct{}{}
		}
	})
	t.Cleanup(func() {
		l.Close()
		group.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String(), taken
}

func open(t *testing.T, config hadoop.Config) *hdfs.FS {
	t.Helper()
	config.User = "somebody"
	fsys, err := hdfs.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

func TestNobodyAnswers(t *testing.T) {
	address, _ := deaf(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	for name, config := range map[string]hadoop.Config{
		"deaf":     {Namenodes: []string{address}, CallTimeout: 50 * time.Millisecond},
		"refusing": {Namenodes: []string{refusing.Addr().String()}},
		"both":     {Namenodes: []string{refusing.Addr().String(), address}, CallTimeout: 50 * time.Millisecond},
	} {
		config.RetryFor = 300 * time.Millisecond
		fsys := open(t, config)
		begin := time.Now()
		_, err := fsys.Stat(t.Context(), "/x")
		if took := time.Since(begin); !errors.Is(err, dfs.ErrUnavailable) || !strings.Contains(err.Error(), "/x") || took > 10*time.Second {
			t.Errorf("%s: after %s: %v", name, took, err)
		}
		if err := fsys.Rename(t.Context(), "/x", "/y"); !errors.Is(err, dfs.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if err := fsys.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestCloseEndsCalls closes a file system, and cancels a context, that a call waits with.
func TestCloseEndsCalls(t *testing.T) {
	for _, how := range []string{"close", "cancel"} {
		address, accepted := deaf(t)
		fsys := open(t, hadoop.Config{Namenodes: []string{address}, CallTimeout: time.Hour, RetryFor: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := fsys.Stat(ctx, "/x")
			done <- err
		}()
		<-accepted
		if how == "close" {
			if err := fsys.Close(); err != nil {
				t.Error(err)
			}
		} else {
			cancel()
		}
		if err := <-done; !errors.Is(err, dfs.ErrUnavailable) || errors.Is(err, context.Canceled) != (how == "cancel") {
			t.Errorf("%s: %v", how, err)
		}
		if err := fsys.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

func TestNew(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	good := filepath.Join(dir, "krb5.conf")
	for name, content := range map[string]string{
		broken: "\x05\x09 no key table", good: "[libdefaults]\n default_realm = EXAMPLE.ORG\n[realms]\n EXAMPLE.ORG = {\n  kdc = 127.0.0.1:1\n }\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	none := filepath.Join(dir, "none")
	for _, c := range []struct {
		kerberos hadoop.Kerberos
		want     string
	}{
		{hadoop.Kerberos{}, "Kerberos"},
		{hadoop.Kerberos{Principal: "me@EXAMPLE.ORG", Keytab: broken, Configuration: none}, none},
		{hadoop.Kerberos{Principal: "me@EXAMPLE.ORG", Keytab: none, Configuration: good}, none},
		{hadoop.Kerberos{Principal: "me@EXAMPLE.ORG", Keytab: broken, Configuration: good}, broken},
		{hadoop.Kerberos{Cache: none, Configuration: good}, none},
		{hadoop.Kerberos{Cache: broken, Configuration: good}, broken},
	} {
		c.kerberos.Service = "nn/_HOST"
		_, err := hdfs.New(hadoop.Config{Namenodes: []string{"nn:8020"}, Kerberos: c.kerberos})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.kerberos, err)
		}
	}
	var typed *hadoop.Error
	if _, err := hdfs.New(hadoop.Config{}); !errors.As(err, &typed) || typed.Property != "Namenodes" {
		t.Error(err)
	}
}
