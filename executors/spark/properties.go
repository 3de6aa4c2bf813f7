package spark

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/clic-orchestrator/clic/dag/sparkapp"
	"github.com/clic-orchestrator/clic/executors"
)

// properties are Spark's configuration of one application. Later layers win: the configuration's, the application's conf, its fields,
// and what follows from how it runs.
type properties map[string]string

func (p properties) set(key, value string) {
	if value != "" {
		p[key] = value
	}
}

func (p properties) number(key string, n int) {
	if n > 0 {
		p[key] = strconv.Itoa(n)
	}
}

func (p properties) size(key string, m sparkapp.MiB) {
	if m > 0 {
		p[key] = m.String()
	}
}

// list sets a key to a list, behind what the key's value is already.
func (p properties) list(key string, items []string) {
	if len(items) == 0 {
		return
	}
	if old := p[key]; old != "" {
		items = append([]string{old}, items...)
	}
	p[key] = strings.Join(items, ",")
}

// properties are those of an application that hold in every mode.
func (c *Config) properties(a executors.Attempt, app *sparkapp.App) properties {
	p := properties{}
	maps.Copy(p, c.Conf)
	if c.EventLogDir != "" {
		p["spark.eventLog.enabled"], p["spark.eventLog.dir"] = "true", c.EventLogDir
	}
	maps.Copy(p, app.Conf)
	p["spark.app.name"] = a.ID
	p.set("spark.app.name", app.Name)
	p.number("spark.driver.cores", app.Driver.Cores)
	p.size("spark.driver.memory", app.Driver.Memory)
	p.size("spark.driver.memoryOverhead", app.Driver.Overhead)
	p.number("spark.executor.cores", app.Executor.Cores)
	p.size("spark.executor.memory", app.Executor.Memory)
	p.size("spark.executor.memoryOverhead", app.Executor.Overhead)
	p.number("spark.executor.instances", app.Executor.Instances)
	p.list("spark.jars", app.Jars)
	p.list("spark.submit.pyFiles", app.PyFiles)
	p.list("spark.files", app.Files)
	p.list("spark.archives", app.Archives)
	p.list("spark.jars.packages", app.Packages)
	p.list("spark.jars.excludes", app.ExcludePackages)
	p.list("spark.jars.repositories", app.Repositories)
	if d := app.Dynamic; d != nil {
		p["spark.dynamicAllocation.enabled"] = "true"
		p.number("spark.dynamicAllocation.initialExecutors", d.Initial)
		p.number("spark.dynamicAllocation.minExecutors", d.Min)
		p.number("spark.dynamicAllocation.maxExecutors", d.Max)
		if c.kubernetes() && p["spark.dynamicAllocation.shuffleTracking.enabled"] == "" {
			// There is no shuffle service that would keep what executors leave behind.
			p["spark.dynamicAllocation.shuffleTracking.enabled"] = "true"
		}
	}
	p[sparkapp.OwnPrefix+"attempt"], p[sparkapp.OwnPrefix+"task"], p[sparkapp.OwnPrefix+"stage"] = a.ID, a.Task, a.Stage
	return p
}

// kubernetes reports whether executors are pods.
func (c *Config) kubernetes() bool { return c.Mode == Native || c.Mode == Client || c.Mode == Cluster }

// onKubernetes adds what applications on Kubernetes have.
func (c *Config) onKubernetes(p properties, a executors.Attempt, app *sparkapp.App) {
	image := first(app.Image, p["spark.kubernetes.container.image"], c.Image)
	p.set("spark.kubernetes.container.image", image)
	p.set("spark.kubernetes.container.image.pullPolicy", first(app.PullPolicy, p["spark.kubernetes.container.image.pullPolicy"], c.PullPolicy))
	p.set("spark.kubernetes.driver.request.cores", app.Driver.CoreRequest)
	p.set("spark.kubernetes.driver.limit.cores", app.Driver.CoreLimit)
	p.set("spark.kubernetes.executor.request.cores", app.Executor.CoreRequest)
	p.set("spark.kubernetes.executor.limit.cores", app.Executor.CoreLimit)
	p["spark.app.id"] = appID(a.ID)
	p["spark.kubernetes.namespace"] = "$(POD_NAMESPACE)"
	p["spark.kubernetes.executor.podNamePrefix"] = podPrefix(a.ID)
	if p["spark.kubernetes.memoryOverheadFactor"] == "" && (app.Python() || app.R()) && c.Mode != Cluster {
		// As spark-submit does in cluster mode: such programs work outside of the heap.
		p["spark.kubernetes.memoryOverheadFactor"] = strconv.FormatFloat(sparkapp.OverheadFactorNonJVM, 'g', -1, 64)
	}
}

// driverMemory is what the driver's container needs in all.
func driverMemory(p properties, app *sparkapp.App) sparkapp.MiB {
	size := func(key string, otherwise sparkapp.MiB) sparkapp.MiB {
		if m, err := sparkapp.ParseMiB(p[key]); err == nil {
			return m
		}
		return otherwise
	}
	factor := sparkapp.OverheadFactor
	if app.Python() || app.R() {
		factor = sparkapp.OverheadFactorNonJVM
	}
	for _, key := range []string{"spark.kubernetes.memoryOverheadFactor", "spark.driver.memoryOverheadFactor"} {
		if f, err := strconv.ParseFloat(p[key], 64); err == nil && f > 0 {
			factor = f
		}
	}
	return sparkapp.WithOverhead(size("spark.driver.memory", 1024), size("spark.driver.memoryOverhead", 0), factor,
		size("spark.driver.minMemoryOverhead", sparkapp.MinOverhead))
}

// arguments are the options of spark-submit and what follows them. What comes from a plan is written with quote, which keeps the base
// from replacing anything in it.
func (p properties) arguments(app *sparkapp.App, quote func(string) string) []string {
	var args []string
	// spark-submit gives the JVM of a driver its size before it reads the configuration.
	for _, key := range slices.Sorted(maps.Keys(p)) {
		args = append(args, "--conf", key+"="+quoted(key, p[key], quote))
	}
	if app.MainClass != "" {
		args = append(args, "--class", quote(app.MainClass))
	}
	args = append(args, quote(app.File))
	for _, a := range app.Arguments {
		args = append(args, quote(a))
	}
	return args
}

// quoted is a value of the configuration; those that the pod's own environment completes are of ours.
func quoted(key, value string, quote func(string) string) string {
	switch key {
	case "spark.kubernetes.namespace", "spark.kubernetes.driver.pod.name", "spark.driver.host", "spark.driver.bindAddress":
		return value
	}
	return quote(value)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
