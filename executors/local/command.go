package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local/nursery"
)

// program is what is executed. refusal says why it cannot be, in the words in which Argo says it: such an attempt fails
// with exit status 64, as it would in a container.
type program struct {
	path    string
	argv    []string
	dir     string // "" is the attempt's own
	script  string
	refusal string
}

// programOf finds what an attempt executes, in the environment env and below the attempt's directory dir.
func programOf(a executors.Attempt, env *environment, dir string) (*program, error) {
	spec := a.Spec
	p := &program{}
	if err := p.enter(spec.WorkDir, dir); err != nil {
		return nil, err
	}
	switch {
	case spec.Shell:
		p.path, p.argv = "/bin/sh", []string{"/bin/sh", "-c", executors.ShellLine(a)}
		return p, nil
	case len(spec.Command) == 0:
		hint := ""
		if spec.Image != "" {
			hint = fmt.Sprintf(" (the entrypoint of image %s is not known here)", spec.Image)
		}
		return nil, fmt.Errorf("%w: template %q names no command, and the local executor uses no images%s; give the container a command",
			executors.ErrNever, spec.Template, hint)
	}
	p.argv = append(expandAll(spec.Command, env.known), expandAll(spec.Args, env.known)...)
	if spec.Script != "" {
		p.script = spec.Script
		p.argv = append(p.argv, nursery.ScriptFile(dir))
	}
	for _, arg := range p.argv {
		if strings.ContainsRune(arg, 0) {
			return nil, fmt.Errorf("%w: an argument of template %q holds a NUL", executors.ErrNever, spec.Template)
		}
	}
	base := p.dir
	if base == "" {
		base = nursery.WorkDir(dir)
	}
	path, err := lookPath(p.argv[0], env.get("PATH"), base)
	if err != nil {
		p.refusal = fmt.Sprintf("failed to find name in PATH: exec: %q: %v", p.argv[0], err)
	}
	p.path = path
	return p, nil
}

// enter settles the working directory.
func (p *program) enter(workDir, dir string) error {
	if workDir == "" {
		return nil
	}
	if !filepath.IsAbs(workDir) {
		if !filepath.IsLocal(workDir) {
			return fmt.Errorf("%w: the working directory %q leaves the attempt's own", executors.ErrNever, workDir)
		}
		p.dir = filepath.Join(nursery.WorkDir(dir), workDir)
		return nil
	}
	info, err := os.Stat(workDir)
	if err == nil && !info.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		return fmt.Errorf("%w: the working directory %q does not exist on this machine: %w", executors.ErrNever, workDir, err)
	}
	p.dir = workDir
	return nil
}

// lookPath finds a command as a shell would, with the attempt's own PATH and working directory.
func lookPath(command, path, dir string) (string, error) {
	if strings.ContainsRune(command, '/') {
		if !filepath.IsAbs(command) {
			command = filepath.Join(dir, command)
		}
		return command, executable(command)
	}
	found := errors.New("executable file not found in $PATH")
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		name := filepath.Join(d, command)
		if unix.Access(name, unix.F_OK) == unix.ENOENT { // as for most of PATH, and in half the time that a stat takes
			continue
		}
		err := executable(name)
		if err == nil {
			return name, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			found = err
		}
	}
	return "", found
}

func executable(name string) error {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return errors.Unwrap(err) // without the path, which stands beside it
	case info.IsDir():
		return errors.New("is a directory")
	case info.Mode()&0o111 == 0:
		return fs.ErrPermission
	}
	return nil
}

// notes say what of a stage's description has no effect here.
func notes(s *dag.StageSpec) string {
	var list []string
	if s.Image != "" {
		list = append(list, "image "+s.Image+" is not used")
	}
	if s.CPULimit > 0 || s.MemoryLimit > 0 {
		list = append(list, "resource limits are not enforced")
	}
	return strings.Join(list, "; ")
}
