package redis

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// LogClient has the Redis client's own messages logged, at level debug: it has one logger for the whole program, which prints to
// stderr unless told. What they are about, the errors of this package say as well.
func LogClient(l *slog.Logger) { redis.SetLogger(clientLog{l}) }

type clientLog struct{ log *slog.Logger }

// Printf is called by the client.
func (c clientLog) Printf(ctx context.Context, format string, v ...any) {
	c.log.DebugContext(ctx, "redis client", "message", fmt.Sprintf(format, v...))
}
