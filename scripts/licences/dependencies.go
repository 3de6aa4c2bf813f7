package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// A dependency is a package of another module that the project compiles.
type dependency struct {
	Dir     string // the package's folder
	Root    string // its module's folder
	Module  string // its module's path
	Version string
}

// dependencies lists the packages of other modules that the named packages and their tests need, directly or not.
func dependencies(ctx context.Context, tags string, packages []string) ([]dependency, error) {
	args := append([]string{"list", "-deps", "-test", "-tags", tags, "-json=Dir,Standard,Module", "--"}, packages...)
	list := exec.CommandContext(ctx, "go", args...)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the dependencies: %w", err)
	}
	return decode(bytes.NewReader(out))
}

// decode reads what `go list -json` printed: one object after the other.
func decode(stream io.Reader) ([]dependency, error) {
	var deps []dependency
	decoder := json.NewDecoder(stream)
	for {
		var pkg struct {
			Dir      string
			Standard bool
			Module   *struct {
				Path, Version, Dir string
				Main               bool
				Replace            *struct{ Path, Version, Dir string }
			}
		}
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return deps, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the list of dependencies: %w", err)
		}
		// The main programs of tests that go list makes up have no module.
		if pkg.Standard || pkg.Module == nil || pkg.Module.Main {
			continue
		}
		dep := dependency{Dir: pkg.Dir, Root: pkg.Module.Dir, Module: pkg.Module.Path, Version: pkg.Module.Version}
		if to := pkg.Module.Replace; to != nil {
			// Judged by what is compiled, not by the name that it has taken.
			dep.Root, dep.Module, dep.Version = to.Dir, to.Path, to.Version
		}
		deps = append(deps, dep)
	}
}
