package lead

import (
	"errors"
	"fmt"
	"time"
)

// Config is how a master campaigns. Zero fields have defaults.
type Config struct {
	// TTL is the length of the lease: 2 s.
	TTL time.Duration
	// Renew is the time between two renewals of the leader; Retry that between two looks of a follower, which also keeps
	// the list of members fresh. A follower looks earlier when the lease that it knows of runs out. A quarter of TTL.
	Renew, Retry time.Duration
	// Again is the time after which a leader repeats a campaign that failed, and the least time between two calls is a
	// quarter of it. A twentieth of TTL.
	Again time.Duration
	// Timeout bounds a call of the store, so that there is time for another before the lease is over. A third of TTL.
	Timeout time.Duration
	// Margin is what a leader's trust in its lease is shorter than the lease, for clocks that do not run equally fast.
	// A fortieth of TTL.
	Margin time.Duration
}

// WithDefaults gives a copy in which every field that was not set has its default.
func (c Config) WithDefaults() Config {
	set := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.TTL, 2*time.Second)
	set(&c.Renew, c.TTL/4)
	set(&c.Retry, c.TTL/4)
	set(&c.Again, c.TTL/20)
	set(&c.Timeout, c.TTL/3)
	set(&c.Margin, c.TTL/40)
	return c
}

// Validate says everything that is wrong with a configuration that has its defaults.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"ttl", c.TTL}, {"renewal", c.Renew}, {"retry", c.Retry}, {"repetition", c.Again}, {"timeout", c.Timeout}, {"margin", c.Margin}} {
		if f.d <= 0 {
			errs = append(errs, fmt.Errorf("%s of the lease must be positive, but is %v", f.name, f.d))
		}
	}
	if c.Renew+c.Timeout+c.Margin >= c.TTL {
		errs = append(errs, fmt.Errorf("a lease of %v is over before it is renewed: after %v, by a call that may take %v", c.TTL, c.Renew, c.Timeout))
	}
	return errors.Join(errs...)
}
