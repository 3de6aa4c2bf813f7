package sparkapp

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Decode reads the description of an application in JSON. Everything that is wrong is said, in the order of the fields' names; an App
// that comes with problems is not to be used.
func Decode(raw []byte) (App, []Problem) { return decode(raw, nil) }

// Check is Decode for a description whose tags were not replaced yet: a text of which open says so can become anything, and is right
// wherever a text, a number or a truth value is.
func Check(raw []byte, open func(text string) bool) []Problem {
	_, ps := decode(raw, open)
	return ps
}

func decode(raw []byte, open func(string) bool) (App, []Problem) {
	d := &decoder{open: open}
	var a App
	if !d.object(raw, nil, d.fields(&a)) {
		return a, d.problems
	}
	d.rules(&a)
	return a, d.problems
}

// decoder collects problems. Texts that are open stand for a value that is not known.
type decoder struct {
	open     func(string) bool
	problems []Problem
	// unknown are the fields, by their place, whose value is open or was wrong: no rule can be checked with them.
	unknown map[string]bool
}

// field reads one field of an object.
type field func(raw json.RawMessage, at []Step)

func (d *decoder) add(at []Step, rule, message, hint string) {
	d.problems = append(d.problems, Problem{Path: slices.Clone(at), Rule: rule, Message: message, Hint: hint})
}

// mark notes that the value at a place is not known.
func (d *decoder) mark(at []Step) {
	if d.unknown == nil {
		d.unknown = map[string]bool{}
	}
	d.unknown[(&Problem{Path: at}).Where()] = true
}

func under(at []Step, key string) []Step { return append(slices.Clip(at), Step{Key: key}) }

func item(at []Step, i int) []Step { return append(slices.Clip(at), Step{Index: i}) }

// object reads an object whose fields are known. It reports whether it was one.
func (d *decoder) object(raw json.RawMessage, at []Step, fields map[string]field) bool {
	var values map[string]json.RawMessage
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) || json.Unmarshal(raw, &values) != nil {
		d.add(at, "type", "this must be a map of fields", "")
		d.mark(at)
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		here := under(at, name)
		read, ok := fields[name]
		if !ok {
			p := Problem{Path: here, Rule: "unknown-field", Message: "Spark applications have no field " + strconv.Quote(name), Name: name}
			if p.Hint = otherNames()[name]; p.Hint == "" {
				p.Known = slices.Sorted(maps.Keys(fields))
			}
			d.problems = append(d.problems, p)
			continue
		}
		if !bytes.Equal(bytes.TrimSpace(values[name]), []byte("null")) {
			read(values[name], here)
		}
	}
	return true
}

// otherNames are what people know fields by from elsewhere.
func otherNames() map[string]string {
	const file = "use mainApplicationFile"
	return map[string]string{
		"application": file, "applicationFile": file, "file": file, "jar": file, "pythonFile": file, "mainFile": file, "py": file,
		"sparkConf": "use conf", "args": "use arguments", "class": "use mainClass", "main": "use mainClass",
		"appName": "use name", "executors": "use executor.instances", "numExecutors": "use executor.instances",
		"deps": "use jars, pyFiles, files and packages", "imagePullPolicy": "use pullPolicy",
		"master":      "the master's configuration decides where applications run",
		"deployMode":  "the master's configuration decides how applications run",
		"mode":        "the master's configuration decides how applications run",
		"driverCores": "use driver.cores", "driverMemory": "use driver.memory", "executorCores": "use executor.cores",
		"executorMemory": "use executor.memory", "memoryOverhead": "use overhead",
		"restartPolicy": "use the template's retryStrategy", "initialExecutors": "use initial", "minExecutors": "use min", "maxExecutors": "use max",
	}
}

func (d *decoder) fields(a *App) map[string]field {
	return map[string]field{
		"name":                d.text(&a.Name),
		"mainClass":           d.text(&a.MainClass),
		"mainApplicationFile": d.text(&a.File),
		"arguments":           d.texts(&a.Arguments),
		"conf":                d.conf(&a.Conf),
		"jars":                d.list(&a.Jars),
		"pyFiles":             d.list(&a.PyFiles),
		"files":               d.list(&a.Files),
		"archives":            d.list(&a.Archives),
		"packages":            d.list(&a.Packages),
		"excludePackages":     d.list(&a.ExcludePackages),
		"repositories":        d.list(&a.Repositories),
		"driver": func(raw json.RawMessage, at []Step) {
			d.object(raw, at, d.resources(&a.Driver.Resources))
		},
		"executor": func(raw json.RawMessage, at []Step) {
			fields := d.resources(&a.Executor.Resources)
			fields["instances"] = d.number(&a.Executor.Instances, 1)
			d.object(raw, at, fields)
		},
		"dynamicAllocation": func(raw json.RawMessage, at []Step) { d.dynamic(raw, at, a) },
		"image":             d.text(&a.Image),
		"pullPolicy":        d.choice(&a.PullPolicy, "Always", "IfNotPresent", "Never"),
		"serviceAccount":    d.text(&a.ServiceAccount),
		"sparkVersion":      d.text(&a.SparkVersion),
	}
}

func (d *decoder) resources(r *Resources) map[string]field {
	return map[string]field{
		"cores":       d.number(&r.Cores, 1),
		"memory":      d.memory(&r.Memory),
		"overhead":    d.memory(&r.Overhead),
		"coreRequest": d.quantity(&r.CoreRequest),
		"coreLimit":   d.quantity(&r.CoreLimit),
	}
}

func (d *decoder) dynamic(raw json.RawMessage, at []Step, a *App) {
	enabled := true
	var dyn Dynamic
	ok := d.object(raw, at, map[string]field{
		"enabled": d.truth(&enabled),
		"initial": d.number(&dyn.Initial, 0),
		"min":     d.number(&dyn.Min, 0),
		"max":     d.number(&dyn.Max, 1),
	})
	if ok && enabled {
		a.Dynamic = &dyn
	}
}

// scalar is a text, a number or a truth value as a text. The second result is false if it is none of them, the third if it is not known.
func (d *decoder) scalar(raw json.RawMessage, at []Step, want string) (string, bool) {
	raw = bytes.TrimSpace(raw)
	text := string(raw)
	if len(raw) > 0 && raw[0] == '"' {
		if json.Unmarshal(raw, &text) != nil {
			text = ""
		}
		if d.open != nil && d.open(text) {
			d.mark(at)
			return "", false
		}
	}
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' {
		d.add(at, "type", "this must be "+want, "")
		d.mark(at)
		return "", false
	}
	if strings.ContainsRune(text, 0) {
		d.add(at, "type", "this holds a NUL, which no program can be given", "")
		d.mark(at)
		return "", false
	}
	return text, true
}

func (d *decoder) text(to *string) field {
	return func(raw json.RawMessage, at []Step) {
		if s, ok := d.scalar(raw, at, "a text"); ok {
			*to = s
		}
	}
}

func (d *decoder) choice(to *string, known ...string) field {
	return func(raw json.RawMessage, at []Step) {
		s, ok := d.scalar(raw, at, "a text")
		if ok && !slices.Contains(known, s) {
			d.problems = append(d.problems, Problem{
				Path: at, Rule: "enum", Message: "this cannot be " + strconv.Quote(s), Hint: "it can be " + strings.Join(known, ", "), Name: s, Known: known,
			})
			return
		}
		*to = s
	}
}

func (d *decoder) truth(to *bool) field {
	return func(raw json.RawMessage, at []Step) {
		s, ok := d.scalar(raw, at, "true or false")
		if !ok {
			return
		}
		if s != "true" && s != "false" {
			d.add(at, "type", "this must be true or false", "")
			return
		}
		*to = s == "true"
	}
}

func (d *decoder) number(to *int, least int) field {
	return func(raw json.RawMessage, at []Step) {
		s, ok := d.scalar(raw, at, "a whole number")
		if !ok {
			return
		}
		n, err := strconv.ParseInt(s, 10, 32)
		switch {
		case err != nil:
			d.add(at, "type", "this must be a whole number, not "+strconv.Quote(s), "")
			d.mark(at)
		case int(n) < least:
			d.add(at, "range", "this must be at least "+itoa(least)+", not "+s, "")
			d.mark(at)
		default:
			*to = int(n)
		}
	}
}

// memory reads a size that needs its unit: the JVM counts in bytes without one, and Spark in MiB.
func (d *decoder) memory(to *MiB) field {
	return func(raw json.RawMessage, at []Step) {
		s, ok := d.scalar(raw, at, "a size, such as 2g")
		if !ok {
			return
		}
		m, err := ParseMiB(s)
		switch {
		case err != nil:
			d.add(at, "range", err.Error(), sizeHint(s))
		case strings.Trim(strings.TrimSpace(s), "0123456789") == "":
			d.add(at, "range", strconv.Quote(s)+" is a size without a unit", "write "+strings.TrimSpace(s)+"m if that is MiB")
		case m == 0:
			d.add(at, "range", "this must be at least 1m, not "+s, "")
		default:
			*to = m
			return
		}
		d.mark(at)
	}
}

func sizeHint(s string) string {
	t := strings.TrimSpace(s)
	if u := strings.ToLower(t); strings.HasSuffix(u, "i") || strings.HasSuffix(u, "ib") {
		return "write " + strings.TrimSuffix(strings.TrimSuffix(u, "b"), "i") + ": Spark's units count in 1024s"
	}
	if strings.Contains(t, ".") {
		return "Spark knows no fractions: write 1536m for 1.5g"
	}
	return "write it as 512m or 2g"
}

// quantity reads a number of cores as Kubernetes does.
func (d *decoder) quantity(to *string) field {
	return func(raw json.RawMessage, at []Step) {
		s, ok := d.scalar(raw, at, "a number of cores, such as 500m")
		if !ok {
			return
		}
		if _, err := strconv.ParseFloat(strings.TrimSuffix(s, "m"), 64); err != nil || strings.Trim(s, "0123456789.m") != "" {
			d.add(at, "range", strconv.Quote(s)+" is no number of cores", "write it as 2, 0.5 or 500m")
			return
		}
		*to = s
	}
}

func (d *decoder) texts(to *[]string) field {
	return func(raw json.RawMessage, at []Step) {
		var values []json.RawMessage
		if json.Unmarshal(raw, &values) != nil {
			d.add(at, "type", "this must be a list", "")
			return
		}
		for i, v := range values {
			here := item(at, i)
			if bytes.Equal(bytes.TrimSpace(v), []byte("null")) {
				d.add(here, "type", "this must be a text", "")
				continue
			}
			if s, ok := d.scalar(v, here, "a text"); ok {
				*to = append(*to, s)
			}
		}
	}
}

// list reads texts that Spark joins with commas.
func (d *decoder) list(to *[]string) field {
	return func(raw json.RawMessage, at []Step) {
		before := len(*to)
		d.texts(to)(raw, at)
		for i, s := range (*to)[before:] {
			switch {
			case s == "":
				d.add(item(at, i), "missing", "this is empty", "")
			case strings.Contains(s, ","):
				d.add(item(at, i), "type", "there is a comma in it, and Spark takes that for several", "make them items of the list")
			}
		}
	}
}
