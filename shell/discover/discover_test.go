package discover_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/shell/discover"
)

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"localhost":      "localhost:7777",
		"10.0.0.1:80":    "10.0.0.1:80",
		"::1":            "[::1]:7777",
		"[::1]":          "[::1]:7777",
		"[fe80::1]:9":    "[fe80::1]:9",
		":7000":          "127.0.0.1:7000",
		" master:7777 ":  "master:7777",
		"":               "",
		"a:0":            "",
		"a:70000":        "",
		"a:http":         "",
		"a:b:c":          "",
		"http://a:7777":  "",
		"a b":            "",
		"tcp://1.2.3.4/": "",
		"a,b":            "",
	} {
		got, err := discover.ParseAddress(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	write := func(path, content string) string {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	system := write("system.config", "# the cluster's\nip=10.1.1.1\nport=1111\n")
	home := filepath.Join(dir, "home")
	file := write("home/conf/master-info.config", "ip = \n")
	write("home/conf/master-info.config", `export ip="clic-master" port='7070' # comment`+"\r\n")
	several := write("several.config", "ip=a,b:2\nport=7070\n")
	none := filepath.Join(dir, "none")

	tests := []struct {
		name   string
		flag   string
		env    map[string]string
		system string
		want   discover.Master
	}{
		{"flag", "a:1", map[string]string{"CLIC_MASTER": "b:2"}, system, discover.Master{Address: "a:1", Source: "--master"}},
		{"variable", "", map[string]string{"CLIC_MASTER": "b", "CLIC_HOME": home}, system, discover.Master{Address: "b:7777", Source: "CLIC_MASTER"}},
		{"several", "a, b:2,[::1]", nil, none, discover.Master{Address: "a:7777,b:2,[::1]:7777", Source: "--master"}},
		{"several in a file", "", nil, several, discover.Master{Address: "a:7070,b:2", Source: several, File: several}},
		{"home", "", map[string]string{"CLIC_HOME": home}, system, discover.Master{Address: "clic-master:7070", Source: file, File: file}},
		{"system", "", map[string]string{"CLIC_HOME": none}, system, discover.Master{Address: "10.1.1.1:1111", Source: system, File: system}},
		{"default", "", nil, none, discover.Master{Address: "127.0.0.1:7777", Source: "the default"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f := discover.Finder{Flag: tc.flag, Getenv: func(k string) string { return tc.env[k] }, SystemFile: tc.system}
			got, err := f.Find()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for content, want := range map[string]string{
		"ip=1.2.3.4\nport = 7777\n": `f:2: "port" is not of the form key=value`,
		"\n\nip=\"1.2.3.4\n":        `f:3: the quote " is not closed`,
		"ip=$(hostname)":            `f:1: '$' has a meaning to bash`,
		"ip=\"$HOST\"":              `f:1: '$' has a meaning to bash`,
		"1p=3":                      `f:1: "1p" is not a key`,
		"ip=a\\":                    `f:1: a line cannot be continued`,
	} {
		_, err := discover.Parse("f", content)
		if e, ok := errors.AsType[*discover.Error](err); !ok || !strings.HasPrefix(e.Error(), want) {
			t.Errorf("Parse(%q): %v; want %s…", content, err, want)
		}
	}
}

func TestParseLikeBash(t *testing.T) {
	values, err := discover.Parse("f", "\ufeff# c\nip=a#b # c\nip='x y'\"\\\"z\"\\ w; port=1 # last\nempty=\n")
	if err != nil {
		t.Fatal(err)
	}
	want := discover.Values{"ip": {Value: `x y"z w`, Line: 3}, "port": {Value: "1", Line: 3}, "empty": {Line: 4}}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ip=127.0.0.1\nport=7777\n# comment\n")
	f.Add("export ip=\"a\\\"b\" port='7'\r\n")
	f.Fuzz(func(t *testing.T, content string) {
		values, err := discover.Parse("f", content)
		if err != nil {
			if _, ok := errors.AsType[*discover.Error](err); !ok {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		for key, e := range values {
			if key == "" || e.Line < 1 {
				t.Fatalf("key %q on line %d", key, e.Line)
			}
		}
	})
}
