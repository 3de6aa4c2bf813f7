package redis_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// TestSlotMoves: a slot of a Cluster moves to another node while its tasks are written. What cannot be done meanwhile waits, and
// nothing is applied twice, or to a half of a task.
func TestSlotMoves(t *testing.T) {
	cluster := redistest.Cluster(t, 3)
	s, epoch := lead(t, redis.Options{URL: cluster.URL(), Patience: 30 * time.Second})
	const task = "p-aaaaaaaa"
	commit(t, s, epoch, creation(task, 3), creation("p-bbbbbbbb", 3))
	key := "clic:task:{" + task + "}"
	from, err := cluster.Owner(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	to := cluster.Nodes[0]
	if to == from {
		to = cluster.Nodes[1]
	}
	ask := func(c *client.Client, args ...any) *client.Cmd {
		t.Helper()
		cmd := c.Do(t.Context(), args...)
		if cmd.Err() != nil {
			t.Fatalf("%v: %v", args, cmd.Err())
		}
		return cmd
	}
	slot := ask(from.Admin(), "CLUSTER", "KEYSLOT", key).Val()
	fromID, toID := ask(from.Admin(), "CLUSTER", "MYID").Val(), ask(to.Admin(), "CLUSTER", "MYID").Val()
	ask(to.Admin(), "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	ask(from.Admin(), "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)

	// Half of the task goes; then a change of all of it is asked for.
	host, port, _ := net.SplitHostPort(to.Addr)
	move := func(keys ...string) {
		t.Helper()
		args := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
		for _, k := range keys {
			args = append(args, k)
		}
		ask(from.Admin(), args...)
	}
	move(fmt.Sprintf("clic:stage:{%s}:1", task))
	done := make(chan error, 1)
	go func() {
		done <- s.Commit(t.Context(), epoch, []store.Change{{
			Task: task, Base: 1, Log: []store.LogEntry{{Seq: 2, Body: []byte("x")}},
			Nodes: []store.NodeRecord{{Index: 0, State: []byte("new")}, {Index: 1, State: []byte("new")}},
		}})
	}()
	eventually(t, "it has to wait", func() bool { return !s.Health().Reachable })
	move(ask(from.Admin(), "CLUSTER", "GETKEYSINSLOT", slot, 1000).Val().([]any)[0].(string))
	rest, err := from.Admin().ClusterGetKeysInSlot(t.Context(), int(slot.(int64)), 1000).Result()
	if err != nil {
		t.Fatal(err)
	}
	move(rest...)
	for _, node := range append([]*redistest.Server{to}, cluster.Nodes...) {
		ask(node.Admin(), "CLUSTER", "SETSLOT", slot, "NODE", toID)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	checkHistory(t, s, task, 2)
	for i, n := range load(t, s, task).Nodes[:2] {
		if string(n.State) != "new" {
			t.Errorf("node %d has state %q", i, n.State)
		}
	}
	commit(t, s, epoch, store.Change{Task: "p-bbbbbbbb", Base: 1}, store.Change{Delete: true, Task: task})
}
