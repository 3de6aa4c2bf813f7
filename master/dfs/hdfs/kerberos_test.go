//go:build hdfs

package hdfs_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"testing"

	lib "github.com/colinmarc/hdfs/v2"
	krb "github.com/jcmturner/gokrb5/v8/client"
	krbconfig "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/dfs/dfstest"
	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
	"github.com/clic-orchestrator/clic/master/dfs/hdfstest"
)

// TestKerberos passes the suite where everybody proves who he is, and is refused where he does not.
func TestKerberos(t *testing.T) {
	c := hdfstest.Own(t, "--kerberos")
	host, _, err := net.SplitHostPort(c.Namenodes[0])
	if err != nil {
		t.Fatal(err)
	}
	super := "namenode/" + host
	as := func(who string) func(t *testing.T) dfs.FS {
		return func(t *testing.T) dfs.FS {
			return connect(t, c, func(config *hadoop.Config) {
				config.BlockSize = 1 << 20
				config.Kerberos.Keytab, config.Kerberos.Principal = c.Keytab, who+"@"+hdfstest.Realm
				config.Kerberos.Configuration = c.KerberosConfiguration
			})
		}
	}
	t.Run("suite", func(t *testing.T) {
		client := rawKerberos(t, c, super)
		dfstest.Run(t, dfstest.Backend{
			Root:     directory(t, as(super)(t)),
			New:      as(super),
			Stranger: as("alice"),
			Private: func(t *testing.T, name string) {
				if err := client.Chmod(name, os.FileMode(0o700)); err != nil {
					t.Fatal(err)
				}
			},
			Many: 100,
		})
	})
	t.Run("nobody", func(t *testing.T) {
		simple := connect(t, c, func(config *hadoop.Config) { config.Kerberos, config.User = hadoop.Kerberos{}, "alice" })
		if _, err := simple.Stat(t.Context(), "/"); !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
	})
}

// rawKerberos is raw with Kerberos.
func rawKerberos(t *testing.T, c *hdfstest.Cluster, who string) *lib.Client {
	t.Helper()
	config, err := krbconfig.Load(c.KerberosConfiguration)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keytab.Load(c.Keytab)
	if err != nil {
		t.Fatal(err)
	}
	client, err := lib.NewClient(lib.ClientOptions{
		Addresses: c.Namenodes, KerberosServicePrincipleName: "namenode/_HOST",
		KerberosClient: krb.NewWithKeytab(who, hdfstest.Realm, keys, config, krb.DisablePAFXFAST(true)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}
