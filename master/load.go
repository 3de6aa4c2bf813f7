package master

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxConfig is the size from which a file is not a configuration.
const maxConfig = 1 << 20

// ConfigError is something that is wrong in a configuration file.
type ConfigError struct {
	File string
	// File is "" where the setting stands in none. Line counts from 1; 0 where it is about the whole file.
	Line int
	// Key is the setting, such as slots.executor; Message says what is wrong, Hint what to do, or "".
	Key, Message, Hint string
}

// Error is file:line: key: message (hint).
func (e *ConfigError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// LoadFile reads a configuration file into c; see Load.
func (c *Config) LoadFile(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("cannot read configuration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return fmt.Errorf("cannot read configuration %q: %w", file, err)
	}
	return c.Load(file, b)
}

// Load reads a configuration into c: YAML, or the old master's properties (key=value lines). Settings that it does not
// mention stay as they are. Unknown settings are errors. The error joins a *ConfigError for everything that is wrong; c is
// then partly changed.
func (c *Config) Load(file string, b []byte) error {
	if len(b) > maxConfig {
		return &ConfigError{File: file, Message: fmt.Sprintf("is larger than %d bytes", maxConfig)}
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return &ConfigError{File: file, Message: "is not a text file"}
	}
	l := &loader{file: file, config: c}
	if properties(b) {
		l.loadProperties(b)
	} else {
		l.loadYAML(b)
	}
	l.finish()
	return errors.Join(l.errs...)
}

// loader is one Load.
type loader struct {
	file   string
	config *Config
	errs   []error
	old    oldSettings
	// hasListen is set where the file itself says where to listen.
	hasListen bool
	// clusters is what the file says of clusters that have names.
	clusters *value
}

// place is where a setting stands.
type place struct {
	file string
	line int
}

// wrong is a ConfigError about a setting, with the place where it stands, or else that of the group around it.
func (c Config) wrong(key, hint, format string, args ...any) error {
	e := &ConfigError{Key: key, Message: fmt.Errorf(format, args...).Error(), Hint: hint}
	for at := key; ; {
		if p, ok := c.places[at]; ok {
			e.File, e.Line = p.file, p.line
			return e
		}
		dot := strings.LastIndexByte(at, '.')
		if dot < 0 {
			return e
		}
		at = at[:dot]
	}
}

func (l *loader) bad(line int, key, message, hint string) {
	l.errs = append(l.errs, &ConfigError{File: l.file, Line: line, Key: key, Message: message, Hint: hint})
}

// note remembers where a setting stands.
func (l *loader) note(key string, line int) {
	if l.config.places == nil {
		l.config.places = map[string]place{}
	}
	l.config.places[key] = place{l.file, line}
}

func (l *loader) loadYAML(b []byte) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	err := d.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		l.bad(0, "", strings.TrimPrefix(err.Error(), "yaml: "), "")
		return
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		l.bad(0, "", "holds more than one document", "")
	}
	if len(doc.Content) == 1 && !null(doc.Content[0]) {
		l.mapping("", doc.Content[0], settings())
	}
}

// setting is a key of the configuration: a value that set takes, or a group of settings.
type setting struct {
	set   func(l *loader, v value) error
	group map[string]setting
}

// value is what stands behind a key.
type value struct {
	node *yaml.Node
	line int
	key  string
}

// mapping reads a mapping whose keys are known.
func (l *loader) mapping(prefix string, node *yaml.Node, known map[string]setting) {
	l.each(prefix, node, func(name string, v value) {
		s, ok := known[name]
		switch {
		case !ok:
			l.bad(v.line, v.key, "unknown setting", suggest(name, known))
		case null(v.node):
			// As if it were not there.
		case s.group != nil:
			l.mapping(v.key, v.node, s.group)
		default:
			if err := s.set(l, v); err != nil {
				l.bad(v.line, v.key, err.Error(), "")
			}
		}
	})
}

// each gives every entry of a mapping to f.
func (l *loader) each(prefix string, node *yaml.Node, f func(name string, v value)) {
	node = resolved(node)
	if node.Kind != yaml.MappingNode {
		what := prefix
		l.bad(node.Line, what, "is "+kindOf(node)+", should be a list of settings (key: value)", "")
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(node.Content); i += 2 {
		k, v := resolved(node.Content[i]), resolved(node.Content[i+1])
		if k.Kind != yaml.ScalarNode {
			l.bad(k.Line, prefix, "a key is "+kindOf(k), "")
			continue
		}
		key := k.Value
		if prefix != "" {
			key = prefix + "." + k.Value
		}
		if first, twice := seen[k.Value]; twice {
			l.bad(k.Line, key, fmt.Sprintf("is set twice, first in line %d", first), "")
			continue
		}
		seen[k.Value] = k.Line
		l.note(key, k.Line)
		f(k.Value, value{node: v, line: k.Line, key: key})
	}
}

// resolved follows an alias.
func resolved(n *yaml.Node) *yaml.Node {
	// An alias names an anchor, which is never an alias itself.
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func null(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return fmt.Sprintf("a single value (%.40q)", n.Value)
	}
	return "nothing that is known"
}

// suggest names the known setting that is most like an unknown one.
func suggest(name string, known map[string]setting) string {
	best, least := "", 1+len(name)/3
	for k := range known {
		if d := distance(name, k); d < least || d == least && best != "" && k < best {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance is the number of letters to insert, remove, change or swap with their neighbour between a and b.
func distance(a, b string) int {
	const most = 64
	if len(a) > most || len(b) > most {
		return max(len(a), len(b))
	}
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now := make([]int, len(b)+1)
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last = last, now
	}
	return last[len(b)]
}
