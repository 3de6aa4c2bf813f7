package oldwire_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// setupPatience is for a slow network the first time.
const setupPatience = 10 * time.Minute

// thriftPython is the release of PyPI's thrift that the Python programs use.
const thriftPython = "0.13.0"

// mavenCopy is the Maven goal that puts the libraries of a pom.xml into a directory, at a fixed version.
const mavenCopy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

// cached gives a directory of the cache that fill makes the first time, also when several tests ask at once.
func cached(t *testing.T, name string, fill func(dir string) error) string {
	t.Helper()
	base := os.Getenv("CLIC_CACHE")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatalf("no place for a cache: set CLIC_CACHE: %v", err)
		}
		base = filepath.Join(home, ".cache", "clic")
	}
	base = filepath.Join(base, "oldwire")
	must(t, os.MkdirAll(base, 0o755))
	lock, err := os.OpenFile(filepath.Join(base, name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	must(t, err)
	defer lock.Close()
	must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	dir, done := filepath.Join(base, name), filepath.Join(base, name+".done")
	if _, err := os.Stat(done); err == nil {
		return dir
	}
	must(t, os.RemoveAll(dir))
	if err := fill(dir); err != nil {
		t.Fatalf("cannot prepare %s: %v\n(scripts/setup.sh installs the Debian packages that are needed: thrift-compiler, default-jdk-headless, maven, python3-venv)", dir, err)
	}
	must(t, os.WriteFile(done, nil, 0o644))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tool runs a program and gives its output with the error.
func tool(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), setupPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot run %s %s: %w\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return nil
}

// generate makes the code of a language from the old IDL.
func generate(t *testing.T, language string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, tool("thrift", "-r", "--gen", language, "-out", dir, filepath.Join("testdata", "old", "master.thrift")))
	return dir
}

// testdata is the absolute path of a file below testdata.
func testdata(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"testdata"}, parts...)...))
	must(t, err)
	return path
}

// python is what runs the Python programs.
type python struct {
	interpreter, path string
}

func setupPython(t *testing.T) python {
	t.Helper()
	venv := cached(t, "python-thrift-"+thriftPython, func(dir string) error {
		if err := tool("python3", "-m", "venv", dir); err != nil {
			return err
		}
		return tool(filepath.Join(dir, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "thrift=="+thriftPython)
	})
	return python{interpreter: filepath.Join(venv, "bin", "python"), path: generate(t, "py")}
}

// Java code of a newer compiler reads containers in the tuple protocol with methods that libthrift 0.13 lacks. These are what
// the old compiler wrote in their place. Nothing here speaks that protocol; it has to compile.
var (
	tupleMap  = regexp.MustCompile(`iprot\.readMapBegin\(([^,()]+), ([^,()]+)\)`)
	tupleList = regexp.MustCompile(`iprot\.readListBegin\(([^()]+)\)`)
)

// setupJava compiles the Java client and gives its class path.
func setupJava(t *testing.T) string {
	t.Helper()
	jars := cached(t, "java-libthrift-0.13.0", func(dir string) error {
		return tool("mvn", "-q", "-B", "-f", testdata(t, "java", "pom.xml"), mavenCopy, "-DoutputDirectory="+dir)
	})
	generated, classes := generate(t, "java:generated_annotations=suppress"), t.TempDir()
	args := []string{"-nowarn", "-cp", filepath.Join(jars, "*"), "-d", classes, testdata(t, "java", "OldClient.java")}
	must(t, filepath.WalkDir(generated, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		args = append(args, path)
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b = tupleMap.ReplaceAll(b, []byte("new org.apache.thrift.protocol.TMap($1, $2, iprot.readI32())"))
		b = tupleList.ReplaceAll(b, []byte("new org.apache.thrift.protocol.TList($1, iprot.readI32())"))
		return os.WriteFile(path, b, 0o644)
	}))
	must(t, tool("javac", args...))
	return classes + string(os.PathListSeparator) + filepath.Join(jars, "*")
}
