package master

import (
	"context"
	"time"

	"github.com/clic-orchestrator/clic/master/console"
)

func (m *Master) newConsole() (*console.Server, error) {
	return console.New(console.Config{Listen: m.cfg.HTTP, Status: m.status, Figures: m.figures, Log: m.log})
}

func (m *Master) stopConsole() error {
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.StopTimeout)
	defer cancel()
	return m.console.Stop(ctx)
}

// status is how the master is, for the console.
func (m *Master) status(ctx context.Context) console.Status {
	s := console.Status{
		Address: m.address(), Version: m.cfg.Version, Started: m.started,
		Store: console.Store{Name: m.cfg.storeName(), Reachable: true},
	}
	role, leader, members := m.members(ctx)
	s.Role, s.Leader = role, leader
	now := time.Now()
	for _, o := range members {
		seen := time.UnixMilli(int64(o.Seen))
		s.Members = append(s.Members, console.Member{
			ID: o.ID, Address: o.Address, Host: o.Host, PID: o.PID, Version: o.Version, Started: time.UnixMilli(int64(o.Since)),
			Leads: o.Leads, SilentMillis: max(0, now.Sub(seen).Milliseconds()),
		})
		if o.Leads {
			s.Epoch = o.Epoch
		}
	}
	if t := m.term.Load(); t != nil {
		i := t.engine.Info(ctx)
		s.Epoch, s.ActiveTasks, s.ActiveStages = i.Epoch, i.ActiveTasks, i.ActiveStages
		for _, name := range i.Executors {
			trouble := i.Troubles[name]
			s.Executors = append(s.Executors, console.Executor{Name: name, Trouble: trouble.Reason, TroubleSince: trouble.Since})
		}
		if i.StaleSince != 0 {
			s.Store.Reachable, s.Store.StaleSince, s.Store.Trouble = false, time.UnixMilli(int64(i.StaleSince)), i.StoreTrouble
		}
	}
	if m.remote != nil {
		if h := m.remote.Health(); !h.Reachable {
			s.Store.Reachable, s.Store.Trouble = false, h.LastError
			if s.Store.StaleSince.IsZero() {
				s.Store.StaleSince = h.Since
			}
		}
	}
	select {
	case <-m.ready:
		self, address := m.server.Leader()
		if s.Ready = self || address != ""; !s.Ready {
			s.Reason = "no master leads at the moment"
		}
	default:
		s.Reason = "it has not started yet"
	}
	return s
}

// figures are the counters of the master, for the console.
func (m *Master) figures() console.Figures {
	var f console.Figures
	if t := m.term.Load(); t != nil {
		stats := t.engine.Stats()
		f.Engine = &stats
	}
	if m.server != nil {
		f.Calls = console.Calls(m.server.Stats())
	}
	return f
}
