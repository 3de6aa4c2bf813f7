package sparkapp

import (
	"maps"
	"slices"
	"strings"
)

// known reports whether none of the values at these places is open.
func (d *decoder) known(places ...string) bool {
	for _, p := range places {
		if d.unknown[p] {
			return false
		}
	}
	return true
}

func at(keys ...string) []Step {
	steps := make([]Step, 0, len(keys))
	for _, k := range keys {
		steps = append(steps, Step{Key: k})
	}
	return steps
}

// rules checks what follows from several fields together.
func (d *decoder) rules(a *App) {
	d.program(a)
	d.sizes(a)
	d.numbers(a)
	for _, list := range []struct {
		name  string
		items []string
		parts []int // how many parts between colons an item has
	}{
		{"packages", a.Packages, []int{3}},
		{"excludePackages", a.ExcludePackages, []int{2}},
	} {
		for i, coordinate := range list.items {
			if coordinate != "" && !slices.Contains(list.parts, len(strings.Split(coordinate, ":"))) {
				d.add(item(at(list.name), i), "type", "\""+coordinate+"\" is no Maven coordinate", "write "+strings.Repeat("part:", list.parts[0]-1)+"part, as in group:artifact"+
					strings.Repeat(":version", list.parts[0]-2))
			}
		}
	}
	set := a.set()
	for _, key := range slices.Sorted(maps.Keys(a.Conf)) {
		if f := fieldOf()[key]; f != "" && set[f] {
			d.add(at("conf", key), "twice", key+" is what "+f+" stands for, and both are set", "keep one of them")
		}
	}
}

// set are the fields that are set, by the names that fieldOf gives them.
func (a *App) set() map[string]bool {
	dyn := a.Dynamic
	if dyn == nil {
		dyn = &Dynamic{}
	}
	return map[string]bool{
		"name": a.Name != "", "jars": a.Jars != nil, "pyFiles": a.PyFiles != nil, "files": a.Files != nil, "archives": a.Archives != nil,
		"packages": a.Packages != nil, "excludePackages": a.ExcludePackages != nil, "repositories": a.Repositories != nil,
		"driver.cores": a.Driver.Cores > 0, "driver.memory": a.Driver.Memory > 0, "driver.overhead": a.Driver.Overhead > 0,
		"driver.coreRequest": a.Driver.CoreRequest != "", "driver.coreLimit": a.Driver.CoreLimit != "",
		"executor.cores": a.Executor.Cores > 0, "executor.memory": a.Executor.Memory > 0, "executor.overhead": a.Executor.Overhead > 0,
		"executor.instances": a.Executor.Instances > 0, "executor.coreRequest": a.Executor.CoreRequest != "",
		"executor.coreLimit": a.Executor.CoreLimit != "", "dynamicAllocation.enabled": a.Dynamic != nil,
		"dynamicAllocation.initial": dyn.Initial > 0, "dynamicAllocation.min": dyn.Min > 0, "dynamicAllocation.max": dyn.Max > 0,
		"image": a.Image != "", "pullPolicy": a.PullPolicy != "", "serviceAccount": a.ServiceAccount != "",
	}
}

func (d *decoder) program(a *App) {
	switch {
	case !d.known("mainApplicationFile"):
	case a.File == "":
		d.add(nil, "missing", "the application has no mainApplicationFile", "name the jar or the Python file that is run")
	case a.Python() || a.R():
		if a.MainClass != "" {
			d.add(at("mainClass"), "twice", "a Python or R program has no main class", "remove it, or name a jar")
		}
	case a.MainClass == "" && d.known("mainClass"):
		d.add(nil, "missing", "the application has no mainClass", "name the class whose main is to run")
	}
	if c := a.MainClass; c != "" && strings.ContainsAny(c, " \t\n/") {
		d.add(at("mainClass"), "type", "\""+c+"\" is no name of a class", "write it as org.example.Main")
	}
	if strings.HasPrefix(a.File, "-") {
		d.add(at("mainApplicationFile"), "type", "\""+a.File+"\" is no file", "")
	}
}

// sizes checks heaps against what Spark needs for itself.
func (d *decoder) sizes(a *App) {
	if a.Conf["spark.testing.reservedMemory"] != "" || a.Conf["spark.testing.memory"] != "" {
		return
	}
	for _, r := range []struct {
		who    string
		memory MiB
	}{{"driver", a.Driver.Memory}, {"executor", a.Executor.Memory}} {
		if r.memory > 0 && r.memory < MinHeap {
			d.add(at(r.who, "memory"), "range", r.memory.String()+" is less than Spark starts with", "give it at least "+MinHeap.String()+"; 512m is usual for small ones")
		}
	}
}

func (d *decoder) numbers(a *App) {
	dyn := a.Dynamic
	if dyn == nil {
		return
	}
	if dyn.Max > 0 && dyn.Min > dyn.Max && d.known("dynamicAllocation.min", "dynamicAllocation.max") {
		d.add(at("dynamicAllocation", "min"), "range", "min is greater than max", "")
	}
	if dyn.Max > 0 && dyn.Initial > dyn.Max && d.known("dynamicAllocation.initial", "dynamicAllocation.max") {
		d.add(at("dynamicAllocation", "initial"), "range", "initial is greater than max", "")
	}
	if dyn.Initial > 0 && dyn.Initial < dyn.Min {
		d.add(at("dynamicAllocation", "initial"), "range", "initial is less than min", "")
	}
}
