package redis

import (
	"errors"
	"testing"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// TestLatePackets: what was sent on a connection that broke, and sent again on another, arrives once more, long after. By then its
// session is over.
func TestLatePackets(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	s, err := Open(t.Context(), Options{URL: server.URLVia(proxy)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	epoch, err := s.Lead(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	header := &store.Header{Task: "p-aaaaaaaa", Plan: "p", Status: dag.TaskRunning, Submitted: 1, Body: []byte("{}"), Request: "once"}
	create := store.Change{Create: true, Task: header.Task, Header: header, Source: []byte("plan")}
	update := store.Change{Task: header.Task, Log: []store.LogEntry{{Seq: 2, Body: []byte("x")}}} // whatever the revision
	remove := store.Change{Task: header.Task, Delete: true}

	// late makes the packet as it is sent now, and has the answer to the next one lost.
	late := func(c store.Change) []any {
		t.Helper()
		o, err := s.prepareOne(epoch, &c)
		if err != nil {
			t.Fatal(err)
		}
		if c.Delete {
			o.call = s.deleteCall(o, standing{exists: true, creation: server.Admin().HGet(t.Context(), "clic:task:{p-aaaaaaaa}", "creation").Val()})
		}
		o.call.args[o.call.fence] = server.Admin().Get(t.Context(), "clic:epoch").Val()
		proxy.Lose(redistest.Loss{Direction: redistest.Answers, Count: 1, Match: "evalsha"})
		return o.call.args
	}
	arrives := func(packet []any) {
		t.Helper()
		v, err := server.Admin().Do(t.Context(), packet...).Slice()
		if err != nil || len(v) != 2 || v[0] != "late" {
			t.Errorf("a late packet is answered with %v, %v", v, err)
		}
	}
	commit := func(batch ...store.Change) {
		t.Helper()
		if err := s.Commit(t.Context(), epoch, batch); err != nil {
			t.Fatal(err)
		}
	}

	lateCreate := late(create)
	commit(create)
	lateUpdate := late(update)
	commit(update)
	lateRemove := late(remove)
	commit(remove)
	arrives(lateCreate)
	if _, err := s.Load(t.Context(), header.Task); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the task is back: %v", err)
	}
	again := create
	again.Source = []byte("another")
	commit(again)
	for _, packet := range [][]any{lateCreate, lateUpdate, lateRemove} {
		arrives(packet)
	}
	if r, err := s.Load(t.Context(), header.Task); err != nil || r.Revision != 1 || r.LastSeq != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestScriptsAreComplete: each file is a script, or a part of one.
func TestScriptsAreComplete(t *testing.T) {
	s, err := newScripts()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[any]bool{}
	for _, one := range s.all() {
		if one.text == "" || seen[one.sha] {
			t.Errorf("script %q is missing, or there twice", one.name)
		}
		seen[one.sha] = true
	}
	entries, err := luaFiles.ReadDir("lua")
	if err != nil || len(entries) != len(seen)+3 { // three are parts of others
		t.Errorf("%d files, %d scripts, %v", len(entries), len(seen), err)
	}
}

func TestSlots(t *testing.T) {
	for key, want := range map[string]uint16{
		"123456789": 0x31c3, "{123456789}x": 0x31c3, "a{123456789}{b}": 0x31c3, "": 0,
	} {
		if got := slotOf(key); got != want%slots {
			t.Errorf("slot of %q is %d, want %d", key, got, want)
		}
	}
	if slotOf("{}a") == slotOf("{}b") {
		t.Error("empty braces are no tag")
	}
	for slot, tag := range slotTags() {
		if slotOf("x{"+tag+"}") != uint16(slot) {
			t.Fatalf("tag %q is not for slot %d", tag, slot)
		}
	}
}
