package local

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Config is how the executor works. Zero fields stand for the defaults that WithDefaults fills in.
type Config struct {
	// DataDir holds what is kept of attempts: <DataDir>/attempts/<attempt id>, and <DataDir>/ended/<attempt id> of those that
	// left nothing. Required; made if it does not exist.
	DataDir string
	// SecretsDir and ConfigDir hold the values of secrets and configuration entries: <dir>/<name>/<key>. "" is none.
	SecretsDir, ConfigDir string
	// Env is added to every attempt's environment, as NAME=value. PassEnv names variables of the master's own environment
	// that are passed on; the values are taken from BaseEnv.
	Env, PassEnv []string
	// BaseEnv is the environment of the master, by default this process's.
	BaseEnv []string
	// LogLimit is how many bytes are kept of each of an attempt's two streams. Default 10 MiB.
	LogLimit int64
	// ResultLimit and OutputLimit bound an attempt's result and each of its output parameters, in bytes. Defaults 1 MiB
	// and 256 KiB. What is larger fails the attempt.
	ResultLimit, OutputLimit int64
	// Grace is between TERM and KILL where nobody says otherwise. Default 10 s.
	Grace time.Duration
	// Linger is how long processes that an attempt's program left behind may go on after its end, before they get TERM, and
	// again as long before they get KILL. Default 500 ms.
	Linger time.Duration
	// Private says that the attempts end with the master: once it has stopped or was killed, and no other is connected to
	// the data directory, they get TERM, and KILL after their grace. For a master that nobody starts again.
	Private bool
	// Logger takes what has no other place to go. Default: nothing is logged.
	Logger *slog.Logger
}

// WithDefaults gives a copy with every zero field filled in.
func (c Config) WithDefaults() Config {
	if c.BaseEnv == nil {
		c.BaseEnv = os.Environ()
	}
	if c.LogLimit == 0 {
		c.LogLimit = 10 << 20
	}
	if c.ResultLimit == 0 {
		c.ResultLimit = 1 << 20
	}
	if c.OutputLimit == 0 {
		c.OutputLimit = 256 << 10
	}
	if c.Grace == 0 {
		c.Grace = 10 * time.Second
	}
	if c.Linger == 0 {
		c.Linger = 500 * time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate says everything that is wrong with a configuration that has its defaults.
func (c Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("the data directory is not set"))
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{{"log", c.LogLimit}, {"result", c.ResultLimit}, {"output", c.OutputLimit}} {
		if limit.value < 0 {
			errs = append(errs, fmt.Errorf("the %s limit is negative: %d", limit.name, limit.value))
		}
	}
	if c.Grace < 0 || c.Linger < 0 {
		errs = append(errs, fmt.Errorf("grace %v and linger %v may not be negative", c.Grace, c.Linger))
	}
	for _, v := range c.Env {
		if !validEnv(v) {
			// Only the name: the value may be a secret.
			errs = append(errs, fmt.Errorf("cannot add %q to the environment: not NAME=value", envName(v)))
		}
	}
	return errors.Join(errs...)
}

// makeDataDir makes the data directory and gives its real path, by which running attempts are recognised.
func makeDataDir(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot make the executor's data directory: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", fmt.Errorf("cannot find the executor's data directory: %w", err)
	}
	return abs, nil
}
