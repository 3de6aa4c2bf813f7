package master

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/master/store/redis"
)

// minLease is the shortest lease that a busy machine can be expected to renew in time.
const minLease = 200 * time.Millisecond

// RedisConfig is what the URL of a store in Redis does not say.
type RedisConfig struct {
	// Password is used where the URL has none [redis.password]; PasswordFile is a file that holds it [redis.password-file].
	Password, PasswordFile string
	// TaskPrefix, StagePrefix and KeyPrefix begin the keys of tasks, of stages, and of all else [redis.task-key-prefix,
	// redis.stage-key-prefix, redis.key-prefix]. The defaults are clic:task:, clic:stage: and clic:.
	TaskPrefix, StagePrefix, KeyPrefix string
	// History is about how many entries of a task's history are kept [redis.history].
	History int
}

// storeIsShared reports whether several masters can use the store at once.
func (c Config) storeIsShared() bool {
	scheme, _, _ := strings.Cut(c.Store, ":")
	return scheme == "redis" || scheme == "rediss"
}

// validateStore says what is wrong with where the state is to be kept.
func (c Config) validateStore() error {
	if c.storeIsShared() {
		_, err := redis.ParseURL(c.Store)
		return err
	}
	_, err := c.storeDir()
	return err
}

// storeDir is the directory of the store's file.
func (c Config) storeDir() (string, error) {
	if c.Store == "" {
		return c.DataDir, nil
	}
	u, err := url.Parse(c.Store)
	if err != nil {
		return "", fmt.Errorf("cannot read the URL: %w", err)
	}
	if u.Scheme != "bolt" {
		return "", fmt.Errorf("unknown kind of store %q; write bolt:///DIRECTORY or redis://HOST:PORT/DATABASE", u.Scheme)
	}
	if u.Host != "" || !filepath.IsAbs(u.Path) || u.Path == "/" {
		return "", fmt.Errorf("%q names no directory; write bolt:///DIRECTORY, with three slashes", c.Store)
	}
	return filepath.Clean(u.Path), nil
}

// storeName is the store as people are told of it, without passwords.
func (c Config) storeName() string {
	if c.storeIsShared() {
		t, err := redis.ParseURL(c.Store)
		if err != nil {
			return "redis" // which validation has refused
		}
		return t.String()
	}
	dir, _ := c.storeDir()
	return (&url.URL{Scheme: "bolt", Path: dir}).String()
}

// storeAddress is the HOST:PORT of a server of the store.
func (c Config) storeAddress() string {
	t, err := redis.ParseURL(c.Store)
	if err != nil {
		return ""
	}
	return t.Addrs[0]
}

// OpenRedis opens the store in Redis that the configuration names.
func (c Config) OpenRedis(ctx context.Context) (*redis.Store, error) { return c.openRedis(ctx, "") }

// openRedis opens the store if it holds the data with this mark; "" takes it as it is.
func (c Config) openRedis(ctx context.Context, generation string) (*redis.Store, error) {
	address, err := c.Redis.withPassword(c.Store)
	if err != nil {
		return nil, err
	}
	return redis.Open(ctx, redis.Options{
		URL: address, Prefix: c.Redis.KeyPrefix, TaskPrefix: c.Redis.TaskPrefix, StagePrefix: c.Redis.StagePrefix,
		History: c.Redis.History, Generation: generation, Logger: c.Logger,
	})
}

// withPassword puts the password into a URL that has none.
func (c RedisConfig) withPassword(address string) (string, error) {
	t, err := redis.ParseURL(address)
	if err != nil || t.Password != "" {
		return address, err
	}
	password, err := c.password()
	if err != nil || password == "" {
		return address, err
	}
	scheme, rest, _ := strings.Cut(address, "://")
	if _, host, found := strings.Cut(rest, "@"); found {
		rest = host
	}
	return scheme + "://" + url.UserPassword(t.User, password).String() + "@" + rest, nil
}

func (c RedisConfig) password() (string, error) {
	if c.PasswordFile == "" {
		return c.Password, nil
	}
	if c.Password != "" {
		return "", errors.New("redis.password and redis.password-file are both set: leave one out")
	}
	b, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("cannot read the password of Redis: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
