//go:build cluster

package deploytest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// pod is what the tests look at in a master's pod.
type pod struct {
	Metadata struct{ Name, DeletionTimestamp string }
	Status   struct {
		PodIP             string
		ContainerStatuses []struct {
			Ready        bool
			RestartCount int
		}
	}
}

// status is what the tests look at in a master's /status.
type status struct {
	Ready           bool
	Role            string
	Epoch           uint64
	Address, Leader string
	Members         []struct{ Address string }
}

// masters gives the pods of the masters that are not about to end, and what each says of itself.
func (r *rig) masters(t *testing.T) (map[string]status, error) {
	t.Helper()
	var pods []pod
	r.list(t, &pods, "pods", "app.kubernetes.io/name=clic-master")
	client := &http.Client{Timeout: 5 * time.Second}
	all := make(map[string]status)
	for _, p := range pods {
		if p.Metadata.DeletionTimestamp != "" || p.Status.PodIP == "" {
			continue
		}
		resp, err := client.Get("http://" + p.Status.PodIP + ":8080/status")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Metadata.Name, err)
		}
		var s status
		err = json.NewDecoder(resp.Body).Decode(&s)
		resp.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Metadata.Name, err)
		}
		all[p.Metadata.Name] = s
	}
	return all, nil
}

// leader is the pod of the leading master, or "".
func leader(all map[string]status) string {
	for name, s := range all {
		if s.Role == "leader" {
			return name
		}
	}
	return ""
}

// untilTwo waits until there are two masters, ready, one of which leads and the other follows it.
func (r *rig) untilTwo(t *testing.T) map[string]status {
	t.Helper()
	var all map[string]status
	until(t, "one of two masters leads and the other follows", func() (bool, string) {
		var err error
		if all, err = r.masters(t); err != nil {
			return false, err.Error()
		}
		seen := fmt.Sprintf("%+v", all)
		first := leader(all)
		if first == "" || len(all) != 2 {
			return false, seen
		}
		for name, s := range all {
			if !s.Ready || s.Leader != all[first].Leader || len(s.Members) != 2 || (name != first) != (s.Role == "follower") {
				return false, seen
			}
		}
		return true, seen
	})
	return all
}

// killLeader kills the leading master without a chance to say good-bye, and waits until another one leads.
func (r *rig) killLeader(t *testing.T) string {
	t.Helper()
	before := r.untilTwo(t)
	old := leader(before)
	r.checkRefusals(t) // in its log, as long as there is one
	r.kubectl(t, "-n", namespace, "delete", "pod", old, "--force", "--grace-period=0")
	until(t, "another master leads", func() (bool, string) {
		all, err := r.masters(t)
		if err != nil {
			return false, err.Error()
		}
		now := leader(all)
		return now != "" && now != old && all[now].Epoch > before[old].Epoch, fmt.Sprintf("%+v", all)
	})
	r.untilServed(t)
	return old
}

// untilServed waits until the Service leads nobody any more to a master that is gone: stage programs of the old system try a call
// once, so what they would see of a node's delay is not what is tested here.
func (r *rig) untilServed(t *testing.T) {
	t.Helper()
	dialer := net.Dialer{Timeout: time.Second}
	until(t, "the Service leads to living masters only", func() (bool, string) {
		for range 16 {
			c, err := dialer.DialContext(t.Context(), "tcp", r.address)
			if err != nil {
				return false, err.Error()
			}
			c.Close()
		}
		return true, ""
	})
}

// testMasters: a leader and a follower run as nobody on a root that they cannot write to, and each has the shell beside it.
func testMasters(t *testing.T, r *rig) {
	for name := range r.untilTwo(t) {
		out, err := r.tryKubectl(t.Context(), "-n", namespace, "exec", name, "--", "clic", "-list_task")
		if err != nil {
			t.Errorf("the shell in the pod of a master: %v\n%s", err, out)
		}
	}
	if out, err := r.clic(t, "info"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	var pods []pod
	r.list(t, &pods, "pods", "app.kubernetes.io/name=clic-master")
	for _, p := range pods {
		for _, c := range p.Status.ContainerStatuses {
			if c.RestartCount > 0 {
				t.Errorf("%s was restarted %d times", p.Metadata.Name, c.RestartCount)
			}
		}
	}
}
