package hadoop_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/dfs/hadoop"
)

// site writes properties (name, value, name, value, …) as one of Hadoop's files.
func site(pairs ...string) string {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\"?>\n<?xml-stylesheet type=\"text/xsl\" href=\"configuration.xsl\"?>\n<!-- Licence -->\n<configuration>\n")
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString("  <property><name>" + pairs[i] + "</name><value>" + pairs[i+1] + "</value><description>…</description></property>\n")
	}
	b.WriteString("</configuration>\n")
	return b.String()
}

// load reads files that are given by their names and contents.
func load(t *testing.T, contents map[string]string) (hadoop.Properties, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return hadoop.Load(dir)
}

var ha = []string{
	"dfs.nameservices", "clic, other", "dfs.ha.namenodes.clic", "nn1,nn2",
	"dfs.namenode.rpc-address.clic.nn1", "one:8020", "dfs.namenode.rpc-address.clic.nn2", "${second}:9000", "second", "two",
	"dfs.namenode.http-address.clic.nn1", "one:9870", "dfs.namenode.http-address.clic.nn2", "two:9870",
	"dfs.namenode.rpc-address.other", "alone",
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		core, hdfs []string
		authority  string
		want       hadoop.Config
	}{
		"a host": {
			core: []string{"fs.defaultFS", "hdfs://nn:9000"},
			want: hadoop.Config{Name: "nn:9000", Namenodes: []string{"nn:9000"}},
		},
		"a host without a port, by the old name": {
			core: []string{"fs.default.name", "hdfs://nn/"}, hdfs: []string{"dfs.namenode.http-address", "nn:9870"},
			want: hadoop.Config{Name: "nn", Namenodes: []string{"nn:8020"}, HTTP: []string{"http://nn:9870"}},
		},
		"another host than the default": {
			core:      []string{"fs.defaultFS", "hdfs://nn"},
			hdfs:      []string{"dfs.namenode.http-address", "nn:9870"},
			authority: "else:1",
			want:      hadoop.Config{Name: "else:1", Namenodes: []string{"else:1"}},
		},
		"two namenodes": {
			core: []string{"fs.defaultFS", "hdfs://clic"}, hdfs: ha,
			want: hadoop.Config{
				Name: "clic", Namenodes: []string{"one:8020", "two:9000"}, HTTP: []string{"http://one:9870", "http://two:9870"},
			},
		},
		"another nameservice": {
			core: []string{"fs.defaultFS", "hdfs://clic"}, hdfs: ha, authority: "other",
			want: hadoop.Config{Name: "other", Namenodes: []string{"alone:8020"}},
		},
		"everything": {
			core: []string{
				"fs.defaultFS", "hdfs://nn", "hadoop.security.authentication", "Kerberos", "ipc.client.connect.timeout", "3000",
				"ipc.client.rpc-timeout.ms", "7s",
			},
			hdfs: []string{
				"dfs.replication", "2", "dfs.blocksize", "256m", "dfs.client.use.datanode.hostname", "true", "dfs.client.socket-timeout", "1m",
				"dfs.namenode.kerberos.principal", "nn/_HOST@EXAMPLE.ORG", "dfs.data.transfer.protection", "integrity,authentication",
				"dfs.http.policy", "HTTPS_ONLY", "dfs.namenode.https-address", "nn:9871",
			},
			want: hadoop.Config{
				Name: "nn", Namenodes: []string{"nn:8020"}, HTTP: []string{"https://nn:9871"}, Replication: 2, BlockSize: 256 << 20,
				DatanodeHostnames: true, Protection: "integrity", Kerberos: hadoop.Kerberos{Service: "nn/_HOST"},
				ConnectTimeout: 3 * time.Second, CallTimeout: 7 * time.Second, DataTimeout: time.Minute,
			},
		},
		"encrypted": {
			core: []string{"fs.defaultFS", "hdfs://nn"}, hdfs: []string{"dfs.encrypt.data.transfer", "TRUE"},
			want: hadoop.Config{Name: "nn", Namenodes: []string{"nn:8020"}, Protection: "privacy"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := load(t, map[string]string{"core-site.xml": site(c.core...), "hdfs-site.xml": site(c.hdfs...)})
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Config(c.authority)
			if d := cmp.Diff(c.want, got); err != nil || d != "" {
				t.Errorf("%v, %s", err, d)
			}
		})
	}
}

func TestErrorsNameFileAndProperty(t *testing.T) {
	for _, c := range []struct {
		core, authority string
		want            string // of the message, after the directory
	}{
		{"", "", "core-site.xml: it is not XML"},
		{"<html/>", "", "core-site.xml: it begins with <html>"},
		{"<configuration><property>", "", "core-site.xml: "},
		{"<configuration><property><value>x</value></property></configuration>", "", "core-site.xml: a property has no name"},
		{`<configuration xmlns:xi="x"><xi:include href="y"/></configuration>`, "", "core-site.xml: includes are not followed"},
		{site("a", strings.Repeat("x", 1<<17)), "", "core-site.xml: a: the value has 131072 bytes"},
		{site("a", "x") + strings.Repeat(" ", 5<<20), "", "core-site.xml: the file has more than"},
		{site(), "", "fs.defaultFS: it names no HDFS"},
		{site("fs.defaultFS", "file:///"), "", "fs.defaultFS: it names no HDFS"},
		{site("fs.defaultFS", "::"), "", "core-site.xml: fs.defaultFS: "},
		{site("fs.defaultFS", "${a}", "a", "${b}", "b", "${a}"), "", "core-site.xml: fs.defaultFS: the ${variables} in it lead too far"},
		{site("dfs.nameservices", "s"), "s", `dfs.namenode.rpc-address.s: the nameservice "s" needs it as HOST:PORT`},
		{site("dfs.nameservices", "s", "dfs.namenode.rpc-address.s", "h:x"), "s", "core-site.xml: dfs.namenode.rpc-address.s: "},
		{site("dfs.replication", "many"), "h", "core-site.xml: dfs.replication: "},
		{site("dfs.replication", "1000"), "h", "core-site.xml: dfs.replication: "},
		{site("dfs.blocksize", "1000"), "h", "core-site.xml: dfs.blocksize: "},
		{site("dfs.blocksize", "9999999p"), "h", "core-site.xml: dfs.blocksize: "},
		{site("dfs.client.socket-timeout", "-1"), "h", "core-site.xml: dfs.client.socket-timeout: "},
		{site("dfs.client.use.datanode.hostname", "yes"), "h", "core-site.xml: dfs.client.use.datanode.hostname: "},
		{site("hadoop.security.authentication", "token"), "h", "core-site.xml: hadoop.security.authentication: "},
		{site("hadoop.security.authentication", "kerberos"), "h", "dfs.namenode.kerberos.principal: it is needed"},
		{site("dfs.data.transfer.protection", "much"), "h", "core-site.xml: dfs.data.transfer.protection: "},
		{site(), "a/b", "dfs.nameservices: it does not name the authority"},
	} {
		p, err := load(t, map[string]string{"core-site.xml": c.core})
		if err == nil {
			_, err = p.Config(c.authority)
		}
		var typed *hadoop.Error
		if err == nil || !errors.As(err, &typed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.100s: %v, want %q", c.core, err, c.want)
		}
	}
	if _, err := load(t, nil); err == nil || !strings.Contains(err.Error(), "neither core-site.xml nor hdfs-site.xml") {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestFinal(t *testing.T) {
	final := "<configuration><property><name>fs.defaultFS</name><value>hdfs://a</value><final>true</final></property></configuration>"
	p, err := load(t, map[string]string{"core-site.xml": final, "hdfs-site.xml": site("fs.defaultFS", "hdfs://b")})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Default(); got != "a" || err != nil {
		t.Errorf("%q, %v: a final property was overridden", got, err)
	}
}

func TestValidate(t *testing.T) {
	good := hadoop.Config{Namenodes: []string{"nn:8020"}}.WithDefaults()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*hadoop.Config){
		"Namenodes":      func(c *hadoop.Config) { c.Namenodes = nil },
		"Namenodes:":     func(c *hadoop.Config) { c.Namenodes = []string{"nn"} },
		"User":           func(c *hadoop.Config) { c.User = "" },
		"Kerberos":       func(c *hadoop.Config) { c.Kerberos.Service = "nn/_HOST" },
		"Protection":     func(c *hadoop.Config) { c.Protection = "much" },
		"Replication":    func(c *hadoop.Config) { c.Replication = -1 },
		"BlockSize":      func(c *hadoop.Config) { c.BlockSize = 1000 },
		"ConnectTimeout": func(c *hadoop.Config) { c.ConnectTimeout = -1 },
		"RetryFor":       func(c *hadoop.Config) { c.RetryFor = 48 * time.Hour },
	} {
		c := good
		change(&c)
		var typed *hadoop.Error
		if err := c.Validate(); !errors.As(err, &typed) || !strings.HasPrefix(err.Error(), strings.TrimSuffix(field, ":")) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestOver(t *testing.T) {
	base := hadoop.Config{Name: "a", Namenodes: []string{"a:1"}, User: "x", CallTimeout: time.Second, Replication: 3}
	got := hadoop.Config{User: "y", Kerberos: hadoop.Kerberos{Keytab: "k"}}.Over(base)
	want := base
	want.User, want.Kerberos.Keytab = "y", "k"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(site(ha...), "clic")
	f.Add(site("fs.defaultFS", "hdfs://${a}", "a", "${b}", "b", "${c"), "")
	f.Add("<configuration><property><name>dfs.blocksize</name><value>m</value></property></configuration>", "[::1]")
	f.Fuzz(func(t *testing.T, content, authority string) {
		p, err := hadoop.Parse(strings.NewReader(content), "f")
		if err != nil {
			return
		}
		c, err := p.Config(authority)
		if err != nil {
			return
		}
		c.Kerberos = hadoop.Kerberos{}
		c.User = "u"
		if err := c.WithDefaults().Validate(); err != nil {
			t.Fatalf("the files were taken, and then: %v", err)
		}
	})
}
