package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/results"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/uploads"
)

// Config is what the services are made of.
type Config struct {
	// Engine does the work. Without one the service only describes the master (see Server.Describe).
	Engine engine.API
	// Results reads the results of stages. Required where there is an engine.
	Results *results.Reader
	// Uploads takes what comes along with plans; nil where nothing is taken.
	Uploads *uploads.Store
	// ClaimOutputs has the outputs of a task deleted once the task is; release takes that back. Nil deletes none.
	ClaimOutputs func(ctx context.Context, task string) (release func(), err error)
	// ReadPlan reads a plan that submitPlan names by its path. It decides what may be read, and gives ErrDenied, ErrTooLarge
	// or the file system's errors. Nil allows nothing.
	ReadPlan func(path string) ([]byte, error)
	// Location is the time zone of the old calls' times; nil is the local one.
	Location *time.Location
	// Version, Address and Store describe the master in getMasterInfo; Started is when it started.
	Version, Address, Store string
	Started                 time.Time
	// Members says which role this master has ("leader" or "follower"), where the leader is reached ("" while there is none),
	// and which masters share the store, the leader first. Nil for a store that serves one master only. It has little time:
	// it is asked whenever somebody asks about the master.
	Members func(ctx context.Context) (role, leader string, members []store.Member)
}

// Service answers the calls of both services. Its methods are those of the generated interfaces, grouped in files: old.go
// holds the old system's, the others are newer.
type Service struct {
	engine       engine.API
	results      *results.Reader
	uploads      *uploads.Store
	claimOutputs func(ctx context.Context, task string) (release func(), err error)
	read         func(path string) ([]byte, error)
	zone         *time.Location
	secrets      *redactor
	about        master.MasterInfo
	members      func(ctx context.Context) (role, leader string, members []store.Member)
}

// The services are complete.
var (
	_ master.TaskService      = (*Service)(nil)
	_ master.SchedulerService = (*Service)(nil)
)

// NewService makes the service.
func NewService(c Config) *Service {
	if c.Location == nil {
		c.Location = time.Local
	}
	if c.ReadPlan == nil {
		c.ReadPlan = func(string) ([]byte, error) {
			return nil, fmt.Errorf("reading plans by path is %w here: submit the plan itself", ErrDenied)
		}
	}
	return &Service{
		engine: c.Engine, results: c.Results, uploads: c.Uploads, claimOutputs: c.ClaimOutputs, read: c.ReadPlan, zone: c.Location, secrets: newRedactor(), members: c.Members,
		about: master.MasterInfo{
			Version: c.Version, Address: c.Address, Store: c.Store, Started: c.Started.UnixMilli(),
		},
	}
}

// someone is who did something: what the caller says, or where the call came from.
func someone(ctx context.Context, who string) string {
	const most = 256
	if who != "" {
		return truncate(who, most)
	}
	if p := peer(ctx); p != "" {
		return "client at " + p
	}
	return ""
}
