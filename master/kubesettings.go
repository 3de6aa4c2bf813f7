package master

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
)

// kubeGroup are the settings of the executor "kube", and below them the other clusters.
func kubeGroup() map[string]setting {
	group := clusterSettings(func(c *Config) *kubeconf.Config { return &c.Kube })
	group["clusters"] = setting{set: func(l *loader, v value) error {
		if v.node.Kind != yaml.MappingNode {
			return errors.New("is " + kindOf(v.node) + ", should be a mapping (name: settings)")
		}
		l.clusters = &v // they take over what stands beside them, which may come later
		return nil
	}}
	return group
}

// clusterSettings are those of one cluster.
func clusterSettings(of func(*Config) *kubeconf.Config) map[string]setting {
	str := func(f func(*kubeconf.Config) *string) setting {
		return setting{set: with(func(c *Config) *string { return f(of(c)) }, text)}
	}
	list := func(f func(*kubeconf.Config) *[]string) setting {
		return setting{set: with(func(c *Config) *[]string { return f(of(c)) }, texts)}
	}
	words := func(f func(*kubeconf.Config) *map[string]string) setting {
		return setting{set: with(func(c *Config) *map[string]string { return f(of(c)) }, entries(text))}
	}
	span := func(f func(*kubeconf.Config) *time.Duration, kind func(*time.Duration) setter) setting {
		return setting{set: with(func(c *Config) *time.Duration { return f(of(c)) }, kind)}
	}
	return map[string]setting{
		"kubeconfig":         str(func(k *kubeconf.Config) *string { return &k.Kubeconfig }),
		"context":            str(func(k *kubeconf.Config) *string { return &k.Context }),
		"namespace":          str(func(k *kubeconf.Config) *string { return &k.Namespace }),
		"namespaces":         list(func(k *kubeconf.Config) *[]string { return &k.Namespaces }),
		"instance":           str(func(k *kubeconf.Config) *string { return &k.Instance }),
		"pvc":                str(func(k *kubeconf.Config) *string { return &k.PVC }),
		"mount-path":         str(func(k *kubeconf.Config) *string { return &k.MountPath }),
		"volume-name":        str(func(k *kubeconf.Config) *string { return &k.VolumeName }),
		"service-account":    str(func(k *kubeconf.Config) *string { return &k.ServiceAccount }),
		"image-pull-secrets": list(func(k *kubeconf.Config) *[]string { return &k.ImagePullSecrets }),
		"labels":             words(func(k *kubeconf.Config) *map[string]string { return &k.Labels }),
		"annotations":        words(func(k *kubeconf.Config) *map[string]string { return &k.Annotations }),
		"node-selector":      words(func(k *kubeconf.Config) *map[string]string { return &k.NodeSelector }),
		"tolerations":        {set: with(func(c *Config) *[]corev1.Toleration { return &of(c).Tolerations }, tolerations)},
		"stage-image":        str(func(k *kubeconf.Config) *string { return &k.StageImage }),
		"stage-helper":       str(func(k *kubeconf.Config) *string { return &k.StageHelper }),
		"result-size":        {set: with(func(c *Config) *int64 { return &of(c).ResultLimit }, size)},
		"output-size":        {set: with(func(c *Config) *int64 { return &of(c).OutputLimit }, size)},
		"heartbeat":          span(func(k *kubeconf.Config) *time.Duration { return &k.Heartbeat }, duration),
		"parallel":           {set: with(func(c *Config) *int { return &of(c).Parallel }, number)},
		"qps":                {set: with(func(c *Config) *float32 { return &of(c).QPS }, fraction)},
		"burst":              {set: with(func(c *Config) *int { return &of(c).Burst }, number)},
		"start-timeout":      span(func(k *kubeconf.Config) *time.Duration { return &k.StartTimeout }, duration),
		"ttl":                span(func(k *kubeconf.Config) *time.Duration { return &k.TTL }, keeping),
		"keep-failed":        span(func(k *kubeconf.Config) *time.Duration { return &k.KeepFailed }, keeping),
		"grace":              span(func(k *kubeconf.Config) *time.Duration { return &k.Grace }, duration),
		"log-dir":            str(func(k *kubeconf.Config) *string { return &k.LogDir }),
		"archive-logs":       {set: with(func(c *Config) *bool { return &of(c).ArchiveLogs }, flag)},
		"resync":             span(func(k *kubeconf.Config) *time.Duration { return &k.Resync }, duration),
	}
}

// clusterName is what a cluster can be called: its name is a part of a label's value, and of its instance.
var clusterName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// finishClusters reads the clusters, each on top of what is said of all.
func (l *loader) finishClusters() {
	if l.clusters == nil {
		return
	}
	l.each(l.clusters.key, l.clusters.node, func(name string, v value) {
		if !clusterName.MatchString(name) {
			l.bad(v.line, v.key, "cannot be a cluster's name", "use up to 32 lower-case letters, digits and dashes")
			return
		}
		one := l.config.Kube
		one.Instance = "" // it is the name by which a cluster's Jobs are told from others
		if !null(v.node) {
			l.mapping(v.key, v.node, clusterSettings(func(*Config) *kubeconf.Config { return &one }))
		}
		if l.config.Clusters == nil {
			l.config.Clusters = map[string]kubeconf.Config{}
		}
		l.config.Clusters[name] = one
	})
}

func fraction(p *float32) setter {
	return func(_ *loader, v value) error {
		s, err := scalar(v)
		if err != nil {
			return err
		}
		n, err := strconv.ParseFloat(s, 32)
		if err != nil || n < 0 || math.IsInf(n, 0) || math.IsNaN(n) {
			return fmt.Errorf("%.40q is not a number of at least 0", s)
		}
		*p = float32(n)
		return nil
	}
}

func flag(p *bool) setter {
	return func(_ *loader, v value) error {
		s, err := scalar(v)
		if err != nil {
			return err
		}
		switch s {
		case "true":
			*p = true
		case "false":
			*p = false
		default:
			return fmt.Errorf("%.40q is neither true nor false", s)
		}
		return nil
	}
}

// forever is how long something is kept that is not deleted by itself.
const forever = "forever"

// keeping reads how long something is kept.
func keeping(p *time.Duration) setter {
	return func(l *loader, v value) error {
		if v.node.Kind == yaml.ScalarNode && v.node.Value == forever {
			*p = -1
			return nil
		}
		if err := duration(p)(l, v); err != nil {
			return fmt.Errorf("%w; or %s", err, forever)
		}
		return nil
	}
}

// tolerations reads what the cluster calls so, in its own words.
func tolerations(p *[]corev1.Toleration) setter {
	return func(_ *loader, v value) error {
		var plain any
		if err := v.node.Decode(&plain); err != nil {
			return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
		}
		b, err := json.Marshal(plain)
		if err != nil {
			return errors.New("is not a list of tolerations")
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		var list []corev1.Toleration
		if err := d.Decode(&list); err != nil {
			return fmt.Errorf("is not a list of tolerations: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
		*p = list
		return nil
	}
}
