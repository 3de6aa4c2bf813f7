package local

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local/nursery"
)

// basics are the variables of the master that every attempt gets, with what they are where the master has none. An empty
// default leaves the variable out.
var basics = []struct{ name, value string }{
	{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	{"HOME", "/"},
	{"USER", ""},
	{"LOGNAME", ""},
	{"LANG", "C.UTF-8"},
	{"LC_ALL", ""},
	{"TZ", ""},
}

// environment is an ordered set of variables; setting one again replaces it.
type environment struct {
	list  []string
	index map[string]int
	// known are the variables that the plan can refer to with $(NAME), as in a container: its own, and those of the attempt.
	known map[string]string
}

func (e *environment) set(v string) {
	name := envName(v)
	if i, ok := e.index[name]; ok {
		e.list[i] = v
		return
	}
	if e.index == nil {
		e.index = map[string]int{}
	}
	e.index[name] = len(e.list)
	e.list = append(e.list, v)
}

func (e *environment) get(name string) string {
	if i, ok := e.index[name]; ok {
		return e.list[i][len(name)+1:]
	}
	return ""
}

// bytes is the environment as it goes over the wire.
func (e *environment) bytes() [][]byte {
	all := make([][]byte, len(e.list))
	for i, v := range e.list {
		all[i] = []byte(v)
	}
	return all
}

func envName(v string) string {
	name, _, _ := strings.Cut(v, "=")
	return name
}

func validEnv(v string) bool {
	name, _, ok := strings.Cut(v, "=")
	return ok && name != "" && !strings.ContainsRune(v, 0)
}

// base is the part of the environment that is the same for every attempt.
func (c Config) base() *environment {
	master := &environment{}
	for _, v := range c.BaseEnv {
		if validEnv(v) {
			master.set(v)
		}
	}
	e := &environment{}
	for _, b := range basics {
		value := master.get(b.name)
		if value == "" {
			value = b.value
		}
		if value != "" {
			e.set(b.name + "=" + value)
		}
	}
	for _, name := range c.PassEnv {
		if _, ok := master.index[name]; ok {
			e.set(name + "=" + master.get(name))
		}
	}
	for _, v := range c.Env {
		e.set(v)
	}
	return e
}

// environ is the whole environment of an attempt whose directory is dir. It holds secrets.
func (e *Executor) environ(a executors.Attempt, dir string) (*environment, error) {
	env := &environment{list: slices.Clone(e.base.list), index: maps.Clone(e.base.index)}
	env.set("TMPDIR=" + nursery.TmpDir(dir))
	var errs []error
	ours := map[string]bool{}
	env.known = map[string]string{}
	for _, v := range executors.Env(a) {
		name, value, _ := strings.Cut(v, "=")
		ours[name], env.known[name] = true, value
	}
	for _, v := range a.Spec.Env {
		value, ok, err := e.value(v)
		if v.SecretName == "" && v.ConfigMap == "" && !a.Spec.Shell {
			value = expand(value, env.known)
		}
		if err == nil && ok && !validEnv(v.Name+"="+value) {
			err = errors.New("neither a name nor a value of the environment may hold a NUL, nor a name be empty")
		}
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("environment variable %q: %w", v.Name, err))
		case ok:
			env.set(v.Name + "=" + value)
			if !ours[v.Name] {
				env.known[v.Name] = value
			}
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", executors.ErrNever, errors.Join(errs...))
	}
	env.set(nursery.EnvDir + "=" + dir)
	for _, v := range executors.Env(a) {
		env.set(v)
	}
	return env, nil
}

// value is what a variable of the plan is set to; false if it is optional and there is none. Errors name the secret, never
// its value.
func (e *Executor) value(v dag.EnvVar) (string, bool, error) {
	var kind, option, dir, name, key string
	switch {
	case v.SecretName != "":
		kind, option, dir, name, key = "secret", "secrets", e.cfg.SecretsDir, v.SecretName, v.SecretKey
	case v.ConfigMap != "":
		kind, option, dir, name, key = "configuration map", "configuration", e.cfg.ConfigDir, v.ConfigMap, v.ConfigKey
	default:
		return v.Value, true, nil
	}
	if !filepath.IsLocal(name) || !filepath.IsLocal(key) || strings.ContainsRune(name+key, '/') {
		return "", false, fmt.Errorf("%s %q, key %q: not a name", kind, name, key)
	}
	if dir == "" {
		if v.Optional {
			return "", false, nil
		}
		return "", false, fmt.Errorf("%s %q, key %q: the local executor has no %s directory configured", kind, name, key, option)
	}
	b, err := os.ReadFile(filepath.Join(dir, name, key))
	switch {
	case errors.Is(err, fs.ErrNotExist) && v.Optional:
		return "", false, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", false, fmt.Errorf("%s %q has no key %q: no file %s", kind, name, key, filepath.Join(dir, name, key))
	case err != nil:
		return "", false, fmt.Errorf("cannot read %s %q, key %q: %w", kind, name, key, err)
	}
	return strings.TrimSuffix(string(b), "\n"), true, nil
}
