package master

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/executors/output"
	"github.com/clic-orchestrator/clic/executors/spark"
)

// The names of executors. That of a named cluster is executorKube, a slash, and the name.
const (
	// executorLocal runs processes of this machine.
	executorLocal = "local"
	// executorKube runs Jobs of a Kubernetes cluster.
	executorKube = "kube"
)

// DefaultExecutorLabel is the label by which a plan chooses its executor, unless the configuration names another.
const DefaultExecutorLabel = "clic.io/executor"

// serviceName is what stages in a cluster are told to call back where the configuration says nothing.
const serviceName = "clic-master-svc"

// route says which executor runs a platform's stages.
func (c Config) route(platform string) string {
	if name, ok := c.Executors[platform]; ok {
		return name
	}
	return c.Executors[AnyPlatform]
}

// usedExecutors are the names of the executors that may run stages, in order.
func (c Config) usedExecutors() []string {
	names := append(slices.Collect(maps.Values(c.Executors)), c.PlanExecutors...)
	slices.Sort(names)
	return slices.Compact(names)
}

// uses reports whether stages may run on that kind of executor: executorLocal or executorKube.
func (c Config) uses(kind string) bool {
	return slices.ContainsFunc(c.usedExecutors(), func(name string) bool { return kindOfExecutor(name) == kind })
}

func kindOfExecutor(name string) string {
	kind, _, _ := strings.Cut(name, "/")
	return kind
}

// clusterOf gives the configuration of a Kubernetes executor by its name.
func (c Config) clusterOf(name string) (kubeconf.Config, bool) {
	if name == executorKube {
		return c.Kube, true
	}
	cluster, ok := strings.CutPrefix(name, executorKube+"/")
	if !ok {
		return kubeconf.Config{}, false
	}
	k, ok := c.Clusters[cluster]
	return k, ok
}

// knownExecutors are the names of all executors that there can be.
func (c Config) knownExecutors() []string {
	names := []string{executorLocal, executorKube, executorSpark}
	for _, cluster := range slices.Sorted(maps.Keys(c.Clusters)) {
		names = append(names, executorKube+"/"+cluster)
	}
	return names
}

// executorDefaults fills in what the executors need.
func (c *Config) executorDefaults() {
	if _, ok := c.Executors[AnyPlatform]; !ok {
		all := map[string]string{AnyPlatform: executorLocal}
		maps.Copy(all, c.Executors)
		c.Executors = all
	}
	if c.ExecutorLabel == "" {
		c.ExecutorLabel = DefaultExecutorLabel
	}
	if c.PlanExecutors == nil {
		c.PlanExecutors = c.openExecutors()
	}
	if _, said := c.Slots.Executor[executorLocal]; !said && c.Slots.Global == 0 && c.uses(executorLocal) {
		slots := map[string]int{executorLocal: max(4, 2*runtime.NumCPU())}
		maps.Copy(slots, c.Slots.Executor)
		c.Slots.Executor = slots
	}
	c.Kube = c.clusterDefaults(executorKube, c.Kube)
	clusters := make(map[string]kubeconf.Config, len(c.Clusters))
	for name, k := range c.Clusters {
		if k.Instance == "" {
			// Two names may well lead to the same cluster, and there each has to know its Jobs from the other's.
			k.Instance = c.Kube.Instance + "-" + name
		}
		clusters[name] = c.clusterDefaults(executorKube+"/"+name, k)
	}
	if len(clusters) > 0 {
		c.Clusters = clusters
	}
	c.sparkDefaults()
	if c.Advertise == "" && c.inPods() && c.unreachable() {
		c.Advertise = serviceName
	}
}

// inPods reports whether stages may run in pods.
func (c Config) inPods() bool {
	return slices.ContainsFunc(c.usedExecutors(), c.onCluster)
}

// onCluster reports whether the stages of an executor run in pods.
func (c Config) onCluster(name string) bool {
	_, ok := c.podsOf(name)
	return ok
}

// podsOf gives the configuration of the pods that an executor makes; false if it makes none.
func (c Config) podsOf(name string) (kubeconf.Config, bool) {
	if name == executorSpark {
		return c.sparkCluster()
	}
	return c.clusterOf(name)
}

// unreachable reports whether pods cannot reach the master where it listens.
func (c Config) unreachable() bool {
	host, _, err := splitAddress(c.Listen)
	return err == nil && (host == "" || host == "0.0.0.0" || host == "::") || c.Loopback()
}

func (c Config) clusterDefaults(name string, k kubeconf.Config) kubeconf.Config {
	if k.ArchiveLogs && k.LogDir == "" && c.DataDir != "" {
		k.LogDir = filepath.Join(c.DataDir, "logs", filepath.FromSlash(name))
	}
	if !isURI(k.LogDir) && k.LogDir != "" {
		k.LogDir = localPath(k.LogDir) // which may be a file: URI
	}
	return k.WithDefaults()
}

// openExecutors are those that plans may choose where the configuration does not say: whatever it names, but for processes of this
// machine where others are meant to run stages. An empty list would mean that nobody said anything.
func (c Config) openExecutors() []string {
	names := slices.Collect(maps.Values(c.Executors))
	for cluster := range c.Clusters {
		names = append(names, executorKube+"/"+cluster)
	}
	slices.Sort(names)
	known := c.knownExecutors()
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return !slices.Contains(known, name) })
	if len(names) > 1 {
		names = slices.DeleteFunc(names, func(name string) bool { return name == executorLocal })
	}
	return names
}

// validateExecutors says what is wrong with the choice of executors, and with those that are used.
func (c Config) validateExecutors() (errs []error) {
	known := c.knownExecutors()
	check := func(key, what, name string) {
		if slices.Contains(known, name) {
			return
		}
		hint := "there is " + strings.Join(known, ", ")
		if cluster, ok := strings.CutPrefix(name, executorKube+"/"); ok {
			hint = fmt.Sprintf("add kube.clusters.%s", cluster)
		}
		errs = append(errs, c.wrong(key, hint, "%s executor %q, which is not known", what, name))
	}
	for _, platform := range slices.Sorted(maps.Keys(c.Executors)) {
		check("executors."+platform, fmt.Sprintf("platform %q is to be run by", platform), c.Executors[platform])
	}
	for _, name := range c.PlanExecutors {
		check("plan-executors", "plans may choose the", name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Slots.Executor)) {
		if !slices.Contains(c.usedExecutors(), name) {
			errs = append(errs, c.wrong("slots.executor."+name, "there is "+strings.Join(c.usedExecutors(), ", "), "no stage runs on executor %q", name))
		}
	}
	return append(append(errs, c.validateClusters()...), c.validateSpark()...)
}

func (c Config) validateClusters() (errs []error) {
	type place struct{ kubeconfig, context, instance string }
	taken := map[place]string{}
	for _, name := range c.usedExecutors() {
		k, ok := c.clusterOf(name)
		if !ok {
			continue
		}
		key := executorKube
		if cluster, named := strings.CutPrefix(name, executorKube+"/"); named {
			key += ".clusters." + cluster
		}
		if err := k.Validate(); err != nil {
			errs = append(errs, c.wrong(key, "", "%w", err))
		}
		at := place{k.Kubeconfig, k.Context, k.Instance}
		if other, twice := taken[at]; twice {
			errs = append(errs, c.wrong(key, "give one of them another instance", "executors %q and %q would take each other's Jobs for their own", other, name))
		}
		taken[at] = name
	}
	return errs
}

// Makers are how executors are made that not every program carries: whoever runs whole masters gives them to Config, and where they are
// missing no stage runs there.
type Makers struct {
	// Kube makes an executor of a Kubernetes cluster, which it must not reach for yet.
	Kube func(kubeconf.Config) (executors.Executor, error)
	// Pods gives access to the pods of Spark applications in a cluster, by a kubeconfig and its context.
	Pods func(kubeconfig, context string) (spark.Pods, error)
}

// ErrNotBuiltIn: the configuration asks for an executor that this program does not have.
var ErrNotBuiltIn = errors.New("not a part of this program")

// missing says which executors are to be used that cannot be made.
func (m Makers) missing(names []string, onCluster func(name string) bool) error {
	var errs []error
	for _, name := range names {
		if onCluster(name) && (m.Kube == nil || m.Pods == nil && name == executorSpark) {
			errs = append(errs, fmt.Errorf("executor %q is %w; run the plan on a clic-master", name, ErrNotBuiltIn))
		}
	}
	return errors.Join(errs...)
}

// makeExecutors makes the executors of a term: new ones each time, which know nothing of each other.
func (m *Master) makeExecutors() (map[string]executors.Executor, error) {
	all := map[string]executors.Executor{}
	var errs []error
	store := &outputs{files: m.files, dirs: m.cfg.ResultDirs, reader: m.reader, readFile: m.readOperators()}
	for _, name := range m.cfg.usedExecutors() {
		x, err := m.makeExecutor(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot make executor %q: %w", name, err))
			continue
		}
		all[name] = output.Checked(x, output.Config{Store: store, Logger: m.log.With("executor", name)})
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, m.stopExecutors(all))...)
	}
	return all, nil
}

func (m *Master) makeExecutor(name string) (executors.Executor, error) {
	if name == executorSpark {
		return m.makeSpark()
	}
	k, ok := m.cfg.clusterOf(name)
	if !ok {
		lc := m.cfg.Local
		lc.DataDir, lc.Logger = m.cfg.DataDir, m.log
		return local.New(lc)
	}
	k.Logger, k.Archive = m.log.With("executor", name), m.archiveOf(name)
	again := func() (executors.Executor, error) { return m.cfg.Makers.Kube(k) }
	x, err := again()
	if err != nil {
		return nil, err
	}
	// A cluster that is away must not keep the others from being used, nor tasks from being looked at.
	return executors.Patient(x, executors.Patience{Again: again, Logger: k.Logger}), nil
}

// stopExecutors stops executors that were never started.
func (m *Master) stopExecutors(all map[string]executors.Executor) error {
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.StopTimeout)
	defer cancel()
	var errs []error
	for _, x := range all {
		errs = append(errs, x.Stop(ctx))
	}
	return errors.Join(errs...)
}
