package main

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// errNoLibrary is the reason of a program that cannot run on this machine either.
var errNoLibrary = errors.New("a library of it is missing here")

// putProgram sets a program, and the libraries that it is linked with at the paths they have on this machine. Links on the way are
// followed: the image has plain files. name is the program's path in the image; "" is the one it has here.
func (t tree) putProgram(ctx context.Context, source, name string) error {
	if name == "" {
		absolute, err := filepath.Abs(source)
		if err != nil {
			return fmt.Errorf("cannot take a program into the image: %w", err)
		}
		name = absolute
	}
	if err := t.putFile(source, name, 0); err != nil {
		return err
	}
	dynamic, err := isDynamic(source)
	if err != nil || !dynamic {
		return err
	}
	// ldd runs the dynamic linker itself, so its answer is what a container will do with the same files.
	output, err := exec.CommandContext(ctx, "ldd", source).Output()
	if err != nil {
		return fmt.Errorf("cannot find the libraries of %q: %w", source, err)
	}
	libraries, err := parseLdd(output)
	if err != nil {
		return fmt.Errorf("cannot find the libraries of %q: %w", source, err)
	}
	for _, library := range libraries {
		if err := t.putFile(library, library, 0); err != nil {
			return err
		}
	}
	return nil
}

// isDynamic tells whether a file is a program that asks for a dynamic linker.
func isDynamic(file string) (bool, error) {
	f, err := elf.Open(file)
	if err != nil {
		return false, fmt.Errorf("cannot take %q into the image as a program: %w", file, err)
	}
	defer func() { _ = f.Close() }() // only read from
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP {
			return true, nil
		}
	}
	return false, nil
}

// parseLdd gives the files that ldd named, in its order: "libc.so.6 => /lib/libc.so.6 (0x…)" and "/lib64/ld-linux.so.2 (0x…)".
func parseLdd(output []byte) ([]string, error) {
	var files []string
	lines := bufio.NewScanner(bytes.NewReader(output))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if _, after, found := strings.Cut(line, " => "); found {
			if strings.HasPrefix(after, "not found") {
				return nil, fmt.Errorf("%w: %s", errNoLibrary, line)
			}
			line = after
		}
		if file, _, _ := strings.Cut(line, " "); path.IsAbs(file) {
			files = append(files, path.Clean(file))
		}
	}
	return files, lines.Err()
}
