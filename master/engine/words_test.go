package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
)

func TestShellWords(t *testing.T) {
	for _, tc := range []struct {
		line string
		want []string
	}{
		{"", nil},
		{"java -jar x.jar --dagPath=/data/a.yml", []string{"java", "-jar", "x.jar", "--dagPath=/data/a.yml"}},
		{`a 'b c' "d e" f\ g`, []string{"a", "b c", "d e", "f g"}},
		{`a"b"'c'd`, []string{"abcd"}},
		{`"a\"b" "c\d" 'e\f'`, []string{`a"b`, `c\d`, `e\f`}},
		{`x;y&&z|w`, []string{"x", "y", "z", "w"}},
		{`'' ""`, []string{"", ""}},
		{"a\n\tb", []string{"a", "b"}},
		{`unclosed "quote here`, []string{"unclosed", "quote here"}},
	} {
		if diff := cmp.Diff(tc.want, shellWords(tc.line)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.line, diff)
		}
	}
}

func TestTimersFireInOrder(t *testing.T) {
	var h timers
	for _, at := range []dag.Time{5, 3, 9, 1, 7, 3} {
		h.push(timer{at: at})
	}
	var got []dag.Time
	for {
		tm, ok := h.pop(7)
		if !ok {
			break
		}
		got = append(got, tm.at)
	}
	if diff := cmp.Diff([]dag.Time{1, 3, 3, 5, 7}, got); diff != "" {
		t.Errorf("fired (-want +got):\n%s", diff)
	}
	if h.next() != 9 {
		t.Errorf("next is %d", h.next())
	}
}
