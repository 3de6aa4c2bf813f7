package sparkapp

import (
	"path"
	"strings"
)

// App is a Spark application. The zero value of a field leaves it to Spark's own default, or to the master's configuration.
type App struct {
	// Name is what people see in Spark's own pages; "" is the stage's.
	Name string
	// MainClass is the class whose main is run. A Python or R application has none.
	MainClass string
	// File is the jar, Python or R file that is run: a path or URI as Spark takes it (local:// is a file of the image).
	File string
	// Arguments are those of the program.
	Arguments []string
	// Conf is Spark's configuration, keys with their prefix "spark.".
	Conf map[string]string
	// Jars, PyFiles, Files and Archives are paths or URIs; Packages are Maven coordinates (group:artifact:version), which are looked
	// for in Repositories too, and without ExcludePackages (group:artifact).
	Jars, PyFiles, Files, Archives          []string
	Packages, ExcludePackages, Repositories []string
	Driver                                  Driver
	Executor                                Executor
	// Dynamic lets the number of executors follow the work; nil leaves it fixed.
	Dynamic *Dynamic
	// Image is that of the driver and the executors, PullPolicy when it is pulled (Always, IfNotPresent or Never).
	Image, PullPolicy string
	// ServiceAccount is the Kubernetes account of the driver.
	ServiceAccount string
	// SparkVersion is the version that the application is made for. It is compared with that of the place where it runs.
	SparkVersion string
}

// Resources are what one driver or executor gets.
type Resources struct {
	// Cores is the number of tasks at a time of an executor, and the cores that a driver asks for. 0 is Spark's default.
	Cores int
	// Memory is the size of the heap, Overhead what the process may use beside it. 0 is Spark's default for either.
	Memory, Overhead MiB
	// CoreRequest and CoreLimit are Kubernetes quantities ("500m"), where they are to differ from Cores.
	CoreRequest, CoreLimit string
}

// Driver is the process that runs the program.
type Driver struct{ Resources }

// Executor is the processes that do the work.
type Executor struct {
	Resources
	// Instances is how many; 0 is Spark's default, which is 2 on Kubernetes.
	Instances int
}

// Dynamic bounds the number of executors; 0 is Spark's default.
type Dynamic struct{ Initial, Min, Max int }

// Python reports whether the application is a Python program.
func (a *App) Python() bool { return hasSuffix(a.File, ".py") }

// R reports whether the application is an R program.
func (a *App) R() bool { return hasSuffix(a.File, ".r") }

func hasSuffix(file, suffix string) bool { return strings.EqualFold(path.Ext(file), suffix) }

// Step is one step from a value into it: the key of a map, or the index of a list where Key is "".
type Step struct {
	Key   string
	Index int
}

// Problem is something that is wrong with an application, at a place of its description.
type Problem struct {
	// Path leads from the description to the value that is wrong; empty is the description itself.
	Path []Step
	// Rule names the kind of the problem: "unknown-field", "type", "range", "missing", "conf", "enum" or "twice".
	Rule string
	// Message says what is wrong, in a sentence without capitals; Hint what to do about it, or "".
	Message, Hint string
	// Name and Known go with "unknown-field" and "enum": what was written, and what could have been.
	Name  string
	Known []string
}

// Where is the place as people write it: driver.memory, arguments[2], conf["spark.x"].
func (p *Problem) Where() string {
	var b strings.Builder
	for _, s := range p.Path {
		switch {
		case s.Key == "":
			b.WriteString("[" + itoa(s.Index) + "]")
		case strings.Contains(s.Key, "."):
			b.WriteString(`["` + s.Key + `"]`)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.Key)
		}
	}
	return b.String()
}

// Error is the problem in one line.
func (p *Problem) Error() string {
	text := p.Message
	if w := p.Where(); w != "" {
		text = w + ": " + text
	}
	if p.Hint != "" {
		text += " (" + p.Hint + ")"
	}
	return text
}
