// Package hdfstest starts a real HDFS for tests, by scripts/hdfs.sh: one that all share and that stays up, or one of a test's own, whose
// daemons it may kill.
package hdfstest

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Realm is that of an HDFS with Kerberos.
const Realm = "CLIC.TEST"

// A Cluster is an HDFS that runs.
type Cluster struct {
	// Name is what the script calls it, Dir is where its files are.
	Name, Dir string
	// URI is the file system's (hdfs://…), Namenodes are the addresses (HOST:PORT) of its namenodes.
	URI       string
	Namenodes []string
	// WebHDFS (of the first namenode) and HTTPFS are the URLs (http://HOST:PORT) of its two ways over HTTP.
	WebHDFS, HTTPFS string
	// ConfDir is the directory of its core-site.xml and hdfs-site.xml.
	ConfDir string
	// User may do everything in it.
	User string
	// Keytab has the keys of namenode/HOST, who may do everything, and of alice, and KerberosConfiguration (krb5.conf) says where the KDC
	// is, where it was started with --kerberos. The realm is Realm.
	Keytab, KerberosConfiguration string

	script string
}

// Shared gives the HDFS that tests share, and starts it if it does not run: CLIC_HDFS, "clic" unless set. Nobody stops anything of it.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	name := os.Getenv("CLIC_HDFS")
	if name == "" {
		name = "clic"
	}
	return start(t, name)
}

// Own starts an HDFS for one test, with options of the script's "up", and removes it at the end of the test.
func Own(t testing.TB, options ...string) *Cluster {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:8])
	t.Cleanup(func() {
		// The test's context has ended by now.
		if out, err := run(context.Background(), script(t), "down", "--name", name); err != nil {
			t.Errorf("cannot end the HDFS %q: %v\n%s", name, err, out)
		}
	})
	return start(t, name, options...)
}

func start(t testing.TB, name string, options ...string) *Cluster {
	t.Helper()
	c := &Cluster{Name: name, script: script(t)}
	c.Script(t, "up", options...)
	for line := range strings.Lines(c.Script(t, "env")) {
		variable, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		switch variable {
		case "CLIC_HDFS_DIR":
			c.Dir = value
		case "CLIC_HDFS_URI":
			c.URI = value
		case "CLIC_HDFS_NAMENODES":
			c.Namenodes = strings.Split(value, ",")
		case "CLIC_HDFS_WEBHDFS":
			c.WebHDFS = value
		case "CLIC_HDFS_HTTPFS":
			c.HTTPFS = value
		case "HADOOP_CONF_DIR":
			c.ConfDir = value
		case "CLIC_HDFS_USER":
			c.User = value
		case "CLIC_HDFS_KEYTAB":
			c.Keytab = value
		case "KRB5_CONFIG":
			c.KerberosConfiguration = value
		}
	}
	return c
}

// script finds scripts/hdfs.sh above the test's directory.
func script(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		file := filepath.Join(dir, "scripts", "hdfs.sh")
		if _, err := os.Stat(file); err == nil {
			return file
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no scripts/hdfs.sh above this directory")
		}
		dir = filepath.Dir(dir)
	}
}

func run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	// The daemons that it starts must not keep its output open.
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	return out.String(), err
}

// Script runs a command of the script on this HDFS ("kill", "datanode1"), and gives what it printed.
func (c *Cluster) Script(t testing.TB, command string, args ...string) string {
	t.Helper()
	out, err := run(t.Context(), c.script, append([]string{command, "--name", c.Name}, args...)...)
	if err != nil {
		t.Fatalf("hdfs.sh %s %q: %v\n%s", command, args, err, out)
	}
	return out
}

// Tool runs one of Hadoop's own programs ("dfs", "-chmod", "700", "/x"), and gives what it printed.
func (c *Cluster) Tool(t testing.TB, args ...string) string {
	t.Helper()
	return c.Script(t, "exec", append([]string{"hdfs"}, args...)...)
}

// Blocks gives the files of a datanode ("datanode1") that blocks are in, not those with their checksums.
func (c *Cluster) Blocks(t testing.TB, datanode string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(strings.TrimSpace(c.Script(t, "blocks", datanode)), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".meta") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ErasureCoded makes a directory whose files are erasure-coded: their bytes are spread over datanodes, a mebibyte here and the next one
// there. The policy wants three datanodes; with two its files have no parity.
func (c *Cluster) ErasureCoded(t testing.TB, dir string) {
	t.Helper()
	const policy = "&ecpolicy=XOR-2-1-1024k"
	for _, step := range []struct{ name, query string }{{"/", "ENABLEECPOLICY" + policy}, {dir, "MKDIRS"}, {dir, "SETECPOLICY" + policy}} {
		url := c.WebHDFS + "/webhdfs/v1" + step.name + "?user.name=" + c.User + "&op=" + step.query
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s of %q: %s", step.query, step.name, res.Status)
		}
	}
}
