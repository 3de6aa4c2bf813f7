// Package when reads moments as people type them: a duration from now (90m, 2d), a time of day (06:00), a date, or
// RFC 3339.
package when

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var errForm = errors.New("must be a duration (90m, 2d), a time of day (06:00), a date (2006-01-02) or RFC 3339 (2006-01-02T15:04:05Z)")

// Future reads a moment to come: a duration counts from now, a time of day is its next occurrence. A moment that has
// passed is an error.
func Future(s string, now time.Time) (time.Time, error) {
	t, clock, err := read(s, now, +1)
	if err != nil {
		return time.Time{}, err
	}
	if clock && !t.After(now) {
		t = t.AddDate(0, 0, 1)
	}
	if !t.After(now) {
		return time.Time{}, fmt.Errorf("%s has passed already", t.Format(time.DateTime))
	}
	return t, nil
}

// Past reads a moment that has passed: a duration counts back from now, a time of day is its last occurrence.
func Past(s string, now time.Time) (time.Time, error) {
	t, clock, err := read(s, now, -1)
	if err != nil {
		return time.Time{}, err
	}
	if clock && t.After(now) {
		t = t.AddDate(0, 0, -1)
	}
	return t, nil
}

// read says also whether s was a time of day.
func read(s string, now time.Time, direction int) (t time.Time, clock bool, err error) {
	s = strings.TrimSpace(s)
	if d, err := Duration(s); err == nil {
		return now.Add(time.Duration(direction) * d), false, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, false, nil
		}
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), true, nil
		}
	}
	return time.Time{}, false, errForm
}

// Duration reads what time.ParseDuration does, and days (d) and weeks (w), which are of 24 hours and 7 days. It is never
// negative.
func Duration(s string) (time.Duration, error) {
	var days time.Duration
	rest := s
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration (90s, 1h30m, 2d)", s)
		}
		days += time.Duration(n) * unit.length
		rest = after
	}
	if rest == "" && s != "" {
		return days, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration (90s, 1h30m, 2d)", s)
	}
	return days + d, nil
}
