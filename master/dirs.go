package master

import (
	"errors"
	"path/filepath"
)

// DefaultDataDir is the data directory of a user: $XDG_DATA_HOME/clic, or ~/.local/share/clic.
func DefaultDataDir(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "clic"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "clic"), nil
	}
	return "", errors.New("cannot find a place for data: neither XDG_DATA_HOME nor HOME is set; give --data-dir")
}
