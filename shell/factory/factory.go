// Package factory is what every command is made with: the streams, the environment, and the way to the master.
package factory

import (
	"fmt"
	"os"
	"os/user"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/discover"
	"github.com/clic-orchestrator/clic/shell/iostreams"
)

// Factory is shared by all commands of one invocation.
type Factory struct {
	IO *iostreams.Streams
	// Version is the version of this program.
	Version string
	// Getenv reads the environment.
	Getenv func(string) string
	// Now is the clock.
	Now func() time.Time
	// MasterFlag is the value of --master.
	MasterFlag string
	// SystemConfig replaces discover.SystemFile where not "" (tests).
	SystemConfig string

	once   sync.Once
	client *client.Client
	err    error

	staleMu sync.Mutex
	stale   time.Time // what was warned of last
}

// New makes the factory of the process.
func New(version string) *Factory {
	return &Factory{IO: iostreams.System(os.Getenv), Version: version, Getenv: os.Getenv, Now: time.Now}
}

// Finder looks for the master's address.
func (f *Factory) Finder() discover.Finder {
	return discover.Finder{Flag: f.MasterFlag, Getenv: f.Getenv, SystemFile: f.SystemConfig}
}

// Client gives the client of the master that was found. It is made once; no connection is made yet.
func (f *Factory) Client() (*client.Client, error) {
	f.once.Do(func() {
		m, err := f.Finder().Find()
		if err != nil {
			f.err = err
			return
		}
		f.client = client.New(client.Config{Address: m.Address, Source: m.Source, OnStale: f.warnStale})
	})
	return f.client, f.err
}

// warnStale says that what a command shows may be out of date: once, however many answers it is made of.
func (f *Factory) warnStale(since time.Time) {
	f.staleMu.Lock()
	defer f.staleMu.Unlock()
	if since.Equal(f.stale) {
		return
	}
	f.stale = since
	layout := time.TimeOnly
	if f.Now().Sub(since) > 12*time.Hour {
		layout = time.DateTime
	}
	fmt.Fprintf(f.IO.Err, "note: the master cannot reach its store since %s; this is what it knew then\n", since.Local().Format(layout))
}

// Close releases the client, if one was made.
func (f *Factory) Close() error {
	f.once.Do(func() {})
	if f.client == nil {
		return nil
	}
	return f.client.Close()
}

// Who is the name that the master records with what this user does.
func (f *Factory) Who() string {
	for _, name := range []string{"USER", "LOGNAME", "USERNAME"} {
		if who := f.Getenv(name); who != "" {
			return who
		}
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
