package rpc

import (
	"cmp"
	"context"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/store"
)

// methodMasterInfo is the call that the master that was asked answers itself, whoever leads.
const methodMasterInfo = "getMasterInfo"

// infoTime is how long the description of a master may wait for what others know.
const infoTime = time.Second

// GetMasterInfo describes the master.
func (s *Service) GetMasterInfo(ctx context.Context) (*master.MasterInfo, error) {
	info := s.about
	info.Members = []*master.Member{}
	info.Executors, info.Troubles = []string{}, []*master.ExecutorTrouble{}
	switch {
	case s.members != nil:
		ctx, cancel := context.WithTimeout(ctx, infoTime)
		defer cancel()
		role, leader, members := s.members(ctx)
		info.Role, info.Leader = role, leader
		for _, m := range members {
			info.Members = append(info.Members, member(m, time.Now()))
			if m.Leads {
				info.Epoch = int64(m.Epoch)
			}
		}
	case s.engine != nil:
		info.Role, info.Leader = "single", info.Address
	}
	if s.engine == nil {
		return &info, nil
	}
	now := s.engine.Info(ctx)
	info.Executors = now.Executors
	for _, name := range now.Executors {
		if t, ok := now.Troubles[name]; ok {
			info.Troubles = append(info.Troubles, &master.ExecutorTrouble{Executor: name, Reason: t.Reason, Since: t.Since.UnixMilli()})
		}
	}
	info.Epoch = int64(now.Epoch)
	info.ActiveTasks, info.ActiveStages = clamp32(now.ActiveTasks), clamp32(now.ActiveStages)
	info.StaleSince, info.StoreTrouble = unlessZero(int64(now.StaleSince)), now.StoreTrouble
	return &info, nil
}

func member(m store.Member, now time.Time) *master.Member {
	return &master.Member{
		ID: m.ID, Address: m.Address, Version: m.Version, Host: m.Host, Pid: clamp32(m.PID), Started: int64(m.Since),
		Seen: int64(m.Seen), SilentMillis: max(0, now.UnixMilli()-int64(m.Seen)), Leads: m.Leads,
	}
}

// describe answers getMasterInfo of a master that does not lead: what it is itself, with what the leader says of the work. ok is
// false where nothing describes it.
func (s *Server) describe(ctx context.Context, t *turn, q *request) (answer reply, ok bool) {
	self := s.self.Load()
	if self == nil {
		return reply{}, false
	}
	info, err := self.GetMasterInfo(ctx)
	if leader := cmp.Or(t.leader, t.last); err == nil && leader != "" {
		s.askLeader(ctx, t, leader, q, info)
	}
	return result(&master.TaskServiceGetMasterInfoResult{Success: info, Error: clicError(err)}), true
}

// askLeader adds what only the leader knows, if it can be had soon. The leader asks the store by itself first.
func (s *Server) askLeader(ctx context.Context, t *turn, leader string, q *request, info *master.MasterInfo) {
	ctx, cancel := context.WithTimeout(ctx, 2*infoTime)
	defer cancel()
	answer, retry := s.relay(ctx, t, leader, q)
	body, ok := answer.body.(raw)
	if retry != nil || !ok || answer.kind != thrift.REPLY {
		return
	}
	var said master.TaskServiceGetMasterInfoResult
	if said.Read(ctx, body.protocol(unbounded())) != nil || said.Success == nil {
		return
	}
	l := said.Success
	info.Executors, info.ActiveTasks, info.ActiveStages = l.Executors, l.ActiveTasks, l.ActiveStages
	info.StaleSince, info.StoreTrouble, info.Troubles = l.StaleSince, l.StoreTrouble, l.Troubles
	info.Epoch = max(info.Epoch, l.Epoch)
}
