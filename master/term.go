package master

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/rpc"
)

// term is a time in which this master leads: an engine of its own, with executors of its own, and the service in front.
// A master whose store serves it alone has one in its life.
type term struct {
	engine  *engine.Engine
	service *rpc.Service
}

// newTerm makes what leads. Nothing of it runs before engine.Start.
func (m *Master) newTerm() (*term, error) {
	lc := m.cfg.Local
	lc.DataDir, lc.Logger = m.cfg.DataDir, m.log
	stages, err := local.New(lc)
	if err != nil {
		return nil, fmt.Errorf("cannot make the local executor: %w", err)
	}
	cfg := engine.Config{
		Store:      m.store,
		Executors:  map[string]executors.Executor{executorLocal: stages},
		Route:      m.cfg.route,
		MasterHost: m.callbackHost, MasterPort: m.callbackPort,
		Holder:    m.member.ID,
		Slots:     m.cfg.Slots,
		Limits:    m.cfg.PlanLimits,
		Retain:    m.cfg.Retain,
		Callbacks: m.cfg.Callbacks,
		TokenKey:  m.tokenKey,
		ReadFile:  files{"plan file", append(slices.Clone(m.cfg.PlanDirs), m.cfg.ResultDirs...), maxPlanFile}.read,
		Log:       m.log,
	}
	if m.shared != nil {
		// A store that others can write as well is only given up when somebody else leads.
		cfg.CommitPatience = -1
	}
	e, err := engine.New(cfg)
	if err != nil {
		return nil, err
	}
	about := m.about()
	about.Engine, about.Results, about.Location = e, m.reader, m.zone
	about.ReadPlan = files{"plan", m.cfg.PlanDirs, int64(m.cfg.Limits.MessageBytes)}.read
	return &term{engine: e, service: rpc.NewService(about)}, nil
}

// about describes the master to clients.
func (m *Master) about() rpc.Config {
	c := rpc.Config{Version: m.cfg.Version, Address: m.address(), Store: m.cfg.storeName(), Started: m.started}
	if m.shared != nil {
		c.Members = m.members
	}
	return c
}

// stop ends a term whose lead is lost, or that is over: what cannot be saved soon is not waited for.
func (t *term) stop(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return t.engine.Stop(ctx)
}
