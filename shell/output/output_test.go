package output_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/shell/iostreams"
	"github.com/clic-orchestrator/clic/shell/output"
)

func example() *output.Table {
	t := output.NewTable(output.Column{Title: "ID", Fixed: true}, output.Column{Title: "N", Right: true}, output.Column{Title: "NAME", Max: 35},
		output.Column{Title: "MESSAGE"})
	t.Row(output.Text("a-very-long-identifier-indeed"), output.Text("7"), output.Text("合计"), output.Text("one\ttwo\nthree\x1b[31m red\x1b[0m\n"))
	t.Row(output.Text("b"), output.Text("100"), output.Text("a name of more than thirty-five characters"))
	return t
}

func TestTable(t *testing.T) {
	tests := []struct {
		name    string
		columns int
		want    string
	}{
		{"a pipe", 0, "a-very-long-identifier-indeed\t7\t合计\tone two three red\nb\t100\ta name of more than thirty-five ...\t\n"},
		{"a wide terminal", 100, `ID                               N  NAME                                 MESSAGE
a-very-long-identifier-indeed    7  合计                                 one two three red
b                              100  a name of more than thirty-five ch…
`},
		{"a narrow terminal", 60, `ID                               N  NAME         MESSAGE
a-very-long-identifier-indeed    7  合计         one two th…
b                              100  a name of …
`},
		{"too narrow for what is never cut", 10, `ID                               N  NAME      MESSAGE
a-very-long-identifier-indeed    7  合计      one two…
b                              100  a name …
`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s, _, out, _ := iostreams.Test()
			if tc.columns > 0 {
				s.OutTerminal = true
				s.SetSize(tc.columns, 24)
			}
			if err := example().Write(s); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:             "0s",
		0:                        "0.0s",
		1234 * time.Millisecond:  "1.2s",
		9949 * time.Millisecond:  "9.9s",
		9990 * time.Millisecond:  "10s",
		59400 * time.Millisecond: "59s",
		59900 * time.Millisecond: "1m00s",
		3 * time.Hour:            "3h00m",
		49 * time.Hour:           "2d1h",
	} {
		if got := output.Duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5.0 GiB"} {
		if got := output.Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestEncode checks that YAML says the same as JSON, with the same order, and quotes what YAML would take for something else.
func TestEncode(t *testing.T) {
	value := struct {
		Name  string            `json:"name"`
		Yes   string            `json:"yes"`
		N     string            `json:"n"`
		Count int               `json:"count"`
		Text  string            `json:"text"`
		Map   map[string]string `json:"map"`
		List  []string          `json:"list"`
	}{"a<b", "yes", "007", 3, "one\ntwo\n", map[string]string{"k: v": "x"}, nil}
	for format, want := range map[output.Format]string{
		output.JSON: `{
  "name": "a<b",
  "yes": "yes",
  "n": "007",
  "count": 3,
  "text": "one\ntwo\n",
  "map": {
    "k: v": "x"
  },
  "list": null
}
`,
		output.YAML: `name: a<b
"yes": "yes"
"n": "007"
count: 3
text: |
  one
  two
map:
  'k: v': x
list: null
`,
	} {
		var b bytes.Buffer
		if err := output.Encode(&b, format, value); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", format, diff)
		}
	}
}
