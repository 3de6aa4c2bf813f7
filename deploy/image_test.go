// Package deploy_test checks what is in deploy against itself and against the rest of the project, without a cluster.
package deploy_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// image is what there is to say of an image.
type image struct {
	User       string
	Entrypoint []string
	Env        []string
	Labels     map[string]string
	Ports      map[string]bool
	// Files are the contents of all files, by path.
	Files map[string]string
}

const version = "v1.2.3-test"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestImage: deploy/Dockerfile and `make image` make the same image.
func TestImage(t *testing.T) {
	// The programs are only names here; that the real ones are static and run in this image is for the test with a cluster.
	programs, archive := t.TempDir(), filepath.Join(t.TempDir(), "image.tar")
	for _, name := range []string{"clic", "clic-master", "clic-stage"} {
		must(t, os.WriteFile(filepath.Join(programs, name), []byte("the program "+name), 0o755))
	}
	made := exec.Command("make", "--no-print-directory", "--old-file=image-files", "image",
		"IMAGE_FILES="+programs, "IMAGE="+archive, "IMAGE_TAG=clic:test", "VERSION="+version)
	made.Dir = ".."
	if out, err := made.CombinedOutput(); err != nil {
		t.Fatalf("make image: %v\n%s", err, out)
	}
	if diff := cmp.Diff(readDockerfile(t, programs), readArchive(t, archive)); diff != "" {
		t.Errorf("the image differs (-Dockerfile +make image):\n%s", diff)
	}
}

// readDockerfile gives the image that the last stage of the Dockerfile makes.
func readDockerfile(t *testing.T, programs string) *image {
	t.Helper()
	b, err := os.ReadFile("Dockerfile")
	must(t, err)
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(b), "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	text = strings.ReplaceAll(text, "$VERSION", version)
	_, text, found := strings.Cut(text, "FROM scratch\n")
	if !found {
		t.Fatal("the Dockerfile has no stage from scratch")
	}
	i := &image{Labels: map[string]string{}, Ports: map[string]bool{}, Files: map[string]string{}}
	for line := range strings.Lines(text) {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		words := strings.Fields(rest)
		switch instruction {
		case "", "ARG":
		case "COPY":
			source, to := words[len(words)-2], words[len(words)-1]
			from := filepath.Join("..", source)
			if words[0] == "--from=build" {
				from = strings.Replace(source, "/src/build/image", programs, 1)
			}
			content, err := os.ReadFile(from)
			must(t, err)
			i.Files[to] = string(content)
		case "USER":
			i.User = rest
		case "ENTRYPOINT":
			must(t, json.Unmarshal([]byte(rest), &i.Entrypoint))
		case "ENV":
			i.Env = append(i.Env, words...)
		case "EXPOSE":
			for _, port := range words {
				i.Ports[port+"/tcp"] = true
			}
		case "LABEL":
			for _, label := range regexp.MustCompile(`(\S+)="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
				i.Labels[label[1]] = label[2]
			}
		default:
			t.Fatalf("this test does not know what %s does", instruction)
		}
	}
	return i
}

// readArchive gives the image of a docker-archive.
func readArchive(t *testing.T, archive string) *image {
	t.Helper()
	f, err := os.Open(archive)
	must(t, err)
	defer f.Close()
	parts := untar(t, f)
	var manifest []struct {
		Config string
		Layers []string
	}
	must(t, json.Unmarshal([]byte(parts["manifest.json"]), &manifest))
	var described struct {
		Config struct {
			User            string
			Entrypoint, Env []string
			Labels          map[string]string
			ExposedPorts    map[string]struct{}
		} `json:"config"`
	}
	must(t, json.Unmarshal([]byte(parts[manifest[0].Config]), &described))
	c := described.Config
	i := &image{User: c.User, Entrypoint: c.Entrypoint, Env: c.Env, Labels: c.Labels, Ports: map[string]bool{}, Files: map[string]string{}}
	for port := range c.ExposedPorts {
		i.Ports[port] = true
	}
	for _, layer := range manifest[0].Layers {
		for name, content := range untar(t, bytes.NewReader([]byte(parts[layer]))) {
			i.Files["/"+name] = content
		}
	}
	return i
}

// untar gives the contents of all files, by name.
func untar(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(t, err)
		if h.Typeflag == tar.TypeDir {
			continue
		}
		content, err := io.ReadAll(archive)
		must(t, err)
		files[h.Name] = string(content)
	}
}
