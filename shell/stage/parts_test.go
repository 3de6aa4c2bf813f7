package stage

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseOptions(t *testing.T) {
	with := func(change func(*Options)) Options {
		o := defaults()
		change(&o)
		return o
	}
	tests := map[string]struct {
		text string
		want Options
		bad  bool
	}{
		"none":   {"", defaults(), false},
		"empty":  {"{}", defaults(), false},
		"future": {`{"color":"blue"}`, defaults(), false},
		"all": {
			`{"result":true,"outputs":[{"name":"p","path":"/p","default":""}],"heartbeat":"1m30s","resultLimit":1,"outputLimit":2,
			"callbacks":true,"grace":"5s","patience":"1h","terminationLog":"/log","messageLimit":1024}`,
			Options{
				Result: true, Outputs: []Output{{Name: "p", Path: "/p", Default: new("")}}, Heartbeat: Duration(90 * time.Second),
				ResultLimit: 1, OutputLimit: 2, Callbacks: true, Grace: Duration(5 * time.Second), Patience: Duration(time.Hour),
				TerminationLog: "/log", MessageLimit: 1024,
			},
			false,
		},
		"no heartbeat": {`{"heartbeat":"0s"}`, with(func(o *Options) { o.Heartbeat = 0 }), false},
		"fast":         {`{"heartbeat":"1ns"}`, with(func(o *Options) { o.Heartbeat = Duration(minHeartbeat) }), false},
		"no duration":  {`{"heartbeat":""}`, defaults(), false},
		"large":        {`{"messageLimit":100000}`, defaults(), false},
		"small":        {`{"messageLimit":1}`, with(func(o *Options) { o.MessageLimit = minMessage }), false},
		"no JSON":      {"{", defaults(), true},
		"a number":     {`{"heartbeat":10}`, defaults(), true},
		"negative":     {`{"grace":"-1s"}`, defaults(), true},
		"no path":      {`{"outputs":[{"name":"p"}]}`, defaults(), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseOptions(test.text)
			if (err != nil) != test.bad {
				t.Error(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzOptions(f *testing.F) {
	f.Add(`{"result":true,"outputs":[{"name":"p","path":"/p","default":""}],"heartbeat":"10s","messageLimit":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseOptions(text)
		if err != nil && !cmp.Equal(o, defaults()) {
			t.Errorf("%v beside %+v", err, o)
		}
		if o.MessageLimit < minMessage || o.MessageLimit > maxMessage || o.Grace < 0 || o.killAfter() < 0 {
			t.Errorf("%+v", o)
		}
	})
}

func TestKillAfter(t *testing.T) {
	for grace, want := range map[time.Duration]time.Duration{
		0: 0, time.Second: 900 * time.Millisecond, 10 * time.Second: 9 * time.Second, time.Hour: time.Hour - time.Second,
	} {
		if got := (&Options{Grace: Duration(grace)}).killAfter(); got != want {
			t.Errorf("of %v: %v, want %v", grace, got, want)
		}
	}
}

func TestMessage(t *testing.T) {
	text, fits := message{Outputs: &outputs{Result: new("<a>"), Parameters: map[string]string{"p": "&"}}}.encode(maxMessage)
	const want = `{"v":1,"exit":0,"signal":"","error":"","posted":false,"outputs":{"result":"<a>","parameters":{"p":"&"}}}`
	if !fits || string(text) != want {
		t.Errorf("%v: %s", fits, text)
	}
}

// FuzzMessage: whatever is in a message, what is written is short enough and can be read.
func FuzzMessage(f *testing.F) {
	f.Add(1, "error", "info", "result", 4096)
	f.Add(0, strings.Repeat("\x01", 5000), strings.Repeat("ä", 5000), strings.Repeat("\\", 4000), minMessage)
	f.Fuzz(func(t *testing.T, exit int, wrong, info, result string, limit int) {
		limit = max(minMessage, min(limit, maxMessage))
		wrong, info, result = strings.ToValidUTF8(wrong, "?"), strings.ToValidUTF8(info, "?"), strings.ToValidUTF8(result, "?")
		m := message{
			Exit: exit % 256, Signal: "31 (bad system call)", Error: wrong, Info: info, Started: 1 << 62, Posted: true, Stopped: true,
			Usage: &usage{CPU: 1 << 50, RSS: 1 << 50}, Outputs: &outputs{Result: &result},
		}
		text, fits := m.encode(limit)
		var back message
		if err := json.Unmarshal(text, &back); err != nil || len(text) > limit || !strings.HasPrefix(string(text), `{"v":1,`) {
			t.Fatalf("%d bytes of %d, %v: %q", len(text), limit, err, text)
		}
		if back.Exit != exit%256 || !strings.HasPrefix(wrong, strings.TrimSuffix(back.Error, "…")) {
			t.Errorf("%q of %q", back.Error, wrong)
		}
		if fits != (back.Outputs != nil) || fits && *back.Outputs.Result != result {
			t.Errorf("fits: %v, %+v", fits, back.Outputs)
		}
	})
}

func TestCut(t *testing.T) {
	for n := range 14 {
		got := cut("aäaäaäaä", n)
		if len(got) > n || !utf8.ValidString(got) {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestParseStat(t *testing.T) {
	for text, want := range map[string]proc{
		"12 (sh) S 3 4 5 0":        {12, 3, 4, 'S'},
		"12 (a) b (c)) Z 3 4 5 0":  {12, 3, 4, 'Z'},
		"12 (new\nline) R 0 0 0 0": {12, 0, 0, 'R'},
	} {
		if got, ok := parseStat(12, []byte(text)); !ok || got != want {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "12 sh S 3 4", "12 (sh)", "12 (sh) S x 4", "12 (sh) SS 3 4", "12 (sh) S 3 y"} {
		if got, ok := parseStat(12, []byte(text)); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestMounts(t *testing.T) {
	m := parseMounts(`
22 1 0:21 / / rw,relatime - overlay overlay rw
23 22 0:22 / /data rw,noatime master:1 - nfs4 server:/ rw
24 22 0:23 / /config ro,relatime - tmpfs tmpfs rw
25 22 8:1 /x /a\040b rw - ext4 /dev/sda1 rw
26 23 8:1 /y /data/own ro - ext4 /dev/sda1 rw
27 22 8:1 /hosts /etc/hosts rw - ext4 /dev/sda1 rw
short line`)
	for name, want := range map[string]bool{
		"/data/x": true, "/data/deep/er/x": true, "/config/x": false, "/x": false, "/tmp/x": false, "/a b/x": true, "/data/own/x": false,
		"/etc/hosts": true, "/database": false, "/data": true, "/data/../x": false,
	} {
		if got := m.keeps(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
