package when_test

import (
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/shell/when"
)

var now = time.Date(2026, 3, 5, 14, 30, 0, 0, time.UTC)

func TestFuture(t *testing.T) {
	for in, want := range map[string]string{
		"90m":                  "2026-03-05T16:00:00Z",
		"2d":                   "2026-03-07T14:30:00Z",
		"1w1d2h":               "2026-03-13T16:30:00Z",
		"15:00":                "2026-03-05T15:00:00Z",
		"06:00":                "2026-03-06T06:00:00Z",
		"2026-03-06":           "2026-03-06T00:00:00Z",
		"2026-03-06 07:08":     "2026-03-06T07:08:00Z",
		"2026-03-05T23:00:00Z": "2026-03-05T23:00:00Z",
		"2026-03-05":           "",
		"-5m":                  "",
		"0s":                   "",
		"25:00":                "",
		"tomorrow":             "",
		"":                     "",
	} {
		check(t, in, want, when.Future)
	}
}

func TestPast(t *testing.T) {
	for in, want := range map[string]string{
		"1h":         "2026-03-05T13:30:00Z",
		"15:00":      "2026-03-04T15:00:00Z",
		"06:00":      "2026-03-05T06:00:00Z",
		"2026-03-01": "2026-03-01T00:00:00Z",
		"1x":         "",
	} {
		check(t, in, want, when.Past)
	}
}

func check(t *testing.T, in, want string, read func(string, time.Time) (time.Time, error)) {
	t.Helper()
	got, err := read(in, now)
	if want == "" {
		if err == nil {
			t.Errorf("%q: %v, want an error", in, got)
		}
		return
	}
	if err != nil || got.Format(time.RFC3339) != want {
		t.Errorf("%q: %v, %v; want %s", in, got.Format(time.RFC3339), err, want)
	}
}
