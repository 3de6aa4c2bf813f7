package master

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/lead"
	"github.com/clic-orchestrator/clic/master/store"
)

// Roles of a master, as it says itself.
const (
	roleSingle   = "single"
	roleLeader   = "leader"
	roleFollower = "follower"
)

// self describes this master to the others.
func (m *Master) self() (store.Member, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var b [4]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	id := store.Member{
		ID: fmt.Sprintf("%s/%d/%s", host, os.Getpid(), hex.EncodeToString(b[:])), Host: host, PID: os.Getpid(),
		Version: m.cfg.Version, Since: dag.Time(m.started.UnixMilli()),
	}
	id.Address, err = m.peerAddress()
	return id, err
}

// peerAddress is where the other masters reach this one: what the configuration says, or else where it listens, on the
// interface that leads to the store where it listens on all of them.
func (m *Master) peerAddress() (string, error) {
	if m.cfg.PeerAddress != "" || m.listener == nil {
		return m.cfg.PeerAddress, nil
	}
	host, port, err := splitAddress(m.listener.Addr().String())
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() || m.shared == nil {
		return m.listener.Addr().String(), nil
	}
	// Nothing is sent: the system only says which way it would go.
	var d net.Dialer
	c, err := d.DialContext(context.Background(), "udp", m.cfg.storeAddress())
	if err != nil {
		return "", fmt.Errorf("cannot find out where other masters reach this one: %w; set peer-address", err)
	}
	defer c.Close()
	host, _, err = net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, fmt.Sprint(port)), nil
}

// address is where the master listens, for people.
func (m *Master) address() string {
	if a := m.Addr(); a != nil {
		return a.String()
	}
	return ""
}

// members says who there is.
func (m *Master) members(ctx context.Context) (role, leader string, members []store.Member) {
	if m.shared == nil {
		return roleSingle, m.address(), nil
	}
	role = roleFollower
	switch s := m.reign.runner.State(); {
	case s.Role == lead.Leader:
		// Also while it cannot renew the lease: it serves what it knows, until it learns that somebody else leads.
		role, leader = roleLeader, m.member.Address
	case s.Leader.ID != m.member.ID:
		leader = s.Leader.Address
	}
	// The list is asked for with little patience: who wants to know how this master is must not wait for a store that hangs.
	ctx, cancel := context.WithTimeout(ctx, membersPatience)
	defer cancel()
	list, err := m.shared.Members(ctx)
	if err == nil {
		m.known.Store(&list)
	} else if last := m.known.Load(); last != nil {
		list = *last
	}
	return role, leader, list
}

// membersPatience is how long the list of members may take; without it the last one that is known is given.
const membersPatience = 250 * time.Millisecond
