package layers

// A tree names packages of this module by their path below it: "dag" is that one package, "dag/..." it and all below it.
type tree string

// A layer says what the packages of a tree may import. A package belongs to the layer whose tree names it most closely.
type layer struct {
	packages tree

	// project lists what these packages may import of this module, besides each other. Test files are free of this list: they
	// put real things together.
	project []tree

	// never lists what not even the test files of these packages may import: it would turn an arrow around.
	never []tree

	// modules lists the import path prefixes of other modules that these packages may import; test files are free of it too.
	// anyModule leaves them to judgement and to the licence check.
	modules []string
}

// anyModule stands for a layer that does not limit which other modules it imports.
var anyModule = []string{""}

// planModules is what reading a plan needs: Argo's types and what they are made of, YAML with positions, and the expression language that
// Argo's templates use.
var planModules = []string{
	"github.com/argoproj/argo-workflows/",
	"k8s.io/api/",
	"k8s.io/apimachinery/",
	"sigs.k8s.io/yaml",
	"gopkg.in/yaml.v3",
	"go.yaml.in/yaml/",
	"github.com/goccy/go-yaml",
	"github.com/expr-lang/expr",
	"github.com/valyala/fasttemplate",
	"github.com/Masterminds/sprig/",
	"github.com/robfig/cron/",
}

// above lists everything that stands above the core.
var above = []tree{"executors/...", "master/...", "shell/...", "idl/..."}

// layers is the house, bottom first. Imports point one way: dag <- executors, master/store <- master/engine <- master/rpc and
// master/console <- master. Adapters see the contract that they fulfil and never each other.
var layers = []layer{
	{packages: "dag/...", never: above}, // nothing but the standard library
	{packages: "dag/plan/...", project: []tree{"dag", "dag/sparkapp"}, never: above, modules: planModules},
	{
		packages: "dag/dagtest/...", project: []tree{"dag"}, never: above,
		modules: []string{"pgregory.net/rapid", "github.com/google/go-cmp/"},
	},

	// The contract and the decorators around it; each adapter is a layer of its own.
	{packages: "executors/...", project: []tree{"dag"}, never: []tree{"master/...", "shell/..."}, modules: anyModule},
	{packages: "executors/local/...", project: []tree{"dag", "executors"}, never: otherExecutors("local"), modules: anyModule},
	// How executors that work with a cluster ask it.
	{packages: "executors/kubeapi", never: []tree{"dag/...", "master/...", "shell/..."}, modules: []string{"k8s.io/"}},
	{packages: "executors/kube/...", project: []tree{"dag", "executors", "executors/kube/kubeconf", "executors/kubeapi"}, never: otherExecutors("kube"), modules: anyModule},
	// How it is configured is read by programs that do not speak to clusters.
	{packages: "executors/kube/kubeconf", modules: []string{"k8s.io/api/core/", "k8s.io/apimachinery/"}, never: otherExecutors("kube")},
	// A decorator, whose tests put a real executor under it.
	{packages: "executors/output", project: []tree{"dag", "executors"}, never: []tree{"master/...", "shell/..."}, modules: anyModule},
	{packages: "executors/spark/...", project: []tree{"dag", "dag/sparkapp", "executors", "executors/kubeapi"}, never: otherExecutors("spark"), modules: anyModule},
	// The configuration and the translation are read by programs that do not speak to clusters; pods does.
	{packages: "executors/spark", project: []tree{"dag", "dag/sparkapp", "executors"}, never: otherExecutors("spark"), modules: []string{}},

	{
		packages: "master/store/...", project: []tree{"dag/..."}, modules: anyModule,
		never: []tree{"master/engine/...", "master/rpc/...", "master/console/...", "shell/..."},
	},
	{packages: "master/store/bolt/...", project: storeAdapterMay, never: otherStores("redis"), modules: anyModule},
	{packages: "master/store/redis/...", project: storeAdapterMay, never: otherStores("bolt"), modules: anyModule},

	// The engine knows contracts, no adapter: those are chosen at the top.
	{
		packages: "master/engine/...", project: []tree{"dag", "dag/plan/...", "executors", "master/store"}, modules: anyModule,
		never: []tree{"master/rpc/...", "master/console/...", "shell/..."},
	},
	// Who leads: the contract of the store, nothing of what a leader does.
	{
		packages: "master/lead/...", project: []tree{"dag", "master/store"}, modules: []string{},
		never: []tree{"master/engine/...", "master/rpc/...", "master/console/...", "shell/..."},
	},
	{packages: "master/results/...", project: []tree{"dag", "master/dfs"}, never: []tree{"shell/..."}, modules: anyModule},
	// File systems: a contract, an adapter each, and how Hadoop's own files configure them.
	{packages: "master/dfs/...", project: []tree{"master/dfs", "master/dfs/hadoop"}, never: []tree{"master/engine/...", "master/rpc/...", "shell/..."}, modules: anyModule},
	{packages: "master/logstore", project: []tree{"master/dfs"}, never: []tree{"master/engine/...", "master/rpc/...", "shell/..."}, modules: []string{}},
	{packages: "master/uploads", project: []tree{"master/dfs"}, never: []tree{"master/engine/...", "master/rpc/...", "shell/..."}, modules: anyModule},
	// Moves what stores keep; it knows the contract, and in its tests the adapters.
	{
		packages: "master/archive/...", project: []tree{"dag", "master/store"}, modules: anyModule,
		never: []tree{"master/rpc/...", "master/console/...", "shell/..."},
	},

	// The front ends. Only rpc speaks Thrift.
	{packages: "master/rpc/...", project: append(frontEndMay, "idl/gen/..."), modules: anyModule},
	{packages: "master/console/...", project: frontEndMay, modules: anyModule},

	// The composition root, and what drives whole masters. In tests they use the shell as a person would. The shell has private masters in
	// it, so what not every master needs comes in through master.Makers from the program.
	{
		packages: "master/...", modules: anyModule,
		project: []tree{"dag/...", "executors", "executors/local/...", "executors/kube/kubeconf", "executors/output", "executors/spark", "master/..."},
	},
	{packages: "master/clic-master", project: []tree{"dag/...", "executors/...", "master/...", "idl/gen/..."}, modules: anyModule},

	// The shell talks to a master over the wire, or starts a private one through its composition root. It also checks plans on
	// its own, and being the program that a private master runs in, it hosts the local executor's shim.
	{
		packages: "shell/...",
		project:  []tree{"dag/...", "executors", "executors/local/...", "master", "master/results/...", "idl/gen/..."}, modules: anyModule,
	},

	// The helper inside the containers of stages is copied into every pod, so it is kept small: of the shell it has the client
	// alone, and nothing that reads plans or speaks to clusters.
	{
		packages: "shell/stage", project: []tree{"executors", "idl/gen/...", "shell/client", "shell/exit"},
		modules: []string{thrift, "golang.org/x/sys/"},
	},
	{packages: "shell/clic-stage", project: []tree{"shell/stage"}, modules: []string{}},

	{packages: "idl/...", modules: []string{thrift}},

	// What people run on the project from outside sees all of it.
	{packages: "scripts/...", project: []tree{"..."}, modules: anyModule},
	{packages: "deploy/...", project: []tree{"..."}, modules: anyModule},
}

// A program lists what must not be in it, however many imports away it is.
type program struct {
	packages string
	// without are import path prefixes.
	without []string
}

// programs are those that would be far larger, or could do what they are not meant to.
var programs = []program{
	// Reading plans takes Argo's types, and those take the client's configuration, but nothing that has a cluster's API in it.
	{"shell/clic", []string{"k8s.io/client-go/kubernetes", "k8s.io/client-go/informers", "k8s.io/client-go/tools/cache", module + "/executors/kube"}},
	// A set of clients for all kinds of objects would be a third of the master's memory.
	{"master/clic-master", []string{"k8s.io/client-go/kubernetes", "k8s.io/client-go/informers"}},
	{"shell/clic-stage", []string{"k8s.io/", module + "/dag/plan", module + "/master"}},
}

// thrift is the import path prefix of Thrift's own library, and thriftUsers the only packages that may import it or the
// generated code: everywhere else a Thrift type would make the wire part of the design. Tests may, as old clients do.
const thrift = "github.com/apache/thrift/"

var thriftUsers = []tree{"idl/...", "master/rpc/...", "master/clic-master", "shell/...", "scripts/..."}

var (
	storeAdapterMay = []tree{"dag", "master/store"}
	frontEndMay     = []tree{"dag/...", "executors", "master/store", "master/engine/...", "master/results/...", "master/dfs", "master/uploads"}
)

// otherExecutors lists what the tests of an executor must leave alone: the other executors and everything above.
func otherExecutors(own string) []tree {
	never := []tree{"master/...", "shell/..."}
	for _, name := range []string{"local", "kube", "spark"} {
		if name != own {
			never = append(never, tree("executors/"+name+"/..."))
		}
	}
	return never
}

// otherStores lists what the tests of a store must leave alone.
func otherStores(other string) []tree {
	return []tree{tree("master/store/" + other + "/..."), "master/engine/...", "master/rpc/...", "master/console/...", "shell/..."}
}

// topLevel lists every entry that the top of the repository may have, besides dot-files. A new one is a decision about the
// house, not about a file.
var topLevel = []string{
	"dag", "executors", "master", "shell", "idl", "deploy", "scripts",
	"Makefile", "go.mod", "go.sum",
	"README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE",
}

// vagueNames are names of folders and packages that say nothing of what is in them, so that everything ends up there.
var vagueNames = []string{"util", "utils", "common", "models", "pkg", "misc", "helpers"}
