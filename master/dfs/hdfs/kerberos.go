package hdfs

import (
	"fmt"
	"strings"

	krb "github.com/jcmturner/gokrb5/v8/client"
	krbconfig "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
)

// newKerberos reads the files that say who the client is. With a key table it logs in when it is first needed, and again when its
// ticket ends; the tickets of a cache are used as long as they last.
func newKerberos(k hadoop.Kerberos) (*krb.Client, error) {
	config, err := krbconfig.Load(k.Configuration)
	if err != nil {
		return nil, fmt.Errorf("cannot read Kerberos' configuration %q: %w", k.Configuration, err)
	}
	if k.Keytab == "" {
		cache, err := credentials.LoadCCache(k.Cache)
		if err != nil {
			return nil, fmt.Errorf("cannot read the Kerberos tickets in %q: %w", k.Cache, err)
		}
		client, err := krb.NewFromCCache(cache, config, krb.DisablePAFXFAST(true))
		if err != nil {
			return nil, fmt.Errorf("cannot use the Kerberos tickets in %q: %w", k.Cache, err)
		}
		return client, nil
	}
	table, err := keytab.Load(k.Keytab)
	if err != nil {
		return nil, fmt.Errorf("cannot read the Kerberos keys in %q: %w", k.Keytab, err)
	}
	name, realm, _ := strings.Cut(k.Principal, "@")
	return krb.NewWithKeytab(name, realm, table, config, krb.DisablePAFXFAST(true)), nil
}
