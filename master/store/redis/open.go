package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store"
)

// schema is the version of the layout. Data with a higher one is refused.
const schema = 1

// Fields of the meta hash.
const (
	metaSchema      = "schema"
	metaGeneration  = "generation"
	metaTaskPrefix  = "task-prefix"
	metaStagePrefix = "stage-prefix"
)

// minVersion is the oldest Redis that has all that is needed: ZMSCORE, and ZRANGE with BYLEX and REV.
var minVersion = [2]int{6, 2}

func (s *Store) cannotOpen(err error) error {
	if errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("cannot open %s: %w", s.target, err)
	}
	return fmt.Errorf("cannot open %s: %w", s.target, s.fault(err))
}

// inspect looks whether the servers will do, and whose data is there.
func (s *Store) inspect(ctx context.Context) error {
	if err := s.eachServer(ctx, s.inspectServer); err != nil {
		return err
	}
	return s.inspectData(ctx)
}

// eachServer calls f for every server that has the data, or may be promoted to have it.
func (s *Store) eachServer(ctx context.Context, f func(context.Context, *redis.Client) error) error {
	switch c := s.reader.(type) {
	case *redis.ClusterClient:
		return c.ForEachShard(ctx, f)
	case *redis.Client:
		if err := f(ctx, c); err != nil {
			return err
		}
	}
	if s.target.Master == "" {
		return nil
	}
	replicas, err := s.replicas(ctx)
	if err != nil {
		return err
	}
	for _, addr := range replicas {
		if err := s.askServer(ctx, addr, f); err != nil {
			// It is no use now, and is looked at when it is promoted and somebody opens the store.
			if errors.Is(err, errUnfit) {
				return err
			}
			s.log.Warn("cannot look at a replica of Redis", "address", addr, "error", err)
		}
	}
	return nil
}

// askServer calls f for a server by its address.
func (s *Store) askServer(ctx context.Context, addr string, f func(context.Context, *redis.Client) error) error {
	o, err := s.universal()
	if err != nil {
		return err
	}
	o.Addrs, o.OnConnect, o.MaxRetries = []string{addr}, nil, -1
	c := redis.NewClient(o.Simple())
	defer func() { _ = c.Close() }()
	return f(ctx, c)
}

// replicas asks the Sentinels, one after the other, for the addresses of the replicas.
func (s *Store) replicas(ctx context.Context) ([]string, error) {
	o, err := s.universal()
	if err != nil {
		return nil, err
	}
	var failed error
	for _, addr := range s.target.Addrs {
		c := redis.NewSentinelClient(&redis.Options{
			Addr: addr, Username: o.SentinelUsername, Password: o.SentinelPassword, Dialer: o.Dialer, TLSConfig: o.TLSConfig,
			DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, DisableIdentity: true, Protocol: 2,
			MaintNotificationsConfig: o.MaintNotificationsConfig,
		})
		found, err := c.Replicas(ctx, s.target.Master).Result()
		_ = c.Close()
		if err != nil {
			failed = err
			continue
		}
		var addrs []string
		for _, r := range found {
			if !strings.Contains(r["flags"], "down") && !strings.Contains(r["flags"], "disconnected") {
				addrs = append(addrs, net.JoinHostPort(r["ip"], r["port"]))
			}
		}
		return addrs, nil
	}
	return nil, failed
}

// errUnfit is a server that must not be used.
var errUnfit = errors.New("this Redis must not be used")

// inspectServer refuses a server that is too old, or that drops data when its memory is full.
func (s *Store) inspectServer(ctx context.Context, c *redis.Client) error {
	addr := c.Options().Addr
	info, err := c.Info(ctx).Result()
	if err != nil {
		return err
	}
	version := infoField(info, "redis_version")
	if !newEnough(version) {
		return fmt.Errorf("%w: it is version %s, %d.%d is needed at least", errUnfit, version, minVersion[0], minVersion[1])
	}
	s.noteVersion(version, infoField(info, "role") == "master")
	if infoField(info, "aof_enabled") == "0" {
		s.log.Warn("Redis has no append-only file: what it holds may be lost when it is restarted. Set appendonly to yes",
			"address", addr)
	}
	settings, err := c.ConfigGet(ctx, "maxmemory*").Result()
	switch {
	case err != nil && adviceFor(err) != "" && !redis.HasErrorPrefix(err, "NOPERM"):
		return err
	case err != nil && outcomeOf(err) == unknown:
		return err
	case err != nil:
		s.log.Warn("cannot see whether Redis drops data when its memory is full: CONFIG GET is refused. "+
			"See to it that maxmemory-policy is noeviction", "address", addr, "error", err)
		return nil
	}
	policy := settings["maxmemory-policy"]
	if policy == "noeviction" {
		return nil
	}
	if settings["maxmemory"] == "0" {
		s.log.Warn("Redis would drop data if maxmemory were set. Set maxmemory-policy to noeviction",
			"address", addr, "maxmemory-policy", policy)
		return nil
	}
	return fmt.Errorf("%w: it drops data when its memory is full: set maxmemory-policy of %s to noeviction, it is %s",
		errUnfit, addr, policy)
}

// noteVersion may be called for several servers at once.
func (s *Store) noteVersion(version string, master bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if master || s.version == "" {
		s.version = version
	}
}

func newEnough(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return err1 == nil && err2 == nil && (a > minVersion[0] || a == minVersion[0] && b >= minVersion[1])
}

// inspectData looks at whose data is there, and makes the mark if there is none.
func (s *Store) inspectData(ctx context.Context) error {
	values, err := s.reader.HMGet(ctx, s.keys.meta(), metaSchema, metaGeneration, metaTaskPrefix, metaStagePrefix).Result()
	if err != nil {
		return err
	}
	if values[1] == nil {
		if s.opts.Generation != "" {
			return fmt.Errorf("%w: generation %s is expected, there is none", store.ErrRolledBack, s.opts.Generation)
		}
		if values, err = s.begin(ctx); err != nil {
			return err
		}
	}
	text := make([]string, len(values))
	for i := range values {
		text[i], _ = values[i].(string)
	}
	version, err := strconv.Atoi(text[0])
	switch {
	case err != nil:
		return fmt.Errorf("%w: the schema in %s is no number", errDamaged, s.keys.meta())
	case version > schema:
		return fmt.Errorf("%w: it has schema %d, this program knows %d", store.ErrNewer, version, schema)
	case text[2] != s.opts.TaskPrefix || text[3] != s.opts.StagePrefix:
		return fmt.Errorf("the keys there begin with %q for tasks and %q for stages, not with %q and %q as configured",
			text[2], text[3], s.opts.TaskPrefix, s.opts.StagePrefix)
	case s.opts.Generation != "" && text[1] != s.opts.Generation:
		return fmt.Errorf("%w: generation %s is expected, it is %s", store.ErrRolledBack, s.opts.Generation, text[1])
	}
	s.generation = text[1]
	return nil
}

// begin makes the mark. Of several masters that do at the same time, one makes it.
func (s *Store) begin(ctx context.Context) ([]any, error) {
	if err := s.warnOfRemains(ctx); err != nil {
		return nil, err
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	pipe := s.reader.Pipeline()
	key := s.keys.meta()
	pipe.HSetNX(ctx, key, metaSchema, schema)
	pipe.HSetNX(ctx, key, metaTaskPrefix, s.opts.TaskPrefix)
	pipe.HSetNX(ctx, key, metaStagePrefix, s.opts.StagePrefix)
	pipe.HSetNX(ctx, key, metaGeneration, hex.EncodeToString(random[:]))
	values := pipe.HMGet(ctx, key, metaSchema, metaGeneration, metaTaskPrefix, metaStagePrefix)
	_, err := pipe.Exec(ctx)
	return values.Val(), err
}

// warnOfRemains says so where there is no mark, but something else that only comes after it.
func (s *Store) warnOfRemains(ctx context.Context) error {
	pipe := s.reader.Pipeline()
	var found []*redis.IntCmd
	for _, slot := range s.keys.marks() {
		found = append(found, pipe.Exists(ctx, s.keys.fenceKey(slot)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(cmd *redis.IntCmd) bool { return cmd.Val() > 0 }) {
		s.log.Error("Redis has lost what tasks share: its indexes are empty until they are built anew (clic-master index rebuild)",
			"missing", s.keys.meta())
	}
	return nil
}
