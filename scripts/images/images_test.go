package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// contents reads an archive: what is in each of its files, by name.
func contents(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	files := map[string]string{}
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}

// headers reads a layer: kind, mode, owner and target of each entry, in order.
func headers(t *testing.T, layer string) []string {
	t.Helper()
	var lines []string
	archive := tar.NewReader(strings.NewReader(layer))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		line := header.FileInfo().Mode().String() + " " + header.Name
		if header.Uid != 0 || header.Gid != 0 {
			line += " of another"
		}
		if header.Linkname != "" {
			line += " -> " + header.Linkname
		}
		lines = append(lines, line)
	}
}

// makeImage runs the command and gives the files of the archive that it made.
func makeImage(t *testing.T, epoch string, args ...string) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	var stderr bytes.Buffer
	getenv := func(name string) string {
		if name == "SOURCE_DATE_EPOCH" {
			return epoch
		}
		return ""
	}
	if status := run(t.Context(), append([]string{"-o", file}, args...), getenv, &stderr); status != 0 {
		t.Fatalf("exit status %d: %s", status, stderr.String())
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	return contents(t, f)
}

// description reads what an archive says of itself, and checks every hash in it.
func description(t *testing.T, files map[string]string) (manifestEntry, imageConfig) {
	t.Helper()
	var manifests []manifestEntry
	if err := json.Unmarshal([]byte(files["manifest.json"]), &manifests); err != nil || len(manifests) != 1 {
		t.Fatalf("manifest.json: %v: %s", err, files["manifest.json"])
	}
	manifest := manifests[0]
	if want := sum(files[manifest.Config]) + ".json"; manifest.Config != want {
		t.Errorf("the configuration is called %s, its hash is %s", manifest.Config, want)
	}
	var config imageConfig
	if err := json.Unmarshal([]byte(files[manifest.Config]), &config); err != nil {
		t.Fatal(err)
	}
	var diffs []string
	for _, name := range manifest.Layers {
		diffs = append(diffs, "sha256:"+sum(files[name]))
	}
	if difference := cmp.Diff(diffs, config.RootFS.DiffIDs); difference != "" {
		t.Errorf("hashes of the layers (-are, +said):\n%s", difference)
	}
	return manifest, config
}

func sum(text string) string {
	hash := sha256.Sum256([]byte(text))
	return hex.EncodeToString(hash[:])
}

func TestImage(t *testing.T) {
	source := t.TempDir()
	program := filepath.Join(source, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("program", filepath.Join(source, "alias")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(source, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"-tag", "clic.test/a:1", "-tag", "clic.test/a:latest", "-arch", "arm64",
		"-tree", source + ":/opt/tool", "-text", `/etc/passwd=root:x:0:0\n`, "-dir", "/tmp:1777", "-dir", "/home/u:0700:1000:1000",
		"-layer", "-file", program + ":/bin/program:4755", "-link", "/bin/program:/usr/bin/program",
		"-entrypoint", "/bin/program", "-entrypoint", "run", "-cmd", "now", "-user", "1000:1000", "-env", "A=b=c",
		"-label", "org.opencontainers.image.title=a", "-workdir", "/tmp", "-port", "7777",
	}
	files := makeImage(t, "86400", args...)
	manifest, config := description(t, files)
	if difference := cmp.Diff([]string{"clic.test/a:1", "clic.test/a:latest"}, manifest.RepoTags); difference != "" {
		t.Error(difference)
	}
	want := imageConfig{
		Architecture: "arm64", OS: "linux", Created: time.Unix(86400, 0).UTC(),
		Config: runConfig{
			User: "1000:1000", Env: []string{"A=b=c"}, Entrypoint: []string{"/bin/program", "run"}, Cmd: []string{"now"},
			WorkingDir: "/tmp", Labels: map[string]string{"org.opencontainers.image.title": "a"},
			ExposedPorts: map[string]struct{}{"7777/tcp": {}},
		},
		RootFS: rootFS{Type: "layers", DiffIDs: config.RootFS.DiffIDs},
	}
	if difference := cmp.Diff(want, config); difference != "" {
		t.Errorf("configuration (-want, +got):\n%s", difference)
	}
	wantLayers := [][]string{
		{
			"drwxr-xr-x etc/", "-rw-r--r-- etc/passwd", "drwxr-xr-x home/", "drwx------ home/u/ of another", "drwxr-xr-x opt/",
			"drwxr-xr-x opt/tool/", "Lrwxrwxrwx opt/tool/alias -> program", "-rwx------ opt/tool/program",
			"drwxr-xr-x opt/tool/sub/", "dtrwxrwxrwx tmp/",
		},
		{
			"drwxr-xr-x bin/", "urwxr-xr-x bin/program", "drwxr-xr-x usr/", "drwxr-xr-x usr/bin/",
			"Lrwxrwxrwx usr/bin/program -> /bin/program",
		},
	}
	for n, name := range manifest.Layers {
		if difference := cmp.Diff(wantLayers[n], headers(t, files[name])); difference != "" {
			t.Errorf("layer %d (-want, +got):\n%s", n, difference)
		}
	}
	if difference := cmp.Diff(files, makeImage(t, "86400", args...)); difference != "" {
		t.Errorf("a second run made something else:\n%s", difference)
	}
}

// Two layers of the same content are one file, named twice.
func TestEqualLayers(t *testing.T) {
	files := makeImage(t, "", "-tag", "a:1", "-text", "/a=a", "-layer", "-text", "/a=a")
	manifest, _ := description(t, files)
	if len(manifest.Layers) != 2 || manifest.Layers[0] != manifest.Layers[1] || len(files) != 3 {
		t.Errorf("layers %v, %d files in the archive, want one layer twice and 3 files", manifest.Layers, len(files))
	}
}

// A dynamic program's image has what it needs to run: it is tried.
func TestProgram(t *testing.T) {
	program, err := exec.LookPath("tar")
	if err != nil {
		t.Fatal(err)
	}
	files := makeImage(t, "", "-tag", "a:1", "-program", program+":/bin/program")
	manifest, _ := description(t, files)
	var libraries int
	for _, line := range headers(t, files[manifest.Layers[0]]) {
		if strings.Contains(line, "libc.so") || strings.Contains(line, "ld-linux") {
			libraries++
		}
	}
	if libraries != 2 {
		t.Errorf("%d of the C library and the dynamic linker are in the image: %q", libraries, headers(t, files[manifest.Layers[0]]))
	}

	static := filepath.Join(t.TempDir(), "pause")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", static, "./pause")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	files = makeImage(t, "", "-tag", "a:1", "-program", static+":/pause")
	manifest, _ = description(t, files)
	if got := headers(t, files[manifest.Layers[0]]); !slices.Equal(got, []string{"-rwxr-xr-x pause"}) {
		t.Errorf("the image of a static program: %q", got)
	}
}

func TestParseLdd(t *testing.T) {
	for name, test := range map[string]struct {
		output string
		want   []string
		err    error
	}{
		"usual": {
			output: "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n" +
				"\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n",
			want: []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"},
		},
		"missing":      {output: "\tlibz.so.1 => not found\n", err: errNoLibrary},
		"roundabout":   {output: "\tliba.so => /usr/lib/../lib/liba.so (0x0)\n", want: []string{"/usr/lib/liba.so"}},
		"no libraries": {output: "\tstatically linked\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseLdd([]byte(test.output))
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if difference := cmp.Diff(test.want, got); difference != "" {
				t.Error(difference)
			}
		})
	}
}

func TestWrongUsage(t *testing.T) {
	regular := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(regular, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string // what the message must say
	}{
		"nothing":           {nil, "-o is missing"},
		"no tag":            {[]string{"-o", "x"}, "-tag is missing"},
		"no colon in a tag": {[]string{"-tag", "localhost:5000/a"}, "NAME:TAG"},
		"left over":         {[]string{"-o", "x", "-tag", "a:1", "y"}, `unexpected argument "y"`},
		"relative path":     {[]string{"-file", regular + ":bin/a"}, "must be absolute"},
		"the root":          {[]string{"-dir", "/"}, "must be absolute and not the root"},
		"no such file":      {[]string{"-file", regular + "-not:/a"}, "no such file"},
		"a directory":       {[]string{"-file", filepath.Dir(regular) + ":/a"}, "no regular file"},
		"no program":        {[]string{"-program", regular}, "as a program"},
		"bad mode":          {[]string{"-file", regular + ":/a:9"}, "invalid syntax"},
		"too many words":    {[]string{"-link", "/a:/b:/c"}, "want 2 to 2 words"},
		"below a file":      {[]string{"-text", "/a=", "-text", "/a/b="}, `"/a" above it is no directory`},
		"file on directory": {[]string{"-text", "/a/b=", "-text", "/a="}, "a directory and something else"},
		"variable":          {[]string{"-env", "A"}, "NAME=VALUE"},
		"label":             {[]string{"-label", "A"}, "NAME=VALUE"},
		"text":              {[]string{"-text", "/a"}, "PATH=TEXT"},
		"port":              {[]string{"-port", "70000"}, "out of range"},
		"owner":             {[]string{"-dir", "/a:0755:me"}, "invalid syntax"},
		"working directory": {[]string{"-workdir", "a"}, "must be absolute"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			status := run(t.Context(), test.args, func(string) string { return "" }, &stderr)
			if status != 64 || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("exit status %d, message %q, want 64 and %q", status, stderr.String(), test.want)
			}
		})
	}
}

// An archive that cannot be written leaves nothing behind.
func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "source")
	if err := os.WriteFile(gone, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	i, file, err := parse(t.Context(), []string{"-o", filepath.Join(dir, "a.tar"), "-tag", "a:1", "-file", gone + ":/a"},
		func(string) string { return "" }, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if err := i.writeFile(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that the source does not exist", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
