package master

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/clic-orchestrator/clic/dag"
)

// settings are all keys of a configuration file, the old master's among them.
func settings() map[string]setting {
	all := map[string]setting{
		"listen": {set: func(l *loader, v value) error {
			l.hasListen = true
			return text(&l.config.Listen)(l, v)
		}},
		"advertise":    {set: with(func(c *Config) *string { return &c.Advertise }, text)},
		"data-dir":     {set: with(func(c *Config) *string { return &c.DataDir }, text)},
		"store":        {set: with(func(c *Config) *string { return &c.Store }, text)},
		"peer-address": {set: with(func(c *Config) *string { return &c.PeerAddress }, text)},
		"lease":        {set: with(func(c *Config) *time.Duration { return &c.Lease }, duration)},
		"http":         {set: with(func(c *Config) *string { return &c.HTTP }, text)},
		"time-zone":    {set: with(func(c *Config) *string { return &c.TimeZone }, text)},
		"plan-dirs":    {set: with(func(c *Config) *[]string { return &c.PlanDirs }, texts)},
		"result-dirs":  {set: with(func(c *Config) *[]string { return &c.ResultDirs }, texts)},
		"hdfs":         {group: hdfsSettings()},
		"uploads": {group: map[string]setting{
			"dir":         {set: with(func(c *Config) *string { return &c.Uploads.Dir }, text)},
			"max-size":    {set: with(func(c *Config) *int64 { return &c.Uploads.MaxSize }, size)},
			"keep-unused": {set: with(func(c *Config) *time.Duration { return &c.Uploads.Unused }, duration)},
		}},
		"retain":         {set: with(func(c *Config) *time.Duration { return &c.Retain }, duration)},
		"delete-outputs": {set: with(func(c *Config) *bool { return &c.DeleteOutputs }, flag)},
		"stop-timeout":   {set: with(func(c *Config) *time.Duration { return &c.StopTimeout }, duration)},
		"log": {group: map[string]setting{
			"format": {set: with(func(c *Config) *string { return &c.LogFormat }, text)},
			"level":  {set: with(func(c *Config) *string { return &c.LogLevel }, text)},
		}},
		"executors":      {set: with(func(c *Config) *map[string]string { return &c.Executors }, entries(text))},
		"executor-label": {set: with(func(c *Config) *string { return &c.ExecutorLabel }, text)},
		"plan-executors": {set: with(func(c *Config) *[]string { return &c.PlanExecutors }, texts)},
		"callbacks":      {set: with(func(c *Config) *map[string]dag.Callbacks { return &c.Callbacks }, entries(callbacks))},
		"slots": {group: map[string]setting{
			"global":   {set: with(func(c *Config) *int { return &c.Slots.Global }, number)},
			"task":     {set: with(func(c *Config) *int { return &c.Slots.Task }, number)},
			"executor": {set: with(func(c *Config) *map[string]int { return &c.Slots.Executor }, entries(number[int]))},
			"platform": {set: with(func(c *Config) *map[string]int { return &c.Slots.Platform }, entries(number[int]))},
		}},
		"redis":  {group: redisSettings()},
		"limits": {group: limitSettings()},
		"local":  {group: localSettings()},
		"kube":   {group: kubeGroup()},
		"spark":  {group: sparkSettings()},
	}
	for key, s := range oldKeys() {
		all[key] = s
	}
	return all
}

func redisSettings() map[string]setting {
	return map[string]setting{
		"password":         {set: with(func(c *Config) *string { return &c.Redis.Password }, text)},
		"password-file":    {set: with(func(c *Config) *string { return &c.Redis.PasswordFile }, text)},
		"task-key-prefix":  {set: with(func(c *Config) *string { return &c.Redis.TaskPrefix }, text)},
		"stage-key-prefix": {set: with(func(c *Config) *string { return &c.Redis.StagePrefix }, text)},
		"key-prefix":       {set: with(func(c *Config) *string { return &c.Redis.KeyPrefix }, text)},
		"history":          {set: with(func(c *Config) *int { return &c.Redis.History }, number)},
	}
}

func hdfsSettings() map[string]setting {
	str := func(f func(*HDFSConfig) *string) setting {
		return setting{set: with(func(c *Config) *string { return f(&c.HDFS) }, text)}
	}
	return map[string]setting{
		"conf-dir":          str(func(h *HDFSConfig) *string { return &h.ConfDir }),
		"name":              str(func(h *HDFSConfig) *string { return &h.Name }),
		"namenodes":         {set: with(func(c *Config) *[]string { return &c.HDFS.Namenodes }, texts)},
		"http":              {set: with(func(c *Config) *[]string { return &c.HDFS.HTTP }, texts)},
		"user":              str(func(h *HDFSConfig) *string { return &h.User }),
		"principal":         str(func(h *HDFSConfig) *string { return &h.Principal }),
		"keytab":            str(func(h *HDFSConfig) *string { return &h.Keytab }),
		"ticket-cache":      str(func(h *HDFSConfig) *string { return &h.Cache }),
		"krb5-conf":         str(func(h *HDFSConfig) *string { return &h.Krb5 }),
		"service-principal": str(func(h *HDFSConfig) *string { return &h.Service }),
		"timeout":           {set: with(func(c *Config) *time.Duration { return &c.HDFS.Timeout }, duration)},
		"data-timeout":      {set: with(func(c *Config) *time.Duration { return &c.HDFS.DataTimeout }, duration)},
		"retry":             {set: with(func(c *Config) *time.Duration { return &c.HDFS.Retry }, duration)},
		"replication":       {set: with(func(c *Config) *int { return &c.HDFS.Replication }, number)},
		"block-size":        {set: with(func(c *Config) *int64 { return &c.HDFS.BlockSize }, size)},
		"protection":        str(func(h *HDFSConfig) *string { return &h.Protection }),
		"datanode-hostnames": {set: func(l *loader, v value) error {
			l.config.HDFS.DatanodeHostnames = new(bool)
			return flag(l.config.HDFS.DatanodeHostnames)(l, v)
		}},
	}
}

func limitSettings() map[string]setting {
	return map[string]setting{
		"connections":   {set: with(func(c *Config) *int { return &c.Limits.Connections }, number)},
		"message-size":  {set: with(func(c *Config) *int { return &c.Limits.MessageBytes }, size)},
		"heavy-calls":   {set: with(func(c *Config) *int { return &c.Limits.HeavyCalls }, number)},
		"list-elements": {set: with(func(c *Config) *int { return &c.Limits.Elements }, number)},
		"idle":          {set: with(func(c *Config) *time.Duration { return &c.Limits.Idle }, duration)},
		"receive":       {set: with(func(c *Config) *time.Duration { return &c.Limits.Receive }, duration)},
		"send":          {set: with(func(c *Config) *time.Duration { return &c.Limits.Send }, duration)},
		"handle":        {set: with(func(c *Config) *time.Duration { return &c.Limits.Handle }, duration)},
		"plan-nodes":    {set: with(func(c *Config) *int32 { return &c.PlanLimits.Nodes }, number)},
		"plan-depth":    {set: with(func(c *Config) *int32 { return &c.PlanLimits.Depth }, number)},
	}
}

func localSettings() map[string]setting {
	return map[string]setting{
		"secrets-dir": {set: with(func(c *Config) *string { return &c.Local.SecretsDir }, text)},
		"config-dir":  {set: with(func(c *Config) *string { return &c.Local.ConfigDir }, text)},
		"env":         {set: with(func(c *Config) *[]string { return &c.Local.Env }, texts)},
		"pass-env":    {set: with(func(c *Config) *[]string { return &c.Local.PassEnv }, texts)},
		"log-size":    {set: with(func(c *Config) *int64 { return &c.Local.LogLimit }, size)},
		"result-size": {set: with(func(c *Config) *int64 { return &c.Local.ResultLimit }, size)},
		"output-size": {set: with(func(c *Config) *int64 { return &c.Local.OutputLimit }, size)},
		"grace":       {set: with(func(c *Config) *time.Duration { return &c.Local.Grace }, duration)},
		"linger":      {set: with(func(c *Config) *time.Duration { return &c.Local.Linger }, duration)},
	}
}

// setter reads a value into a field.
type setter func(l *loader, v value) error

// with makes the setter of a field.
func with[T any](field func(*Config) *T, kind func(*T) setter) func(l *loader, v value) error {
	return func(l *loader, v value) error { return kind(field(l.config))(l, v) }
}

// scalar is the text of a single value.
func scalar(v value) (string, error) {
	if v.node.Kind != yaml.ScalarNode {
		return "", errors.New("is " + kindOf(v.node) + ", should be a single value")
	}
	return v.node.Value, nil
}

func text(p *string) setter {
	return func(_ *loader, v value) error {
		s, err := scalar(v)
		if err == nil {
			*p = s
		}
		return err
	}
}

func texts(p *[]string) setter {
	return func(_ *loader, v value) error {
		if v.node.Kind != yaml.SequenceNode {
			return errors.New("is " + kindOf(v.node) + ", should be a list")
		}
		list := []string{}
		for _, n := range v.node.Content {
			n = resolved(n)
			if n.Kind != yaml.ScalarNode {
				return errors.New("holds " + kindOf(n) + ", should hold single values")
			}
			list = append(list, n.Value)
		}
		*p = list
		return nil
	}
}

func number[T int | int32 | int64](p *T) setter {
	return func(_ *loader, v value) error {
		s, err := scalar(v)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return fmt.Errorf("%.40q is not a number", s)
		}
		*p = T(n)
		return nil
	}
}

// sizeUnits are what may follow the number of a size.
var sizeUnits = [...]struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
	{"", 1},
}

// size reads a number of bytes, such as 64MiB.
func size[T int | int64](p *T) setter {
	return func(_ *loader, v value) error {
		s, err := scalar(v)
		if err != nil {
			return err
		}
		for _, u := range sizeUnits {
			digits, ok := strings.CutSuffix(s, u.name)
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
			if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
				break
			}
			*p = T(n * u.bytes)
			return nil
		}
		return fmt.Errorf("%.40q is not a size, such as 64MiB", s)
	}
}

// duration reads a time such as 30s, 5m, 12h or 30d.
func duration(p *time.Duration) setter {
	return func(_ *loader, v value) error {
		s, err := scalar(v)
		if err != nil {
			return err
		}
		if days, ok := strings.CutSuffix(s, "d"); ok {
			n, err := strconv.ParseInt(days, 10, 64)
			if err == nil && n >= 0 && n <= math.MaxInt64/int64(24*time.Hour) {
				*p = time.Duration(n) * 24 * time.Hour
				return nil
			}
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return fmt.Errorf("%.40q is not a time, such as 30s, 5m, 12h or 30d", s)
		}
		*p = d
		return nil
	}
}

func callbacks(p *dag.Callbacks) setter {
	return func(_ *loader, v value) error {
		s, err := scalar(v)
		if err != nil {
			return err
		}
		switch s {
		case "optional":
			*p = dag.CallbacksOptional
		case "required":
			*p = dag.CallbacksRequired
		default:
			return fmt.Errorf("%.40q is unknown (optional or required)", s)
		}
		return nil
	}
}

// entries reads a mapping of free names to values of one kind.
func entries[T any](kind func(*T) setter) func(*map[string]T) setter {
	return func(p *map[string]T) setter {
		return func(l *loader, v value) error {
			if v.node.Kind != yaml.MappingNode {
				return errors.New("is " + kindOf(v.node) + ", should be a mapping (name: value)")
			}
			m := make(map[string]T)
			l.each(v.key, v.node, func(name string, v value) {
				var one T
				if err := kind(&one)(l, v); err != nil {
					l.bad(v.line, v.key, err.Error(), "")
					return
				}
				m[name] = one
			})
			*p = m
			return nil
		}
	}
}
