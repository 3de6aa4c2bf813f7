package master

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
)

// A Redis that comes back without its data looks like a new one to a master that was started anew. So the data directory
// remembers the mark of the data that was there, for each Redis in a file of its own.

// generationFile is where the mark of the configured Redis is kept.
func (c Config) generationFile() string {
	sum := sha256.Sum256([]byte(c.storeName()))
	return filepath.Join(c.DataDir, "redis-"+hex.EncodeToString(sum[:6])+".generation")
}

// openRemembered opens the Redis of the configuration, if it holds what it held when a master with this data directory last used
// it.
func (c Config) openRemembered(ctx context.Context) (*redis.Store, error) {
	file := c.generationFile()
	known, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the mark of the data in Redis: %w", err)
	}
	s, err := c.openRedis(ctx, strings.TrimSpace(string(known)))
	if errors.Is(err, store.ErrRolledBack) {
		return nil, fmt.Errorf("%w: it was emptied, or is another one than before; restore its data, or, if all of that may be "+
			"forgotten, delete %s", err, file)
	}
	if err != nil || len(known) > 0 {
		return s, err
	}
	if err := replaceFile(file, []byte(s.Generation()+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot keep the mark of the data in Redis: %w", err), s.Close())
	}
	return s, nil
}
