package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// config is what TLS needs.
func (t *TLS) config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: t.ServerName,
		InsecureSkipVerify: t.Insecure, //nolint:gosec // only if somebody asks for it by name
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("option ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("option ca: %q has no certificate in PEM", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("options cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Buffers of a connection in bytes: large, since most of what is sent is.
const bufferSize = 128 << 10

// universal are the options that all clients of a store have.
func (s *Store) universal() (*redis.UniversalOptions, error) {
	t := s.target
	var secure *tls.Config
	if t.TLS != nil {
		var err error
		if secure, err = t.TLS.config(); err != nil {
			return nil, err
		}
	}
	return &redis.UniversalOptions{
		Addrs: t.Addrs, DB: t.DB, Username: t.User, Password: string(t.Password),
		MasterName: t.Master, SentinelUsername: t.SentinelUser, SentinelPassword: string(t.SentinelPassword),
		Dialer: s.meter.dialer(t.DialTimeout, secure), TLSConfig: secure,
		DialTimeout: t.DialTimeout, ReadTimeout: t.Timeout, WriteTimeout: t.Timeout, ContextTimeoutEnabled: true,
		ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
		OnConnect: s.connected, ClientName: "clic", DisableIdentity: true,
		// Nothing is pushed to us but what we subscribe to, on connections of its own.
		Protocol: 2, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		PipelinePoolSize: -1, DialerRetries: 1,
	}, nil
}

// connected prepares a connection. A new one is a reason to look whether the server is still the same.
func (s *Store) connected(ctx context.Context, c *redis.Conn) error {
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, one := range s.scripts.all() {
			pipe.ScriptLoad(ctx, one.text)
		}
		return nil
	})
	switch {
	case err != nil && strings.Contains(err.Error(), "unknown command"):
		return nil // a Sentinel
	case err != nil && outcomeOf(err) == impossible:
		return fmt.Errorf("cannot load scripts: %w", err)
	}
	s.fresh.Store(true)
	s.nudge()
	return err
}

// errStranger is for a server that is another process than the one that this Store led.
var errStranger = errors.New("it was restarted, or another one has taken over")

// writes prepares a connection that is written on. Nothing may reach a server that has been restarted, and may have forgotten
// something, before that was looked at.
func (s *Store) writes(ctx context.Context, c *redis.Conn) error {
	if err := s.connected(ctx, c); err != nil {
		return err
	}
	known := s.known.Load()
	if known == nil {
		return nil
	}
	info, err := c.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !(*known)[infoField(info, "run_id")] {
		return errStranger
	}
	return nil
}

// connect makes the two clients: the writer, which sends everything once only, and the reader, which repeats by itself.
func (s *Store) connect() error {
	o, err := s.universal()
	if err != nil {
		return err
	}
	reads := *o
	o.PoolSize, o.MaxRetries, o.MaxRedirects, o.OnConnect = 4, -1, -1, s.writes
	reads.PoolSize, reads.MaxRetries, reads.MaxRedirects = 32, 5, 8
	s.writer, s.reader = s.client(o), s.client(&reads)
	s.writer.AddHook(s.meter)
	s.reader.AddHook(s.meter)
	return nil
}

func (s *Store) client(o *redis.UniversalOptions) redis.UniversalClient {
	switch {
	case s.cluster:
		return redis.NewClusterClient(o.Cluster())
	case s.target.Master != "":
		return redis.NewFailoverClient(o.Failover())
	}
	return redis.NewClient(o.Simple())
}

// eachMaster calls f for each server that takes writes.
func (s *Store) eachMaster(ctx context.Context, c redis.UniversalClient, f func(context.Context, *redis.Client) error) error {
	switch c := c.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, f)
	case *redis.Client:
		return f(ctx, c)
	}
	return errors.New("unknown kind of client")
}

// probe asks a single server whether it is a node of a Cluster.
func (s *Store) probe(ctx context.Context) (bool, error) {
	o, err := s.universal()
	if err != nil {
		return false, err
	}
	simple := o.Simple()
	simple.DB, simple.OnConnect = 0, nil
	c := redis.NewClient(simple)
	defer func() { _ = c.Close() }()
	info, err := c.Info(ctx, "cluster").Result()
	return infoField(info, "cluster_enabled") == "1", err
}

// infoField finds a field in what INFO answers.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
