package master

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/executors/spark"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/rpc"
)

// everything is a file with every setting.
const everything = `# Everything that can be set.
listen: 0.0.0.0:7800
advertise: master.example:7801
data-dir: /var/lib/clic
store: bolt:///srv/clic
time-zone: Asia/Shanghai
plan-dirs: [/data/plans, &d /data]
result-dirs:
- *d
hdfs:
  conf-dir: /etc/hadoop/conf
  name: clic
  namenodes: [nn1:8020, nn2:8020]
  http: ["http://httpfs:14000"]
  user: etl
  principal: clic@EXAMPLE
  keytab: /etc/clic/keytab
  ticket-cache: /tmp/krb5cc_0
  krb5-conf: /etc/krb5.conf
  service-principal: nn/_HOST
  timeout: 20s
  data-timeout: 40s
  retry: 1m
  replication: 2
  block-size: 64MiB
  datanode-hostnames: false
  protection: privacy
uploads: {dir: "hdfs:///clic/uploads", max-size: 10MiB, keep-unused: 2h}
retain: 30d
delete-outputs: true
stop-timeout: 1m30s
log: {format: json, level: debug}
executors: {"*": local, java: local, gpu: kube/gpu}
executor-label: example.com/executor
plan-executors: [kube, kube/gpu]
callbacks:
  java: required
  python: optional
slots:
  global: 8
  task: 4
  executor: {local: 3}
  platform: {java: 2}
limits:
  connections: 100
  message-size: 8MiB
  heavy-calls: 2
  list-elements: 1000
  idle: 1m
  receive: 10s
  send: 11s
  handle: 2m
  plan-nodes: 5000
  plan-depth: 20
local:
  secrets-dir: /etc/clic/secrets
  config-dir: /etc/clic/config
  env: [A=1, B=2]
  pass-env: [JAVA_HOME]
  log-size: 1GB
  result-size: 100
  output-size: 4 kB
  grace: 3s
  linger: 100ms
spark:
  mode: native
  cluster: kube/gpu
  master: k8s://https://10.0.0.1:6443
  home: /spark
  submit: /spark/submit
  entrypoint: /entry.sh
  image: spark:4
  pull-policy: Never
  service-account: spark
  conf: {spark.eventLog.compress: "true"}
  env: {TZ: UTC}
  event-log-dir: hdfs:///logs
  version: 4.3.0
  ui: "http://ui/{pod}"
  rest-url: http://spark:6066
  master-ui: http://spark:8080
  poll: 3s
  grace: 4s
  start-timeout: 6s
kube:
  clusters:
    gpu: {context: gpu, namespace: ml, node-selector: {}, ttl: forever}
    spare:
  kubeconfig: /etc/clic/kubeconfig
  context: prod
  namespace: stages
  namespaces: [team-a, team-b]
  instance: main
  pvc: shared
  mount-path: /shared
  volume-name: shared-volume
  service-account: stage
  image-pull-secrets: [registry]
  labels: {team: a}
  annotations: {example.com/a: b}
  node-selector: {disk: ssd}
  tolerations: [{key: k, operator: Exists, effect: NoSchedule, tolerationSeconds: 5}]
  stage-image: registry.example/clic:1
  stage-helper: always
  result-size: 2MiB
  output-size: 64KiB
  heartbeat: 5s
  parallel: 16
  qps: 12.5
  burst: 30
  start-timeout: 3m
  ttl: 2h
  keep-failed: 1d
  grace: 20s
  log-dir: /data/logs
  archive-logs: true
  resync: 5m
`

// cluster is what the group kube of everything says.
func cluster() kubeconf.Config {
	seconds := int64(5)
	return kubeconf.Config{
		Kubeconfig: "/etc/clic/kubeconfig", Context: "prod", Namespace: "stages", Namespaces: []string{"team-a", "team-b"}, Instance: "main",
		PVC: "shared", MountPath: "/shared", VolumeName: "shared-volume", ServiceAccount: "stage", ImagePullSecrets: []string{"registry"},
		Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"example.com/a": "b"}, NodeSelector: map[string]string{"disk": "ssd"},
		Tolerations: []corev1.Toleration{{Key: "k", Operator: "Exists", Effect: "NoSchedule", TolerationSeconds: &seconds}},
		StageImage:  "registry.example/clic:1", StageHelper: kubeconf.HelperAlways, ResultLimit: 2 << 20, OutputLimit: 64 << 10, Heartbeat: 5 * time.Second,
		Parallel: 16, QPS: 12.5, Burst: 30, StartTimeout: 3 * time.Minute, TTL: 2 * time.Hour, KeepFailed: 24 * time.Hour, Grace: 20 * time.Second,
		LogDir: "/data/logs", ArchiveLogs: true, Resync: 5 * time.Minute,
	}
}

// otherCluster is one that says nothing but what change does.
func otherCluster(change func(*kubeconf.Config)) kubeconf.Config {
	k := cluster()
	k.Instance = ""
	change(&k)
	return k
}

func TestEverySetting(t *testing.T) {
	var got Config
	if err := got.Load("all.yaml", []byte(everything)); err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen: "0.0.0.0:7800", Advertise: "master.example:7801", DataDir: "/var/lib/clic", Store: "bolt:///srv/clic",
		TimeZone: "Asia/Shanghai", PlanDirs: []string{"/data/plans", "/data"}, ResultDirs: []string{"/data"},
		HDFS: HDFSConfig{
			ConfDir: "/etc/hadoop/conf", Name: "clic", Namenodes: []string{"nn1:8020", "nn2:8020"}, HTTP: []string{"http://httpfs:14000"}, User: "etl",
			Principal: "clic@EXAMPLE", Keytab: "/etc/clic/keytab", Cache: "/tmp/krb5cc_0", Krb5: "/etc/krb5.conf", Service: "nn/_HOST",
			Timeout: 20 * time.Second, DataTimeout: 40 * time.Second, Retry: time.Minute,
			Replication: 2, BlockSize: 64 << 20, DatanodeHostnames: new(bool), Protection: "privacy",
		},
		Uploads: UploadsConfig{Dir: "hdfs:///clic/uploads", MaxSize: 10 << 20, Unused: 2 * time.Hour},
		Retain:  30 * 24 * time.Hour, DeleteOutputs: true, StopTimeout: 90 * time.Second, LogFormat: "json", LogLevel: "debug",
		Executors:     map[string]string{"*": "local", "java": "local", "gpu": "kube/gpu"},
		ExecutorLabel: "example.com/executor", PlanExecutors: []string{"kube", "kube/gpu"},
		Kube: cluster(), Clusters: map[string]kubeconf.Config{
			"gpu": otherCluster(func(k *kubeconf.Config) {
				k.Context, k.Namespace, k.NodeSelector, k.TTL = "gpu", "ml", map[string]string{}, -1
			}),
			"spare": otherCluster(func(*kubeconf.Config) {}),
		},
		Spark: SparkConfig{Cluster: "kube/gpu", Config: spark.Config{
			Mode: spark.Native, Master: "k8s://https://10.0.0.1:6443", Home: "/spark", Submit: "/spark/submit", Entrypoint: "/entry.sh",
			Image: "spark:4", PullPolicy: "Never", ServiceAccount: "spark", Conf: map[string]string{"spark.eventLog.compress": "true"},
			Env: map[string]string{"TZ": "UTC"}, EventLogDir: "hdfs:///logs", SparkVersion: "4.3.0", UI: "http://ui/{pod}",
			RESTURL: "http://spark:6066", MasterUI: "http://spark:8080", Poll: 3 * time.Second, Grace: 4 * time.Second, StartTimeout: 6 * time.Second,
		}},
		Callbacks: map[string]dag.Callbacks{"java": dag.CallbacksRequired, "python": dag.CallbacksOptional},
		Slots: engine.Slots{
			Global: 8, Task: 4, Executor: map[string]int{"local": 3}, Platform: map[string]int{"java": 2},
		},
		Limits: rpc.Limits{
			Connections: 100, MessageBytes: 8 << 20, HeavyCalls: 2, Elements: 1000, Idle: time.Minute,
			Receive: 10 * time.Second, Send: 11 * time.Second, Handle: 2 * time.Minute,
		},
		PlanLimits: dag.Limits{Nodes: 5000, Depth: 20},
		Local: local.Config{
			SecretsDir: "/etc/clic/secrets", ConfigDir: "/etc/clic/config", Env: []string{"A=1", "B=2"}, PassEnv: []string{"JAVA_HOME"},
			LogLimit: 1e9, ResultLimit: 100, OutputLimit: 4000, Grace: 3 * time.Second, Linger: 100 * time.Millisecond,
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := got.WithDefaults().Validate(); err != nil {
		t.Errorf("it is not valid: %v", err)
	}
}

// The old master's file is understood as it stands.
func TestOldProperties(t *testing.T) {
	const old = `# the old master's
clic-master-ip=clic-master-svc
clic-master-port = 7700
default-namespace-name=argo
kube-config-path=config
redis-url=redis-svc
redis-port=6379
redis-password=hunter2
task-key-prefix=clic:task:
stage-key-prefix=clic:stage:
task-expire-time=3600
`
	asYAML := strings.NewReplacer(" = ", ": ", "=", ": ", "clic:task:", "'clic:task:'", "clic:stage:", "'clic:stage:'").Replace(old)
	for _, text := range []string{old, asYAML} {
		var got Config
		if err := got.Load("old", []byte(text)); err != nil {
			t.Fatal(err)
		}
		want := Config{
			Listen: ":7700", Advertise: "clic-master-svc", Retain: time.Hour, Store: "redis://redis-svc:6379/0",
			Executors: map[string]string{"*": "kube"}, Kube: kubeconf.Config{Namespace: "argo"},
			Redis: RedisConfig{Password: "hunter2", TaskPrefix: "clic:task:", StagePrefix: "clic:stage:"},
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Config{}, "Notes"), cmpopts.IgnoreUnexported(Config{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(got.Notes) != 1 || strings.Contains(strings.Join(got.Notes, " "), "hunter2") {
			t.Errorf("notes: %q", got.Notes)
		}
		host, port, err := got.callback(&net.TCPAddr{IP: net.IPv6unspecified, Port: 7700})
		if host != "clic-master-svc" || port != 7700 || err != nil {
			t.Errorf("stages call back %s:%d, %v", host, port, err)
		}
	}
	for text, want := range map[string]string{
		"clic-master-port=7700":                          "127.0.0.1:7700",
		"clic-master-ip=127.0.0.1":                       "127.0.0.1:7777",
		"clic-master-ip=10.0.0.1":                        ":7777",
		"clic-master-ip: h\nlisten: 127.0.0.1:1":         "127.0.0.1:1",
		"listen=127.0.0.1:2\nclic-master-port=3":         "127.0.0.1:2",
		"task-expire-time=1":                             "",
		"clic-master-ip=localhost\nclic-master-port=700": "127.0.0.1:700",
	} {
		var got Config
		if err := got.Load("old", []byte(text)); err != nil || got.Listen != want {
			t.Errorf("%q: listen %q, want %q, %v", text, got.Listen, want, err)
		}
	}
}

func TestMistakesInFiles(t *testing.T) {
	for text, want := range map[string][]string{
		"listn: x":                               {"f:1: listn: unknown setting (did you mean listen?)"},
		"a: 1\nslots:\n  globl: 3\n  task: many": {"f:1: a: unknown setting", "f:3: slots.globl: unknown setting (did you mean global?)", `f:4: slots.task: "many" is not a number`},
		"listen: a:1\nlisten: b:2":               {"f:2: listen: is set twice, first in line 1"},
		"limits: 3":                              {`f:1: limits: is a single value ("3"), should be a list of settings (key: value)`},
		"plan-dirs: /data":                       {`f:1: plan-dirs: is a single value ("/data"), should be a list`},
		"plan-dirs: [[x]]":                       {"f:1: plan-dirs: holds a list, should hold single values"},
		"callbacks: {java: must}":                {`f:1: callbacks.java: "must" is unknown (optional or required)`},
		"retain: soon":                           {`f:1: retain: "soon" is not a time, such as 30s, 5m, 12h or 30d`},
		"retain: -5s":                            {`f:1: retain: "-5s" is not a time, such as 30s, 5m, 12h or 30d`},
		"limits: {message-size: 9XB}":            {`f:1: limits.message-size: "9XB" is not a size, such as 64MiB`},
		"listen: {a: b}":                         {"f:1: listen: is a mapping, should be a single value"},
		"- a\n- b":                               {"f:1: is a list, should be a list of settings (key: value)"},
		"listen: x\n---\nlisten: y":              {"f: holds more than one document"},
		"{":                                      {"f: line 1:"},
		"a=1\nslots=2\nclic-master-port=x":       {"f:1: a: unknown setting", "f:2: slots: cannot be set in a file of key=value lines (write the file as YAML)", `f:3: clic-master-port: "x" is not a number`},
		"redis-url=a\nredis-url=b":               {"f:2: redis-url: is set twice"},
		"listen: \x00":                           {"f: is not a text file"},
		"redis-password: [x]":                    {"f:1: redis-password: is a list, should be a single value"},
	} {
		var c Config
		err := c.Load("f", []byte(text))
		if err == nil {
			t.Errorf("%q is taken: %+v", text, c)
			continue
		}
		if !errors.As(err, new(*ConfigError)) {
			t.Errorf("%q: %T", text, err)
		}
		got := strings.Split(err.Error(), "\n")
		if len(got) != len(want) {
			t.Errorf("%q:\n%s", text, err)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%q:\n got %s\nwant %s", text, got[i], want[i])
			}
		}
	}
	for _, text := range []string{"", "\n# only a remark\n", "---\n", "null", "listen:\nslots:\n"} {
		var c Config
		if err := c.Load("f", []byte(text)); err != nil || !cmp.Equal(c, Config{}, cmpopts.IgnoreUnexported(c)) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
	if err := new(Config).LoadFile(filepath.Join(t.TempDir(), "none")); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestCallback(t *testing.T) {
	addr := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, tc := range []struct {
		advertise, addr, host string
		port                  int
	}{
		{"", "127.0.0.1:7777", "127.0.0.1", 7777},
		{"", "0.0.0.0:7777", "127.0.0.1", 7777},
		{"", "[::]:7777", "127.0.0.1", 7777},
		{"svc", "0.0.0.0:7777", "svc", 7777},
		{"svc:80", "0.0.0.0:7777", "svc", 80},
		{"::1", "0.0.0.0:7777", "::1", 7777},
		{"[::1]:80", "0.0.0.0:7777", "::1", 80},
	} {
		host, port, err := Config{Advertise: tc.advertise}.callback(addr(tc.addr))
		if err != nil || host != tc.host || port != tc.port {
			t.Errorf("%+v: %s, %d, %v", tc, host, port, err)
		}
	}
	if _, _, err := (Config{Advertise: "a:b:c"}).callback(nil); err == nil {
		t.Error("a:b:c is taken")
	}
}

func TestStoreURL(t *testing.T) {
	for url, want := range map[string]string{"": "/d", "bolt:///srv/clic": "/srv/clic", "bolt:///srv/clic/": "/srv/clic"} {
		if got, err := (Config{DataDir: "/d", Store: url}).storeDir(); err != nil || got != want {
			t.Errorf("%q: %q, %v", url, got, err)
		}
	}
	for _, url := range []string{"bolt://srv/clic", "bolt:srv", "bolt:///", "file:///x", "/srv", "%"} {
		if got, err := (Config{DataDir: "/d", Store: url}).storeDir(); err == nil {
			t.Errorf("%q: %q", url, got)
		}
	}
}

func TestDefaultDataDir(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	for want, m := range map[string]map[string]string{
		"/x/clic":              {"XDG_DATA_HOME": "/x", "HOME": "/h"},
		"/h/.local/share/clic": {"HOME": "/h", "XDG_DATA_HOME": "relative"},
	} {
		if got, err := DefaultDataDir(env(m)); err != nil || got != want {
			t.Errorf("%v: %q, %v", m, got, err)
		}
	}
	if _, err := DefaultDataDir(env(nil)); err == nil {
		t.Error("a directory was found without any variable")
	}
}

func TestFilesBelowDirectories(t *testing.T) {
	base := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{base}, parts...)...) }
	for _, dir := range []string{"allowed/sub", "outside"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"allowed/a", "allowed/sub/b", "outside/c"} {
		if err := os.WriteFile(at(f), []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"allowed/in": at("allowed/sub/b"), "allowed/out": at("outside/c"), "door": at("allowed"), "allowed/up": "..", "allowed/loop": "loop",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	f := files{"plan", []string{at("missing"), at("allowed")}, 100}
	for path, want := range map[string]string{
		at("allowed/a"): "allowed/a", at("allowed/../allowed/a"): "allowed/a", at("allowed/in"): "allowed/sub/b",
		at("door/sub/b"): "allowed/sub/b", "a": "allowed/a", "sub/b": "allowed/sub/b", at("allowed/up/allowed/a"): "allowed/a",
	} {
		if got, err := f.read(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{
		at("outside/c"), at("allowed/out"), at("allowed/../outside/c"), at("allowed/up/outside/c"), "../outside/c", "/etc/passwd",
		at("outside/nothing"), "/no/such/file", "x\x00y", at("allowed2"),
	} {
		if got, err := f.read(path); !errors.Is(err, rpc.ErrDenied) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{at("allowed/nothing"), at("allowed/sub"), at("allowed/loop"), at("allowed")} {
		if got, err := f.read(path); err == nil || errors.Is(err, rpc.ErrDenied) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	f.most = 3
	if _, err := f.read(at("allowed/a")); !errors.Is(err, rpc.ErrTooLarge) {
		t.Errorf("a large file: %v", err)
	}
	if _, err := (files{"plan", nil, 1}).read(at("allowed/a")); !errors.Is(err, rpc.ErrDenied) {
		t.Errorf("without directories: %v", err)
	}
}

// FuzzConfig reads any bytes as a configuration: it must say yes or no, and a configuration that it takes must be one that
// can be checked.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		everything, "", "clic-master-ip=x\nclic-master-port=1", "a: &a [*a]", "a: &a\n  b: *a\n", "slots: {executor: &x {local: 1}, platform: *x}",
		"? [a]\n: b", "listen: !!binary aGk=", "limits: {message-size: 99999999999TiB, idle: 999999999d}", "{", "\xff\xfe", "retain: 1e9h",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := Config{DataDir: "/d"}
		err := c.Load("f", b)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a message")
			}
			return
		}
		c = c.WithDefaults()
		if err := c.Validate(); err != nil {
			return
		}
		if _, err := c.storeDir(); err != nil {
			t.Errorf("valid, and yet: %v", err)
		}
		if _, err := c.location(); err != nil {
			t.Errorf("valid, and yet: %v", err)
		}
		if c.route("any") == "" {
			t.Error("valid, and yet nothing runs stages")
		}
	})
}
