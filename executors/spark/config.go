package spark

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Mode is the way in which applications run.
type Mode string

// The modes; the package's comment says what each is.
const (
	Native            Mode = "native"
	Client            Mode = "client"
	Cluster           Mode = "cluster"
	Standalone        Mode = "standalone"
	StandaloneCluster Mode = "standalone-cluster"
	Local             Mode = "local"
)

// Modes are all of them.
func Modes() []Mode { return []Mode{Native, Client, Cluster, Standalone, StandaloneCluster, Local} }

// Config is how applications run, and what they have that do not say otherwise. Zero fields stand for the defaults that WithDefaults
// fills in.
type Config struct {
	// Mode is the way. Required.
	Mode Mode
	// Master is Spark's master URL. Defaults: k8s://https://kubernetes.default.svc:443 for native, client and cluster, local[*] for
	// local. Required for standalone.
	Master string
	// Pods says that the base makes pods, which follows from the mode but for standalone.
	Pods bool
	// Home is where Spark is, in the image or on this machine. Default for pods: /opt/spark. Submit is the path of spark-submit;
	// default Home/bin/spark-submit, or spark-submit on the PATH.
	Home, Submit string
	// Entrypoint is the program of the image that takes the word "driver" (native). Default /opt/entrypoint.sh; "-" leaves it to the
	// image, whose results and outputs then cannot be taken.
	Entrypoint string
	// Image and PullPolicy are those of pods whose application names none.
	Image, PullPolicy string
	// ServiceAccount is the account of drivers in pods whose application and plan name none: it makes the executors' pods.
	ServiceAccount string
	// Namespace is where the base makes pods by default; it matters to cluster mode and to progress only. Default "argo".
	Namespace string
	// Namespaces lists the others that the base lets tasks choose; "*" is all. As in the base's configuration.
	Namespaces []string
	// Instance tells the drivers of this installation from those of others (cluster). Default "clic".
	Instance string
	// Conf is Spark's configuration of every application, under what the application says itself.
	Conf map[string]string
	// Env is in the environment of what the base runs, under what a plan says.
	Env map[string]string
	// EventLogDir is where applications leave their event logs ("hdfs://…/spark-events"); "" is nowhere.
	EventLogDir string
	// SparkVersion is the version there ("4.3.0"): an application that is made for another series (major.minor) is refused. "" is
	// not known.
	SparkVersion string
	// UI is how people reach a driver's pages: a URL in which {namespace}, {pod}, {app} and {attempt} are replaced. "" names the pod.
	UI string
	// RESTURL and MasterUI are the standalone master's REST server and page (http://host:6066, http://host:8080), StateDir the
	// directory in which submissions are recorded (standalone-cluster).
	RESTURL, MasterUI, StateDir string
	// Poll is the period in which drivers are asked for their progress, and a standalone master for the state of its drivers.
	// Default 5 s; negative: progress is not asked for.
	Poll time.Duration
	// Grace is between TERM and KILL of a driver that cluster mode made. Default 30 s.
	Grace time.Duration
	// StartTimeout ends an attempt whose driver pod can never start (cluster). Default 5 min.
	StartTimeout time.Duration
	// Archive is where the logs of drivers are kept for when their pods are gone (cluster; otherwise the base sees to that). nil is nowhere.
	Archive Archive
	// Logger takes what has no other place to go. Default: nothing is logged.
	Logger *slog.Logger
}

// kubernetesMaster is the master URL inside a cluster.
const kubernetesMaster = "k8s://https://kubernetes.default.svc:443"

// namespaces are those in which there can be drivers; "" is all.
func (c *Config) namespaces() []string {
	if slices.Contains(c.Namespaces, "*") {
		return []string{""}
	}
	all := append([]string{c.Namespace}, c.Namespaces...)
	slices.Sort(all)
	return slices.Compact(all)
}

// InPods reports whether the base makes pods.
func (c *Config) InPods() bool {
	return c.Mode == Native || c.Mode == Client || c.Mode == Cluster || c.Mode == Standalone && c.Pods
}

// WithDefaults gives a copy with every zero field filled in.
func (c Config) WithDefaults() Config {
	c.Pods = c.InPods()
	def := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	switch c.Mode {
	case Native, Client, Cluster:
		def(&c.Master, kubernetesMaster)
	case Local:
		def(&c.Master, "local[*]")
	case Standalone, StandaloneCluster:
	}
	if c.Pods {
		def(&c.Home, "/opt/spark")
	}
	if c.Home != "" {
		def(&c.Submit, c.Home+"/bin/spark-submit")
	}
	def(&c.Submit, "spark-submit")
	def(&c.Entrypoint, "/opt/entrypoint.sh")
	def(&c.Namespace, "argo")
	def(&c.Instance, "clic")
	if c.Poll == 0 {
		c.Poll = 5 * time.Second
	}
	if c.Grace == 0 {
		c.Grace = 30 * time.Second
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 5 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate says everything that is wrong with a configuration that has its defaults.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains(Modes(), c.Mode) {
		bad("there is no mode %q; it can be %v", c.Mode, Modes())
	}
	prefix := map[Mode]string{Native: "k8s://", Client: "k8s://", Cluster: "k8s://", Standalone: "spark://"}[c.Mode]
	switch {
	case c.Mode == StandaloneCluster:
		errs = append(errs, validURL("REST server", c.RESTURL))
		if c.MasterUI != "" {
			errs = append(errs, validURL("page", c.MasterUI))
		}
		if c.StateDir == "" {
			bad("there is no directory to record submissions in")
		}
	case c.Master == "":
		bad("the master is not set")
	case !strings.HasPrefix(c.Master, prefix):
		bad("the master of mode %s begins with %s, not %q", c.Mode, prefix, c.Master)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Conf)) {
		if !strings.HasPrefix(key, "spark.") || strings.ContainsAny(key, "=\n\x00") {
			bad("%q is no key of Spark's configuration", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Env)) {
		if key == "" || strings.ContainsAny(key, "=\x00") {
			bad("%q cannot be the name of an environment variable", key)
		}
	}
	if c.Grace < 0 || c.StartTimeout < 0 {
		bad("grace and start timeout may not be negative")
	}
	return errors.Join(errs...)
}

func validURL(what, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("the address %q of the standalone master's %s is not of the form http://host:port", s, what)
	}
	return nil
}
