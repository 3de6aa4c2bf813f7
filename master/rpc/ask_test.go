package rpc_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/master/rpc"
)

// A master that does not answer is not waited for, and one that is none is told.
func TestAskNobody(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := rpc.Ask(ctx, l.Addr().String()); err == nil || !strings.Contains(err.Error(), "cannot ask the master: context deadline exceeded") {
		t.Errorf("one that is silent: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Ask(t.Context(), l.Addr().String()); err == nil || !strings.Contains(err.Error(), "cannot reach the master") {
		t.Errorf("nobody: %v", err)
	}
}
