package plan

import (
	"fmt"
	"strconv"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// created sets the variables of the submission's time: {{workflow.creationTimestamp}}, .s (seconds since the epoch),
// .RFC3339, and one for each letter of strftime that Argo knows.
func created(g expr.MapScope, at dag.Time) {
	const name = "workflow.creationTimestamp"
	t := time.UnixMilli(int64(at)).UTC()
	g[name] = t.Format(time.RFC3339)
	g[name+".RFC3339"] = g[name]
	g[name+".s"] = strconv.FormatInt(t.Unix(), 10)
	for letter, layout := range map[string]string{
		"a": "Mon", "A": "Monday", "b": "Jan", "B": "January", "d": "02", "D": "01/02/06", "e": "_2", "F": "2006-01-02",
		"H": "15", "I": "03", "m": "01", "M": "04", "p": "PM", "R": "15:04", "S": "05", "T": "15:04:05", "y": "06",
		"Y": "2006", "Z": "MST", "z": "-0700", "c": "Mon Jan _2 15:04:05 2006", "x": "01/02/06", "X": "15:04:05",
	} {
		g[name+"."+letter] = t.Format(layout)
	}
	year, week := t.ISOWeek()
	for letter, text := range map[string]string{
		"C": fmt.Sprintf("%02d", t.Year()/100), "j": fmt.Sprintf("%03d", t.YearDay()), "u": weekday(t), "w": strconv.Itoa(int(t.Weekday())),
		"G": strconv.Itoa(year), "V": fmt.Sprintf("%02d", week), "k": strconv.Itoa(t.Hour()), "n": "\n", "t": "\t",
		"L": fmt.Sprintf("%03d", t.Nanosecond()/1_000_000), "f": fmt.Sprintf("%06d", t.Nanosecond()/1000),
	} {
		g[name+"."+letter] = text
	}
}

// weekday numbers the days from Monday, 1.
func weekday(t time.Time) string {
	d := int(t.Weekday())
	if d == 0 {
		d = 7
	}
	return strconv.Itoa(d)
}
