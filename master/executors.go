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
	"github.com/clic-orchestrator/clic/executors/kube"
	"github.com/clic-orchestrator/clic/executors/local"
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
func (c Config) clusterOf(name string) (kube.Config, bool) {
	if name == executorKube {
		return c.Kube, true
	}
	cluster, ok := strings.CutPrefix(name, executorKube+"/")
	if !ok {
		return kube.Config{}, false
	}
	k, ok := c.Clusters[cluster]
	return k, ok
}

// knownExecutors are the names of all executors that there can be.
func (c Config) knownExecutors() []string {
	names := []string{executorLocal, executorKube}
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
	clusters := make(map[string]kube.Config, len(c.Clusters))
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
	if c.Advertise == "" && c.uses(executorKube) && c.unreachable() {
		c.Advertise = serviceName
	}
}

// unreachable reports whether pods cannot reach the master where it listens.
func (c Config) unreachable() bool {
	host, _, err := splitAddress(c.Listen)
	return err == nil && (host == "" || host == "0.0.0.0" || host == "::") || c.Loopback()
}

func (c Config) clusterDefaults(name string, k kube.Config) kube.Config {
	if k.ArchiveLogs && k.LogDir == "" && c.DataDir != "" {
		k.LogDir = filepath.Join(c.DataDir, "logs", filepath.FromSlash(name))
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
	return append(errs, c.validateClusters()...)
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

// makeExecutors makes the executors of a term: new ones each time, which know nothing of each other.
func (m *Master) makeExecutors() (map[string]executors.Executor, error) {
	all := map[string]executors.Executor{}
	var errs []error
	for _, name := range m.cfg.usedExecutors() {
		var (
			x   executors.Executor
			err error
		)
		if k, ok := m.cfg.clusterOf(name); ok {
			k.Logger = m.log.With("executor", name)
			again := func() (executors.Executor, error) { return kube.New(k) }
			if x, err = again(); err == nil {
				// A cluster that is away must not keep the others from being used, nor tasks from being looked at.
				x = executors.Patient(x, executors.Patience{Again: again, Logger: k.Logger})
			}
		} else {
			lc := m.cfg.Local
			lc.DataDir, lc.Logger = m.cfg.DataDir, m.log
			x, err = local.New(lc)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot make executor %q: %w", name, err))
			continue
		}
		all[name] = x
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, m.stopExecutors(all))...)
	}
	return all, nil
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
