package stage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// The names of what `install` makes, and of the program's own place for temporary files.
const (
	helperName = "clic-stage"
	scriptName = "script"
	tempName   = "tmp"
)

// maxScript bounds a script, in bytes. Kubernetes takes no larger pod.
const maxScript = 2 << 20

// install copies the helper into dir, for every user to execute, and the script beside it if there is one. It may be
// repeated, as an init container may.
func (p *Process) install(args []string) error {
	if len(args) != 1 {
		return usagef("usage: clic-stage install DIR")
	}
	dir := args[0]
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot install the helper: %w", err)
	}
	if err := installSelf(filepath.Join(dir, helperName)); err != nil {
		return fmt.Errorf("cannot install the helper: %w", err)
	}
	script, ok, err := p.script()
	if err != nil || !ok {
		return err
	}
	if err := writeFile(filepath.Join(dir, scriptName), 0o755, func(w io.Writer) error {
		_, err := io.WriteString(w, script)
		return err
	}); err != nil {
		return fmt.Errorf("cannot write the script: %w", err)
	}
	return nil
}

func installSelf(name string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	return writeFile(name, 0o755, func(w io.Writer) error {
		_, err := io.Copy(w, self)
		return err
	})
}

// script puts the script together from the environment.
func (p *Process) script() (text string, ok bool, err error) {
	text, ok = p.lookup(EnvScript)
	if !ok {
		return "", false, nil
	}
	for i := 1; ; i++ {
		more, found := p.lookup(EnvScript + "_" + strconv.Itoa(i))
		if !found {
			return text, true, nil
		}
		text += more
		if len(text) > maxScript {
			return "", false, fmt.Errorf("the script is larger than %d bytes", maxScript)
		}
	}
}

// writeFile makes a file that is there with all its content, or not at all.
func writeFile(name string, mode os.FileMode, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	err = write(f)
	err = errors.Join(err, f.Chmod(mode), f.Close()) // whatever the umask is
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// makeOpenDir makes a directory in which every user can make files, as in /tmp.
func makeOpenDir(name string) error {
	if err := os.Mkdir(name, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chmod(name, 0o777|os.ModeSticky)
}
