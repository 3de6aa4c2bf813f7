package layers

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// module is the path that every import of this project begins with.
const module = "github.com/clic-orchestrator/clic"

// A source is what the checks need to know of one Go file.
type source struct {
	file    string   // path below the root, with slashes
	dir     string   // its package's path below the module, "" for the root
	name    string   // its package clause
	test    bool     // the file is only compiled for tests
	imports []string // full import paths
}

// projectRoot is the folder of go.mod.
func projectRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatalf("not run from its folder in the checkout: %v", err)
	}
	return root
}

// readSources parses the import block of every Go file of the module. Unlike `go list` it sees the files behind every build
// tag, and the test's result is cached rightly, because the go command notes which files a test has opened.
func readSources(t *testing.T, root string) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if file != root && ignoredDir(file, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		src, err := readSource(root, file)
		if err != nil {
			return err
		}
		sources = append(sources, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) == 0 {
		t.Fatalf("no Go file below %s", root)
	}
	return sources
}

// ignoredDir tells whether the go command ignores a folder, or takes it for another module.
func ignoredDir(dir, name string) bool {
	if name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func readSource(root, file string) (source, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return source{}, fmt.Errorf("cannot read imports: %w", err)
	}
	below, err := filepath.Rel(root, file)
	if err != nil {
		return source{}, err
	}
	src := source{file: filepath.ToSlash(below), name: parsed.Name.Name, test: strings.HasSuffix(file, "_test.go")}
	if src.dir = path.Dir(src.file); src.dir == "." {
		src.dir = ""
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, fmt.Errorf("cannot read imports of %s: %w", src.file, err)
		}
		src.imports = append(src.imports, imported)
	}
	return src, nil
}

// below gives an import path's part below the module, and whether it is of this module at all.
func below(imported string) (string, bool) {
	if imported == module {
		return "", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// isStandard tells whether an import path is of the standard library: only those have no dot in their first element.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && imported != "C"
}

// has tells whether the tree names the package.
func (tr tree) has(dir string) bool {
	base, deep := strings.CutSuffix(string(tr), "...")
	if !deep {
		return dir == string(tr)
	}
	base = strings.TrimSuffix(base, "/")
	return base == "" || dir == base || strings.HasPrefix(dir, base+"/")
}
