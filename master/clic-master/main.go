// Command clic-master runs a master. See `clic-master --help`.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/master"
	"github.com/clic-orchestrator/clic/master/store/redis"
)

// version is set when the program is built.
var version = "unknown"

// Exit codes, as the help says. 64, 75 and 78 are those of sysexits.h.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 64
	exitInUse    = 75
	exitConfig   = 78
	exitSignaled = 130
)

func main() {
	sleepCoarsely()
	// The program that runs stages under the master is this same program, started again.
	if local.RunShimIfAsked() {
		return
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, os.Getenv))
}

// garbage is how much of it there may be before it is collected, in percent of what is in use. A busy master spends an eighth of its
// processor time on collecting with Go's 100, and a twentieth with this, for some 12 MiB more where a thousand stages are under way.
const garbage = 200

// options are the flags.
type options struct {
	listen, dataDir, store, config string
	logFormat, logLevel            string
	peer, http, advertise          string
	executor, kubeconfig           string
	kubeContext, namespace         string
	slots                          int
	planDirs, resultDirs           []string
}

// usageError is a mistake in the command line, configError one in the configuration.
type (
	usageError  struct{ error }
	configError struct{ error }
)

// errSignaled: a second signal came. The process ends without waiting for the master.
var errSignaled = errors.New("ended at once; what was under way is taken up at the next start")

func run(args []string, stdout, stderr io.Writer, getenv func(string) string) int {
	cmd := command(stdout, stderr, getenv)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "clic-master:", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	switch {
	case errors.As(err, new(usageError)):
		fmt.Fprintln(stderr, "clic-master --help lists all options")
		return exitUsage
	case errors.As(err, new(configError)):
		return exitConfig
	case errors.Is(err, master.ErrInUse), errors.Is(err, master.ErrLed):
		return exitInUse
	case errors.Is(err, errSignaled):
		return exitSignaled
	}
	return exitFailed
}

func command(stdout, stderr io.Writer, getenv func(string) string) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "clic-master",
		Short: "Run a master, which takes plans and runs their stages",
		Long: `clic-master takes plans, runs their stages in order, and answers clients.

Without options it serves programs of this machine only (` + master.DefaultListen + `), keeps its data in the user's data directory,
and runs stages as processes of this machine; with --executor kube it runs them as Jobs of a Kubernetes cluster. Stop it with Ctrl-C or SIGTERM: calls that are under way are answered, stages run
on, and the next start takes them up again. A second signal ends it at once, which loses nothing either.

HDFS is reached as $HADOOP_CONF_DIR says, or the group hdfs of the configuration file: conf-dir, name, namenodes, http (WebHDFS or
HttpFS), user; principal, keytab, ticket-cache, krb5-conf, service-principal; timeout, data-timeout, retry; and for its own protocol
replication and block-size of new files, datanode-hostnames (true: by name, as dfs.client.use.datanode.hostname) and protection
(authentication, integrity, privacy). What the group does not say is taken from Hadoop's files.`,
		Example: `  clic-master
  clic-master --listen 127.0.0.1:7800 --data-dir /srv/clic
  clic-master --listen 0.0.0.0:7777 --plan-dir /data/plans --result-dir /data --slots 8
  clic-master --store redis://:secret@redis:6379/0 --listen 0.0.0.0:7777    (on several machines: one leads)
  clic-master --executor kube --namespace argo --kubeconfig ~/.kube/config --listen 10.0.0.5:7777
  clic-master --config /etc/clic/master.yaml --log-format json
  clic-master status --store redis://:secret@redis:6379/0`,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetVersionTemplate("clic-master {{.Version}}\n")
	cmd.SetUsageTemplate(cmd.UsageTemplate() + exitCodes)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := cobra.NoArgs(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
	// Where the state is, all commands need to know; the rest is for running a master.
	p := cmd.PersistentFlags()
	p.StringVar(&o.dataDir, "data-dir", "", "directory of the state and of what stages print (default $XDG_DATA_HOME/clic or ~/.local/share/clic)")
	p.StringVar(&o.store, "store", "", "where the state is kept, as `URL`: bolt:///DIRECTORY, redis://[:PASSWORD@]HOST:PORT/DATABASE, or rediss:// with TLS (default: in the data directory)")
	p.StringVar(&o.config, "config", "", "configuration `FILE`: YAML, or the old master's key=value lines; options win over it")
	p.StringVar(&o.logFormat, "log-format", "", "form of the log: text or json (default text)")
	p.StringVar(&o.logLevel, "log-level", "", "least level that is logged: debug, info, warn or error (default info)")
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "", "where to serve clients, as `HOST:PORT` (default "+master.DefaultListen+")")
	f.StringVar(&o.peer, "peer-address", "", "where other masters of the same Redis reach this one, as `HOST:PORT` (default: where it listens)")
	f.StringVar(&o.advertise, "advertise", "", "where stages are told to call back, as `HOST[:PORT]` (default: where it listens; for stages on Kubernetes the service clic-master-svc, unless it listens on one address)")
	f.StringVar(&o.http, "http", "", "where to serve /healthz, /readyz, /status and /metrics, as `HOST:PORT` (default: nowhere)")
	f.StringVar(&o.executor, "executor", "", "what runs the stages of platforms for which the configuration says nothing else: local, kube, or kube/`NAME` of a configured cluster (default local)")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "`FILE` that says where the cluster of executor kube is (default: the pod's own service account, or else what kubectl takes)")
	f.StringVar(&o.kubeContext, "kube-context", "", "`NAME` of the context in the kubeconfig (default: its current one)")
	f.StringVarP(&o.namespace, "namespace", "n", "", "`NAMESPACE` of the Jobs of executor kube (default argo)")
	f.IntVar(&o.slots, "slots", 0, "how many stages run at once (default: on this machine twice the processors, at least 4; on Kubernetes no bound)")
	f.StringArrayVar(&o.planDirs, "plan-dir", nil, "`DIRECTORY` or URI (hdfs:///plans) below which plans are read that clients name by path; may be repeated (default: home and working directory)")
	f.StringArrayVar(&o.resultDirs, "result-dir", nil, "`DIRECTORY` or URI (hdfs:///data) below which results are shown and outputs published; may be repeated (default: home and working directory)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("slots") && o.slots < 1 {
			return usageError{fmt.Errorf("--slots %d: at least one stage has to run", o.slots)}
		}
		cfg, err := o.load(getenv)
		if err != nil {
			return err
		}
		return serve(cfg, stdout, stderr)
	}
	k := &keeper{&o, stdout, stderr, getenv}
	cmd.AddCommand(k.statusCommand(), k.exportCommand(), k.importCommand(), k.migrateCommand(), k.indexCommand())
	return cmd
}

const exitCodes = `
Exit codes:
  0   stopped as it was asked to
  1   an error while running
  64  wrong usage
  75  the data directory or the port is in use, or a master leads the store
  78  wrong configuration
  130 a second signal ended it at once
`

// load makes the configuration: defaults of the user, then the file, then the options.
func (o *options) load(getenv func(string) string) (master.Config, error) {
	var cfg master.Config
	if o.config != "" {
		if err := cfg.LoadFile(o.config); err != nil {
			return cfg, configError{err}
		}
	}
	for _, f := range []struct {
		field *string
		value string
	}{
		{&cfg.Listen, o.listen},
		{&cfg.DataDir, o.dataDir},
		{&cfg.Store, o.store},
		{&cfg.LogFormat, o.logFormat},
		{&cfg.LogLevel, o.logLevel},
		{&cfg.PeerAddress, o.peer},
		{&cfg.HTTP, o.http},
		{&cfg.Advertise, o.advertise},
		{&cfg.Kube.Kubeconfig, o.kubeconfig},
		{&cfg.Kube.Context, o.kubeContext},
		{&cfg.Kube.Namespace, o.namespace},
	} {
		if f.value != "" {
			*f.field = f.value
		}
	}
	o.executors(&cfg, getenv)
	own, err := ownDirs(getenv)
	if err != nil {
		return cfg, err
	}
	if err := o.dirs(&cfg, own); err != nil {
		return cfg, usageError{err}
	}
	if cfg.DataDir == "" {
		if cfg.DataDir, err = master.DefaultDataDir(getenv); err != nil {
			return cfg, err
		}
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return cfg, err
	}
	cfg.HDFS.ConfDir = cmp.Or(cfg.HDFS.ConfDir, getenv("HADOOP_CONF_DIR"))
	cfg.Version = version
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return cfg, configError{err}
	}
	return cfg, nil
}

// stageImageEnv names the image that /clic-stage is taken from where the configuration does not: a deployment knows best which image it
// runs itself.
const stageImageEnv = "CLIC_STAGE_IMAGE"

// executors sets which executors run stages.
func (o *options) executors(cfg *master.Config, getenv func(string) string) {
	all := maps.Clone(cfg.Executors)
	if all == nil {
		all = map[string]string{}
	}
	if o.executor != "" {
		all[master.AnyPlatform] = o.executor
	}
	if len(all) > 0 {
		cfg.Executors = all
	}
	if o.slots > 0 {
		slots := maps.Clone(cfg.Slots.Executor)
		if slots == nil {
			slots = map[string]int{}
		}
		slots[cmp.Or(all[master.AnyPlatform], "local")] = o.slots
		cfg.Slots.Executor = slots
	}
	image := getenv(stageImageEnv)
	cfg.Kube.StageImage = cmp.Or(cfg.Kube.StageImage, image)
	for name, k := range cfg.Clusters {
		k.StageImage = cmp.Or(k.StageImage, image)
		cfg.Clusters[name] = k
	}
}

// dirs sets the directories that clients may name: those of the options, else of the file, else the user's own.
func (o *options) dirs(cfg *master.Config, own []string) error {
	for _, d := range []struct {
		field *[]string
		given []string
	}{{&cfg.PlanDirs, o.planDirs}, {&cfg.ResultDirs, o.resultDirs}} {
		if len(d.given) == 0 {
			if *d.field == nil {
				*d.field = own
			}
			continue
		}
		*d.field = nil
		for _, dir := range d.given {
			if strings.Contains(dir, "://") {
				*d.field = append(*d.field, dir)
				continue
			}
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			*d.field = append(*d.field, abs)
		}
	}
	return nil
}

// ownDirs are the user's home and the working directory.
func ownDirs(getenv func(string) string) ([]string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("cannot find the working directory: %w", err)
	}
	if home := getenv("HOME"); filepath.IsAbs(home) && home != wd {
		return []string{home, wd}, nil
	}
	return []string{wd}, nil
}

// serve runs the master until a signal.
func serve(cfg master.Config, stdout, stderr io.Writer) error {
	cfg.Logger, cfg.Makers = logger(cfg, stderr), makers()
	redis.LogClient(cfg.Logger)
	m, err := master.New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	ready := m.Ready()
	for {
		select {
		case err := <-done:
			return err
		case <-ready:
			ready = nil
			greet(cfg, m.Addr(), stdout, stderr)
		case s := <-signals:
			if ctx.Err() != nil {
				return errSignaled
			}
			cfg.Logger.Info("signal", "signal", s.String())
			cancel()
		}
	}
}

// greet says where the master is, and warns where others can reach it.
func greet(cfg master.Config, addr net.Addr, stdout, stderr io.Writer) {
	submit := "clic submit plan.yaml"
	if addr.String() != master.DefaultListen {
		submit = "clic --master " + reachable(addr) + " submit plan.yaml"
	}
	fmt.Fprintf(stdout, "clic-master listens on %s, data in %s; submit with: %s\n", addr, cfg.DataDir, submit)
	if !cfg.Loopback() {
		fmt.Fprintf(stderr, "clic-master: warning: other machines can reach %s, and there is no authentication: "+
			"whoever connects can run programs as this user\n", cfg.Listen)
	}
}

// reachable is an address that clients of this machine can use.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr.String()
}

func logger(cfg master.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	// Validated before.
	_ = level.UnmarshalText([]byte(cfg.LogLevel))
	o := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
