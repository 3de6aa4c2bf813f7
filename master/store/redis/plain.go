package redis

import (
	"crypto/tls"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Client makes a plain client of the servers, for what another program keeps there. Nothing is checked, and nothing is sent
// before it is used.
func (t *Target) Client() (redis.UniversalClient, error) {
	var secure *tls.Config
	if t.TLS != nil {
		var err error
		if secure, err = t.TLS.config(); err != nil {
			return nil, err
		}
	}
	return redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: t.Addrs, DB: t.DB, Username: t.User, Password: string(t.Password), IsClusterMode: t.Cluster,
		MasterName: t.Master, SentinelUsername: t.SentinelUser, SentinelPassword: string(t.SentinelPassword), TLSConfig: secure,
		DialTimeout: t.DialTimeout, ReadTimeout: t.Timeout, WriteTimeout: t.Timeout, ContextTimeoutEnabled: true,
		ClientName: "clic", DisableIdentity: true, Protocol: 2,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}), nil
}
