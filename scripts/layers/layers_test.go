// Package layers holds no code, only the test that keeps the house in order: which package may import which, what stands at
// the top of the repository, and which names are too vague to use. The rules are in rules_test.go, as tables.
package layers

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImportsPointOneWay(t *testing.T) {
	for _, src := range readSources(t, projectRoot(t)) {
		for _, problem := range checkImports(src) {
			t.Error(problem)
		}
	}
}

func TestNamesSayWhatIsInside(t *testing.T) {
	for _, src := range readSources(t, projectRoot(t)) {
		for _, problem := range checkNames(src) {
			t.Error(problem)
		}
	}
}

func TestTopLevel(t *testing.T) {
	root := projectRoot(t)
	// Git's index is read by another process: without this the go command would not know that the result depends on it.
	_, _ = os.Stat(filepath.Join(root, ".git", "index"))

	// The checkout may belong to another user than the one who tests.
	list := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "ls-files", "-z")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("cannot list the files of the repository: %v", err)
	}
	for file := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		first, _, _ := strings.Cut(file, "/")
		if !slices.Contains(topLevel, first) && !strings.HasPrefix(first, ".") {
			t.Errorf("%s: nothing called %q belongs at the top of the repository", file, first)
		}
	}
}

// TestProgramsStaySmall asks the go command what is in a program, because what other modules import is not in our sources. That the result
// depends on these is known from the other tests, which open them all, and on other modules from go.mod.
func TestProgramsStaySmall(t *testing.T) {
	root := projectRoot(t)
	for _, p := range programs {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+p.packages)
		list.Dir = root
		out, err := list.Output()
		if err != nil {
			t.Fatalf("cannot list what is in %s: %v", p.packages, err)
		}
		for _, problem := range p.check(strings.Fields(string(out))) {
			t.Error(problem)
		}
	}
}

// check says which of the packages must not be in the program.
func (p program) check(packages []string) []string {
	var problems []string
	for _, imported := range packages {
		for _, prefix := range p.without {
			own := imported == prefix || strings.HasPrefix(imported, strings.TrimSuffix(prefix, "/")+"/")
			if own && imported != module+"/executors/kube/kubeconf" {
				problems = append(problems, fmt.Sprintf("%s has %s in it", p.packages, imported))
			}
		}
	}
	return problems
}

// checkImports says what is wrong with a file's imports, a sentence each.
func checkImports(src source) []string {
	own, ok := layerOf(src.dir)
	if !ok {
		return []string{fmt.Sprintf("%s: no layer has a place for package %q", src.file, src.dir)}
	}
	var problems []string
	for _, imported := range src.imports {
		if reason := own.refuses(src, imported); reason != "" {
			problems = append(problems, fmt.Sprintf("%s: imports %s: %s", src.file, imported, reason))
		}
	}
	return problems
}

// layerOf finds the layer that names a package most closely.
func layerOf(dir string) (layer, bool) {
	var found layer
	for _, candidate := range layers {
		if candidate.packages.has(dir) && len(candidate.packages) > len(found.packages) {
			found = candidate
		}
	}
	return found, found.packages != ""
}

// refuses says why a file of the layer may not import something, or nothing where it may.
func (l layer) refuses(src source, imported string) string {
	if isStandard(imported) {
		return ""
	}
	dir, ours := below(imported)
	if ours {
		if holds(l.never, dir) {
			return fmt.Sprintf("%s must never see it, not even in tests", l.packages)
		}
		if target, ok := layerOf(dir); ok && target.packages == l.packages {
			return ""
		}
	}
	if src.test {
		return ""
	}
	if (strings.HasPrefix(imported, thrift) || tree("idl/...").has(dir) && ours) && !holds(thriftUsers, src.dir) {
		return "only " + join(thriftUsers) + " may see Thrift types"
	}
	if ours {
		if !holds(l.project, dir) {
			return fmt.Sprintf("%s may import of this module: %s", l.packages, join(l.project))
		}
		return ""
	}
	if !slices.ContainsFunc(l.modules, func(prefix string) bool { return strings.HasPrefix(imported, prefix) }) {
		return fmt.Sprintf("%s may import of other modules: %s", l.packages, join(l.modules))
	}
	return ""
}

// checkNames says which parts of a file's package path and clause are too vague.
func checkNames(src source) []string {
	var problems []string
	names := append(strings.Split(src.dir, "/"), strings.TrimSuffix(src.name, "_test"))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if slices.Contains(vagueNames, name) {
			problems = append(problems, fmt.Sprintf("%s: %q says nothing of what is inside", src.file, name))
		}
	}
	return problems
}

func holds(trees []tree, dir string) bool {
	return slices.ContainsFunc(trees, func(tr tree) bool { return tr.has(dir) })
}

// join lists names for a message.
func join[S ~string](names []S) string {
	if len(names) == 0 {
		return "nothing"
	}
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return strings.Join(texts, ", ")
}

// TestRules checks the checker: each case is one import of one file.
func TestRules(t *testing.T) {
	tests := []struct {
		file     string
		imported string
		refused  bool
	}{
		{"dag/run.go", "errors", false},
		{"dag/run.go", "encoding/json", false},
		{"dag/run.go", "C", true},
		{"dag/run.go", "golang.org/x/exp/maps", true},
		{"dag/run.go", module + "/dag/plan", true},
		{"dag/inner/run.go", module + "/dag", false},
		{"dag/inner/run.go", "golang.org/x/exp/maps", true},
		{"dag/run_test.go", "pgregory.net/rapid", false},
		{"dag/run_test.go", module + "/dag/dagtest", false},
		{"dag/run_test.go", module + "/master/engine", true},
		{"dag/plan/parse.go", module + "/dag", false},
		{"dag/plan/parse.go", "gopkg.in/yaml.v3", false},
		{"dag/plan/parse.go", "github.com/apache/thrift/lib/go/thrift", true},
		{"dag/plan/parse.go", "go.uber.org/zap", true},
		{"dag/plan/parse.go", module + "/dag/dagtest", true},
		{"executors/limit/limit.go", module + "/executors", false},
		{"executors/limit/limit.go", module + "/executors/local", true},
		{"executors/local/local.go", module + "/executors", false},
		{"executors/local/local.go", module + "/executors/kube", true},
		{"executors/local/local.go", module + "/master/store", true},
		{"executors/local/local_test.go", module + "/executors/executortest", false},
		{"executors/local/local_test.go", module + "/executors/kube", true},
		{"executors/local/local_test.go", module + "/master/engine", true},
		{"master/store/store.go", module + "/dag", false},
		{"master/store/store.go", module + "/master/engine", true},
		{"master/store/store.go", module + "/master/store/bolt", true},
		{"master/store/bolt/bolt.go", module + "/master/store", false},
		{"master/store/bolt/bolt.go", module + "/master/store/redis", true},
		{"master/store/bolt/bolt_test.go", module + "/master/store/storetest", false},
		{"master/store/bolt/bolt_test.go", module + "/master/engine", true},
		{"master/engine/shard.go", module + "/master/store", false},
		{"master/engine/shard.go", module + "/master/store/bolt", true},
		{"master/engine/shard.go", module + "/master/rpc", true},
		{"master/engine/shard.go", module + "/idl/gen/master", true},
		{"master/engine/shard_test.go", module + "/master/store/bolt", false},
		{"master/rpc/server.go", module + "/idl/gen/master", false},
		{"master/rpc/server.go", "github.com/apache/thrift/lib/go/thrift", false},
		{"master/rpc/server.go", module + "/master/console", true},
		{"master/console/server.go", module + "/idl/gen/master", true},
		{"master/console/server.go", "github.com/apache/thrift/lib/go/thrift", true},
		{"master/console/server_test.go", "github.com/apache/thrift/lib/go/thrift", false},
		{"master/run.go", module + "/master/rpc", false},
		{"master/run.go", module + "/executors/local", false},
		{"master/run.go", module + "/executors/kube/kubeconf", false},
		{"master/run.go", module + "/executors/kube", true},
		{"master/run_test.go", module + "/executors/kube", false},
		{"master/clic-master/main.go", module + "/executors/kube", false},
		{"executors/kube/kubeconf/kubeconf.go", "k8s.io/client-go/rest", true},
		{"master/run.go", module + "/idl/gen/master", true},
		{"master/run.go", module + "/shell/submit", true},
		{"shell/submit/submit.go", module + "/idl/gen/master", false},
		{"shell/submit/submit.go", module + "/master", false},
		{"shell/submit/submit.go", module + "/master/engine", true},
		{"elsewhere/file.go", module + "/dag", true},
	}
	for _, test := range tests {
		t.Run(test.file+" imports "+test.imported, func(t *testing.T) {
			problems := checkImports(source{
				file: test.file, dir: path.Dir(test.file), test: strings.HasSuffix(test.file, "_test.go"),
				imports: []string{test.imported},
			})
			if refused := len(problems) > 0; refused != test.refused {
				t.Errorf("refused: %v, want %v: %s", refused, test.refused, strings.Join(problems, "; "))
			}
		})
	}
}

func TestRulesOnPrograms(t *testing.T) {
	p := program{"shell/clic", []string{"k8s.io/client-go/kubernetes", module + "/executors/kube", "k8s.io/api/"}}
	got := p.check([]string{
		"errors", "k8s.io/client-go/rest", "k8s.io/client-go/kubernetes", "k8s.io/client-go/kubernetes/scheme", "k8s.io/client-go/kubernetesx",
		"k8s.io/api/core/v1", module + "/executors/kube", module + "/executors/kube/kubeconf",
	})
	want := []string{
		"shell/clic has k8s.io/client-go/kubernetes in it",
		"shell/clic has k8s.io/client-go/kubernetes/scheme in it",
		"shell/clic has k8s.io/api/core/v1 in it",
		"shell/clic has " + module + "/executors/kube in it",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems found (-want +got):\n%s", diff)
	}
}

func TestRulesOnNames(t *testing.T) {
	got := slices.Concat(
		checkNames(source{file: "dag/run.go", dir: "dag", name: "dag"}),
		checkNames(source{file: "master/util/x.go", dir: "master/util", name: "util"}),
		checkNames(source{file: "pkg/api/x.go", dir: "pkg/api", name: "api"}),
		checkNames(source{file: "dag/x_test.go", dir: "dag", name: "common_test"}),
	)
	want := []string{
		`master/util/x.go: "util" says nothing of what is inside`,
		`pkg/api/x.go: "pkg" says nothing of what is inside`,
		`dag/x_test.go: "common" says nothing of what is inside`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems found (-want +got):\n%s", diff)
	}
}
