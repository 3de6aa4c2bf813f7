package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/results"
)

// Config is what the services are made of.
type Config struct {
	// Engine does the work. Required.
	Engine engine.API
	// Results reads the results of stages. Required.
	Results *results.Reader
	// ReadPlan reads a plan that submitPlan names by its path. It decides what may be read, and gives ErrDenied, ErrTooLarge
	// or the file system's errors. Nil allows nothing.
	ReadPlan func(path string) ([]byte, error)
	// Location is the time zone of the old calls' times; nil is the local one.
	Location *time.Location
	// Version, Address and Store describe the master in getMasterInfo; Started is when it started.
	Version, Address, Store string
	Started                 time.Time
}

// Service answers the calls of both services. Its methods are those of the generated interfaces, grouped in files: old.go
// holds the old system's, the others are newer.
type Service struct {
	engine  engine.API
	results *results.Reader
	read    func(path string) ([]byte, error)
	zone    *time.Location
	secrets *redactor
	about   master.MasterInfo
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
		engine: c.Engine, results: c.Results, read: c.ReadPlan, zone: c.Location, secrets: newRedactor(),
		about: master.MasterInfo{
			Version: c.Version, Address: c.Address, Store: c.Store, Started: c.Started.UnixMilli(),
		},
	}
}

// GetMasterInfo describes the master.
func (s *Service) GetMasterInfo(ctx context.Context) (*master.MasterInfo, error) {
	info := s.about
	now := s.engine.Info(ctx)
	info.Executors = now.Executors
	info.Epoch = int64(now.Epoch)
	info.ActiveTasks, info.ActiveStages = clamp32(now.ActiveTasks), clamp32(now.ActiveStages)
	return &info, nil
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
