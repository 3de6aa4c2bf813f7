package kube

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// A server that takes connections and then says nothing was not asked for anything.
func TestFateOfHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := http.Client{Transport: &http.Transport{TLSHandshakeTimeout: 10 * time.Millisecond}}
	defer c.CloseIdleConnections()
	answer, err := c.Get("https://" + l.Addr().String())
	if err == nil {
		_ = answer.Body.Close()
	}
	if fateOf(err) != fateUnavailable {
		t.Errorf("the fate after %v is %v", err, fateOf(err))
	}
}
