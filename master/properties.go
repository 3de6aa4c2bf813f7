package master

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
)

// oldSettings are the old master's settings that need more than a field, because they work together.
type oldSettings struct {
	host string
	port int
	// redisHost and redisPort are where the old master kept its state.
	redisHost string
	redisPort int
	// kube is the first setting that says that stages run on Kubernetes, as the old master's always did.
	kube string
}

// oldKeys are the old master's keys. They may stand in a YAML file as well.
func oldKeys() map[string]setting {
	onKube := func(field func(*kubeconf.Config) *string) setting {
		return setting{set: func(l *loader, v value) error {
			if l.old.kube == "" {
				l.old.kube = v.key
			}
			return text(field(&l.config.Kube))(l, v)
		}}
	}
	return map[string]setting{
		"clic-master-ip":   {set: func(l *loader, v value) error { return text(&l.old.host)(l, v) }},
		"clic-master-port": {set: func(l *loader, v value) error { return number(&l.old.port)(l, v) }},
		"task-expire-time": {set: func(l *loader, v value) error {
			var seconds int
			if err := number(&seconds)(l, v); err != nil {
				return err
			}
			l.config.Retain = time.Duration(seconds) * time.Second
			return nil
		}},
		"default-namespace-name": onKube(func(k *kubeconf.Config) *string { return &k.Namespace }),
		"kube-config-path":       onKube(func(k *kubeconf.Config) *string { return &k.Kubeconfig }),
		"redis-url":              {set: func(l *loader, v value) error { return text(&l.old.redisHost)(l, v) }},
		"redis-port":             {set: func(l *loader, v value) error { return number(&l.old.redisPort)(l, v) }},
		"redis-password":         {set: with(func(c *Config) *string { return &c.Redis.Password }, text)},
		"task-key-prefix":        {set: with(func(c *Config) *string { return &c.Redis.TaskPrefix }, text)},
		"stage-key-prefix":       {set: with(func(c *Config) *string { return &c.Redis.StagePrefix }, text)},
	}
}

// finish makes settings of the old ones. The old master listened on all interfaces; ours does so only where the host that
// stages call back cannot be this machine's loopback.
func (l *loader) finish() {
	l.finishKube()
	l.finishClusters()
	l.finishRedis()
	if l.old.host != "" && l.config.Advertise == "" {
		l.config.Advertise = l.old.host
	}
	if l.hasListen || l.old.host == "" && l.old.port == 0 {
		return
	}
	host, port, err := splitAddress(DefaultListen)
	if err != nil {
		return
	}
	if l.old.port != 0 {
		port = l.old.port
	}
	if ip := net.ParseIP(l.old.host); l.old.host != "" && l.old.host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		host = ""
	}
	l.config.Listen = net.JoinHostPort(host, strconv.Itoa(port))
}

// oldKubeconfig is what the old master took for the kubeconfig unless it was told otherwise: a file that came with it.
const oldKubeconfig = "config"

// finishKube runs stages on Kubernetes where an old setting speaks of it and the file does not choose executors itself.
func (l *loader) finishKube() {
	if l.old.kube == "" {
		return
	}
	if k := &l.config.Kube; k.Kubeconfig == oldKubeconfig {
		if _, err := os.Stat(k.Kubeconfig); errors.Is(err, fs.ErrNotExist) {
			k.Kubeconfig = ""
		}
	}
	if l.config.Executors == nil {
		l.config.Executors = map[string]string{AnyPlatform: executorKube}
		l.config.Notes = append(l.config.Notes, "stages run on Kubernetes, because "+l.old.kube+" is set; executors says otherwise")
	}
}

// finishRedis makes the store's URL of the old settings. Where the file names a store itself, that is meant.
func (l *loader) finishRedis() {
	if l.config.Store != "" || l.old.redisHost == "" && l.old.redisPort == 0 {
		return
	}
	host, port := "redis-svc", 6379
	if l.old.redisHost != "" {
		host = l.old.redisHost
	}
	if l.old.redisPort != 0 {
		port = l.old.redisPort
	}
	l.config.Store = "redis://" + net.JoinHostPort(host, strconv.Itoa(port)) + "/0"
}

// properties reports whether the file is in the old form: all its lines are key=value, empty or comments, and there is at
// least one of the first.
func properties(b []byte) bool {
	some := false
	for line := range bytes.Lines(b) {
		s := strings.TrimSpace(string(line))
		if s == "" || s[0] == '#' || s[0] == '!' {
			continue
		}
		key, _, ok := strings.Cut(s, "=")
		if !ok || strings.ContainsAny(strings.TrimSpace(key), ": \t\"'{}[]") {
			return false
		}
		some = true
	}
	return some
}

// loadProperties reads key=value lines.
func (l *loader) loadProperties(b []byte) {
	known := settings()
	seen := make(map[string]bool)
	n := 0
	for line := range bytes.Lines(b) {
		n++
		s := strings.TrimSpace(string(line))
		if s == "" || s[0] == '#' || s[0] == '!' {
			continue
		}
		key, val, _ := strings.Cut(s, "=")
		key, val = strings.TrimSpace(key), strings.TrimSpace(val)
		if key != "" && seen[key] {
			l.bad(n, key, "is set twice", "")
			continue
		}
		seen[key] = true
		l.note(key, n)
		one, ok := known[key]
		switch {
		case !ok:
			l.bad(n, key, "unknown setting", suggest(key, known))
			continue
		case one.group != nil:
			l.bad(n, key, "cannot be set in a file of key=value lines", "write the file as YAML")
			continue
		case val == "":
			continue
		}
		node := &yaml.Node{Kind: yaml.ScalarNode, Value: val, Line: n}
		if err := one.set(l, value{node: node, line: n, key: key}); err != nil {
			l.bad(n, key, err.Error(), "")
		}
	}
}
