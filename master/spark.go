package master

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/executors/spark"
	"github.com/clic-orchestrator/clic/master/engine"
)

// executorSpark runs Spark applications, over an executor of its own of another kind.
const executorSpark = "spark"

// SparkConfig is how Spark applications run. Nothing runs them where it has no Mode.
type SparkConfig struct {
	spark.Config
	// Cluster is the executor, "kube" or "kube/NAME", in whose cluster the drivers' pods are made [spark.cluster]. Default "kube".
	Cluster string
}

// sparkDefaults fills in what the executor of Spark needs, and has it run what asks for Spark.
func (c *Config) sparkDefaults() {
	if c.Spark.Mode == "" {
		return
	}
	if c.Spark.Cluster == "" {
		c.Spark.Cluster = executorKube
	}
	if _, said := c.Executors[plan.PluginSpark]; !said {
		c.Executors[plan.PluginSpark] = executorSpark
	}
	s := &c.Spark.Config
	if k, ok := c.sparkCluster(); ok {
		s.Namespace, s.Namespaces, s.Instance = k.Namespace, k.Namespaces, k.Instance
	}
	if s.StateDir == "" && s.Mode == spark.StandaloneCluster && c.DataDir != "" {
		s.StateDir = filepath.Join(c.DataDir, "spark", "submissions")
	}
	*s = s.WithDefaults()
}

// sparkCluster is the configuration of the executor that drivers' pods are made by: that of a Kubernetes executor, which knows its Jobs
// from the other's by another instance.
func (c Config) sparkCluster() (kubeconf.Config, bool) {
	if !c.Spark.InPods() {
		return kubeconf.Config{}, false
	}
	k, ok := c.clusterOf(c.Spark.Cluster)
	k.Instance += "-spark"
	if k.LogDir != "" {
		k.LogDir = joinDir(k.LogDir, "spark")
	}
	return k, ok
}

// validateSpark says what is wrong with the executor of Spark.
func (c Config) validateSpark() []error {
	if c.Spark.Mode == "" {
		if c.uses(executorSpark) {
			return []error{c.wrong("spark", fmt.Sprintf("set spark.mode to one of %v", spark.Modes()), "stages are to run on Spark, and how is not said")}
		}
		return nil
	}
	if kindOfExecutor(c.Spark.Cluster) != executorKube {
		return []error{c.wrong("spark.cluster", "it is kube or kube/NAME", "%q is no Kubernetes executor", c.Spark.Cluster)}
	}
	if _, ok := c.clusterOf(c.Spark.Cluster); !ok {
		return []error{c.wrong("spark.cluster", "add it to kube.clusters", "the executor %q is not known", c.Spark.Cluster)}
	}
	if err := c.Spark.Validate(); err != nil {
		return []error{c.wrong("spark", "", "%w", err)}
	}
	return nil
}

// makeSpark makes the executor of Spark and the one under it.
func (m *Master) makeSpark() (executors.Executor, error) {
	s := m.cfg.Spark.Config
	s.Logger = m.log.With("executor", executorSpark)
	k, inPods := m.cfg.sparkCluster()
	k.Logger, k.Archive = s.Logger, m.archiveOf(executorSpark)
	again := func() (executors.Executor, error) {
		if inPods {
			return m.sparkInPods(s, k)
		}
		if s.Mode == spark.StandaloneCluster {
			return spark.New(s, nil, nil)
		}
		lc := m.cfg.Local
		lc.DataDir, lc.Logger = filepath.Join(m.cfg.DataDir, "spark"), s.Logger
		base, err := local.New(lc)
		if err != nil {
			return nil, err
		}
		return spark.New(s, base, nil)
	}
	x, err := again()
	if err != nil || !inPods && s.Mode != spark.StandaloneCluster {
		return x, err
	}
	return executors.Patient(x, executors.Patience{Again: again, Logger: s.Logger}), nil
}

func (m *Master) sparkInPods(s spark.Config, k kubeconf.Config) (executors.Executor, error) {
	pods, err := m.cfg.Makers.Pods(k.Kubeconfig, k.Context)
	if err != nil {
		return nil, err
	}
	base, err := m.cfg.Makers.Kube(k)
	if err != nil {
		return nil, err
	}
	if s.Mode == spark.Cluster && k.ArchiveLogs {
		if s.Archive, err = k.Logs(); err != nil {
			return nil, err
		}
	}
	return spark.New(s, base, pods)
}

// plugins refuses stages that are made of a plugin which nothing here runs.
func (a *admission) plugins(route func(platform string) string) {
	for platform, plugin := range a.Document.Plugins() {
		if name := route(platform); kindOfExecutor(name) != plugin {
			hint := "configure spark.mode for the master, and leave the platform to it"
			if a.options[engine.OptionExecutor] != "" {
				hint = "do not choose another executor for the whole plan"
			}
			a.say(plan.SeverityError, "no-executor", fmt.Sprintf("stages of platform %q ask for %s, which executor %q does not run", platform, plugin, name), hint)
		}
	}
}

// sparkSettings are those of the executor of Spark.
func sparkSettings() map[string]setting {
	str := func(f func(*SparkConfig) *string) setting {
		return setting{set: with(func(c *Config) *string { return f(&c.Spark) }, text)}
	}
	span := func(f func(*SparkConfig) *time.Duration) setting {
		return setting{set: with(func(c *Config) *time.Duration { return f(&c.Spark) }, duration)}
	}
	words := func(f func(*SparkConfig) *map[string]string) setting {
		return setting{set: with(func(c *Config) *map[string]string { return f(&c.Spark) }, entries(text))}
	}
	return map[string]setting{
		"mode": {set: func(l *loader, v value) error {
			var mode string
			if err := text(&mode)(l, v); err != nil {
				return err
			}
			if !slices.Contains(spark.Modes(), spark.Mode(mode)) {
				return fmt.Errorf("can be %s, not %.40q", strings.Trim(fmt.Sprint(spark.Modes()), "[]"), mode)
			}
			l.config.Spark.Mode = spark.Mode(mode)
			return nil
		}},
		"cluster":         str(func(s *SparkConfig) *string { return &s.Cluster }),
		"master":          str(func(s *SparkConfig) *string { return &s.Master }),
		"pods":            {set: with(func(c *Config) *bool { return &c.Spark.Pods }, flag)},
		"home":            str(func(s *SparkConfig) *string { return &s.Home }),
		"submit":          str(func(s *SparkConfig) *string { return &s.Submit }),
		"entrypoint":      str(func(s *SparkConfig) *string { return &s.Entrypoint }),
		"image":           str(func(s *SparkConfig) *string { return &s.Image }),
		"pull-policy":     str(func(s *SparkConfig) *string { return &s.PullPolicy }),
		"service-account": str(func(s *SparkConfig) *string { return &s.ServiceAccount }),
		"conf":            words(func(s *SparkConfig) *map[string]string { return &s.Conf }),
		"env":             words(func(s *SparkConfig) *map[string]string { return &s.Env }),
		"event-log-dir":   str(func(s *SparkConfig) *string { return &s.EventLogDir }),
		"version":         str(func(s *SparkConfig) *string { return &s.SparkVersion }),
		"ui":              str(func(s *SparkConfig) *string { return &s.UI }),
		"rest-url":        str(func(s *SparkConfig) *string { return &s.RESTURL }),
		"master-ui":       str(func(s *SparkConfig) *string { return &s.MasterUI }),
		"poll":            span(func(s *SparkConfig) *time.Duration { return &s.Poll }),
		"grace":           span(func(s *SparkConfig) *time.Duration { return &s.Grace }),
		"start-timeout":   span(func(s *SparkConfig) *time.Duration { return &s.StartTimeout }),
	}
}
