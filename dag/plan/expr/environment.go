package expr

import (
	"strings"
)

// environment is the nested map that an expression sees: {"steps": {"a": {"outputs": {"result": "x"}}}}. Only what the
// expression names is looked up; all of the scope's names are walked only if it uses a whole group.
func (e *Expression) environment(sc Scope) map[string]any {
	env := map[string]any{}
	whole := false
	for _, c := range e.refs {
		value, ok, n := longest(c.path, sc)
		if !ok || mayBeGroup(c.path[:n]) {
			whole = true
		}
		if ok {
			put(env, c.path[:n], value)
		}
	}
	if !whole {
		return env
	}
	roots := map[string]bool{}
	for _, c := range e.refs {
		roots[c.path[0]] = true
	}
	for _, name := range sc.Names() {
		root, _, _ := strings.Cut(name, ".")
		if !roots[root] {
			continue
		}
		if value, ok := sc.Lookup(name); ok {
			put(env, strings.Split(name, "."), value)
		}
	}
	return env
}

// longest looks up the longest beginning of a path that is a variable, and says how many segments it has.
func longest(path []string, sc Scope) (value string, ok bool, segments int) {
	name := strings.Join(path, ".")
	for n := len(path); n > 0; n-- {
		if value, ok := sc.Lookup(name); ok {
			return value, true, n
		}
		name = name[:max(0, len(name)-len(path[n-1])-1)]
	}
	return "", false, 0
}

// mayBeGroup says whether other variables may stand below a variable: Argo defines workflow.parameters, a list, beside
// workflow.parameters.x. In an expression the name then means the group.
func mayBeGroup(path []string) bool {
	switch path[len(path)-1] {
	case "parameters", "artifacts", "labels", "annotations", "outputs", "inputs", "item":
		return true
	case "creationTimestamp": // workflow.creationTimestamp.RFC3339 and so on
		return true
	}
	return false
}

// put sets a value in nested maps. A group wins over a value of the same name.
func put(env map[string]any, path []string, value string) {
	for _, segment := range path[:len(path)-1] {
		inner, ok := env[segment].(map[string]any)
		if !ok {
			inner = map[string]any{}
			env[segment] = inner
		}
		env = inner
	}
	last := path[len(path)-1]
	if _, isGroup := env[last].(map[string]any); !isGroup {
		env[last] = value
	}
}
