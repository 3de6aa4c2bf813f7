package master

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/rpc"
)

// DefaultListen is where a master listens unless told: on this machine only, because nobody is asked who they are.
const DefaultListen = "127.0.0.1:7777"

// AnyPlatform is the key in Config.Executors that stands for all platforms that are not named.
const AnyPlatform = "*"

// Config is everything that a master can be told. The zero value of every field but DataDir has a default, which
// WithDefaults fills in. The names in a configuration file stand in brackets.
type Config struct {
	// Listen is the HOST:PORT of the Thrift services [listen]. Port 0 takes any free one.
	Listen string
	// NoListen serves no clients at all; the engine is used in the process.
	NoListen bool
	// Advertise is the HOST or HOST:PORT that stage programs are told to call back [advertise]. The default is where the
	// master listens.
	Advertise string
	// DataDir holds the store and what the executors keep [data-dir].
	DataDir string
	// Store is where the state is kept [store]: "" or bolt:///DIRECTORY, or redis://HOST:PORT/DATABASE, or rediss:// with TLS.
	// "" is the data directory. Several masters can share a Redis: one leads, the others take over when it is gone.
	Store string
	// Redis is more about a store in Redis [redis].
	Redis RedisConfig
	// PeerAddress is the HOST:PORT where other masters of the same store reach this one [peer-address]. The default is where
	// it listens.
	PeerAddress string
	// Lease is how long a leader that gives no sign of life is waited for [lease].
	Lease time.Duration
	// HTTP is the HOST:PORT of /healthz, /readyz, /status and /metrics [http]. "" serves none.
	HTTP string
	// Executors says which executor runs the stages of a platform [executors]; AnyPlatform stands for all others. There are
	// "local", "kube", and "kube/NAME" for each of Clusters.
	Executors map[string]string
	// ExecutorLabel is the label by which a plan chooses the executor of all its stages [executor-label], and PlanExecutors are
	// those that it may choose [plan-executors]. The default is DefaultExecutorLabel, and all that are configured.
	ExecutorLabel string
	PlanExecutors []string
	// Slots bound what runs at once [slots]. The default bounds the local executor by the number of processors, and no other.
	Slots engine.Slots
	// Callbacks says per platform what stages of the CLIC form have to report [callbacks].
	Callbacks map[string]dag.Callbacks
	// PlanDirs are the directories below which plans are read that clients name by path [plan-dirs]; ResultDirs those of
	// results that are shown, and of outputs that plans have checked and published [result-dirs]. They are directories of this
	// machine, or URIs such as hdfs:///data. Empty allows none.
	PlanDirs, ResultDirs []string
	// HDFS is how HDFS is reached [hdfs].
	HDFS HDFSConfig
	// Uploads is about what users send along with their plans [uploads].
	Uploads UploadsConfig
	// Retain is how long a task is kept after its end [retain].
	Retain time.Duration
	// DeleteOutputs has what tasks have declared as their outputs deleted with them, once their time has come [delete-outputs]. Otherwise
	// it is the plans' to say.
	DeleteOutputs bool
	// Limits bound the clients, PlanLimits what plans may become [limits].
	Limits     rpc.Limits
	PlanLimits dag.Limits
	// Local is about the local executor [local]; DataDir and Logger of it are set by New.
	Local local.Config
	// Kube is about the executor "kube" [kube], Clusters about those of other clusters, by their name [kube.clusters]; Logger of
	// them is set by New. In a file, what a cluster does not say itself it takes from [kube].
	Kube     kubeconf.Config
	Clusters map[string]kubeconf.Config
	// Spark is about the executor "spark" [spark].
	Spark SparkConfig
	// Makers makes the executors that are not built in; without them only the local one can be used.
	Makers Makers
	// TimeZone is the zone of the times that the old calls give [time-zone], such as Asia/Shanghai. The default is the
	// machine's own.
	TimeZone string
	// StopTimeout is how long calls that are under way may go on when the master stops [stop-timeout].
	StopTimeout time.Duration

	// LogFormat is text or json, LogLevel debug, info, warn or error [log]. They are for the program that makes the Logger.
	LogFormat, LogLevel string
	// Logger takes the log. Default: nothing is logged.
	Logger *slog.Logger
	// Version is what the master says of itself.
	Version string
	// Notes are remarks on the configuration itself, such as settings that are read and not used.
	Notes []string

	// places are where in a file settings were read.
	places map[string]place
}

// WithDefaults is a copy in which every field that was not set has its default.
func (c Config) WithDefaults() Config {
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	c.executorDefaults()
	if c.Retain == 0 {
		c.Retain = 30 * 24 * time.Hour
	}
	c.Limits = c.Limits.WithDefaults()
	if c.PlanLimits.Nodes == 0 {
		c.PlanLimits.Nodes = dag.DefaultLimits.Nodes
	}
	if c.PlanLimits.Depth == 0 {
		c.PlanLimits.Depth = dag.DefaultLimits.Depth
	}
	if c.Lease == 0 {
		c.Lease = 2 * time.Second
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = 20 * time.Second
	}
	if c.LogFormat == "" {
		c.LogFormat = "text"
	}
	if c.LogLevel == "" {
		c.LogLevel = "info"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Version == "" {
		c.Version = "unknown"
	}
	return c
}

// Validate says everything that is wrong with a configuration that has its defaults.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.DataDir == "" {
		bad("data-dir is not set")
	}
	if _, _, err := splitAddress(c.Listen); err != nil && !c.NoListen {
		bad("listen: %w", err)
	}
	if c.Advertise != "" {
		if _, _, err := c.callback(nil); err != nil {
			errs = append(errs, c.wrong("advertise", "", "%w", err))
		}
	}
	if err := c.validateStore(); err != nil {
		bad("store: %w", err)
	}
	if c.storeIsShared() && c.NoListen {
		bad("store: a master that listens nowhere cannot share a store with others")
	}
	for what, address := range map[string]string{"peer-address": c.PeerAddress, "http": c.HTTP} {
		if _, _, err := splitAddress(address); err != nil && address != "" {
			bad("%s: %w", what, err)
		}
	}
	if c.Lease < minLease {
		bad("lease must be at least %v, but is %v", minLease, c.Lease)
	}
	errs = append(errs, c.validateExecutors()...)
	for what, n := range c.numbers() {
		if n < 0 {
			bad("%s must not be negative, but is %d", what, n)
		}
	}
	if err := c.Limits.Validate(); err != nil {
		bad("limits: %w", err)
	}
	if _, err := c.location(); err != nil {
		bad("time-zone: %w", err)
	}
	errs = append(errs, c.validateDirs()...)
	if _, err := c.level(); err != nil {
		bad("log: %w", err)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		bad("log: unknown format %q (text or json)", c.LogFormat)
	}
	return errors.Join(errs...)
}

func (c Config) numbers() map[string]int64 {
	n := map[string]int64{
		"slots.global": int64(c.Slots.Global), "slots.task": int64(c.Slots.Task),
		"retain": int64(c.Retain), "stop-timeout": int64(c.StopTimeout), "redis.history": int64(c.Redis.History),
		"limits.plan-nodes": int64(c.PlanLimits.Nodes), "limits.plan-depth": int64(c.PlanLimits.Depth),
	}
	for name, v := range c.Slots.Executor {
		n["slots.executor."+name] = int64(v)
	}
	for name, v := range c.Slots.Platform {
		n["slots.platform."+name] = int64(v)
	}
	return n
}

// callback is where stage programs are told to call back: Advertise, or where the master listens.
func (c Config) callback(addr net.Addr) (host string, port int, err error) {
	if addr != nil {
		host, port, err = splitAddress(addr.String())
		if err != nil {
			return "", 0, err
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			// All interfaces: programs of this machine reach it on this one.
			host = "127.0.0.1"
		}
	}
	switch {
	case c.Advertise == "":
		return host, port, nil
	case !strings.Contains(c.Advertise, ":") || net.ParseIP(c.Advertise) != nil:
		return c.Advertise, port, nil
	}
	return splitAddress(c.Advertise)
}

func splitAddress(s string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", s)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q is not a port (0 to 65535)", p)
	}
	return host, port, nil
}

// location is the zone of the old calls' times.
func (c Config) location() (*time.Location, error) {
	if c.TimeZone == "" {
		return time.Local, nil
	}
	return time.LoadLocation(c.TimeZone)
}

func (c Config) level() (slog.Level, error) {
	var l slog.Level
	err := l.UnmarshalText([]byte(c.LogLevel))
	if err != nil {
		return 0, fmt.Errorf("unknown level %q (debug, info, warn or error)", c.LogLevel)
	}
	return l, nil
}

// Loopback reports whether only programs of this machine can reach the master.
func (c Config) Loopback() bool {
	host, _, err := splitAddress(c.Listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return c.NoListen || host == "localhost" || ip != nil && ip.IsLoopback()
}
