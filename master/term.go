package master

import (
	"context"
	"errors"
	"slices"
	"time"

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
	all, err := m.makeExecutors()
	if err != nil {
		return nil, err
	}
	cfg := engine.Config{
		Store:      m.store,
		Executors:  all,
		Route:      m.cfg.route,
		Admit:      m.cfg.admit,
		MasterHost: m.callbackHost, MasterPort: m.callbackPort,
		Holder:    m.member.ID,
		Slots:     m.cfg.Slots,
		Limits:    m.cfg.PlanLimits,
		Retain:    m.cfg.Retain,
		Callbacks: m.cfg.Callbacks,
		TokenKey:  m.tokenKey,
		ReadFile:  m.readOperators(),
		Log:       m.log,
	}
	cfg.Forgotten = func(tasks []string) {
		m.cleaning.forgotten(tasks)
		if m.uploads != nil {
			m.uploads.forgotten(tasks)
		}
	}
	var e *engine.Engine
	cfg.Forgetting = func(ctx context.Context, tasks []string) { m.cleaning.forgetting(ctx, e, tasks) }
	if m.shared != nil {
		// A store that others can write as well is only given up when somebody else leads.
		cfg.CommitPatience = -1
	}
	if e, err = engine.New(cfg); err != nil {
		return nil, errors.Join(err, m.stopExecutors(all))
	}
	about := m.about()
	about.Engine, about.Results, about.Location = e, m.reader, m.zone
	about.ClaimOutputs = func(ctx context.Context, task string) (func(), error) {
		return func() { m.cleaning.release(task) }, m.cleaning.claim(ctx, e, task, true)
	}
	about.ReadPlan = m.files.read("plan", m.cfg.PlanDirs, int64(m.cfg.Limits.MessageBytes))
	if m.uploads != nil {
		about.Uploads = m.uploads.Store
	}
	return &term{engine: e, service: rpc.NewService(about)}, nil
}

// readOperators reads the files that stages of the CLIC form work through.
func (m *Master) readOperators() func(path string) ([]byte, error) {
	return m.files.read("plan file", slices.Concat(m.cfg.PlanDirs, m.cfg.ResultDirs), maxPlanFile)
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
