package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
)

// oldTask and oldStage are what the old master kept of a task and of a stage, as a JSON object under a key of each. The names of
// their fields are read in any of the ways that people spell them: plan_name, planName, PlanName.
type oldTask struct {
	name                      string
	plan, status              string
	submitted, started, ended dag.Time
	stages                    []string
	// note has the fields that are not known.
	note string
}

type oldStage struct {
	id, platform, status string
	parents, children    []string
	started, ended       dag.Time
	retries              int32
	job                  string
	note                 string
}

// oldFields is a JSON object whose fields are taken one by one.
type oldFields struct {
	values map[string]json.RawMessage // by the name without case and punctuation
	names  map[string]string          // as it was spelled
	zone   *time.Location
	err    error
}

// oldObject reads a JSON object, or a JSON text with one inside, as some clients of Redis write it.
func oldObject(text []byte, zone *time.Location) (*oldFields, error) {
	var inner string
	if err := json.Unmarshal(text, &inner); err == nil {
		text = []byte(inner)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("no JSON object: %w", err)
	}
	if object == nil {
		return nil, errors.New("no JSON object: null")
	}
	f := &oldFields{values: map[string]json.RawMessage{}, names: map[string]string{}, zone: zone}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		plain := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
		f.values[plain], f.names[plain] = object[name], name
	}
	return f, nil
}

// take removes the first of several fields that is there and is not null.
func (f *oldFields) take(names ...string) (value json.RawMessage, name string) {
	for _, n := range names {
		v, ok := f.values[n]
		if !ok {
			continue
		}
		delete(f.values, n)
		if string(v) != "null" && name == "" {
			value, name = v, f.names[n]
		}
	}
	return value, name
}

func (f *oldFields) fail(name string, value json.RawMessage) {
	if f.err == nil {
		f.err = fmt.Errorf("field %q cannot be read: %s", name, shorten(string(value)))
	}
}

// word is a text; numbers and truth values count as such. A dash is nothing: so the old calls wrote what is not set.
func (f *oldFields) word(names ...string) string {
	s, _, _ := f.scalar(names...)
	return s
}

// scalar is a word with the field that it comes from.
func (f *oldFields) scalar(names ...string) (s, name string, value json.RawMessage) {
	value, name = f.take(names...)
	if name == "" {
		return "", "", nil
	}
	if s = plainWord(value); s == "" && value[0] != '"' {
		f.fail(name, value)
	}
	if s == "-" {
		s = ""
	}
	return s, name, value
}

// plainWord reads a text, a number or a truth value; "" for anything else.
func plainWord(value json.RawMessage) string {
	var s string
	if err := json.Unmarshal(value, &s); err == nil {
		return strings.TrimSpace(s)
	}
	if len(value) > 0 && value[0] != '{' && value[0] != '[' {
		return string(value)
	}
	return ""
}

// time is a date or the number of milliseconds since 1970; 0 where it is not set, however that is written.
func (f *oldFields) time(names ...string) dag.Time {
	s, name, value := f.scalar(names...)
	if s == "" {
		return 0
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms >= 0 {
		return dag.Time(ms)
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04:05.000", "2006-01-02T15:04:05", time.RFC3339Nano} {
		if at, err := time.ParseInLocation(layout, s, f.zone); err == nil {
			return dag.Time(at.UnixMilli())
		}
	}
	f.fail(name, value)
	return 0
}

func (f *oldFields) number(names ...string) int32 {
	s, name, value := f.scalar(names...)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		f.fail(name, value)
	}
	return int32(n)
}

// list is an array of texts, a text with commas, or the keys of an object.
func (f *oldFields) list(names ...string) []string {
	value, name := f.take(names...)
	if name == "" {
		return nil
	}
	var all []string
	var object map[string]json.RawMessage
	switch err := json.Unmarshal(value, &all); {
	case err == nil:
	case json.Unmarshal(value, &object) == nil:
		all = slices.Sorted(maps.Keys(object))
	case value[0] == '"':
		all = strings.Split(plainWord(value), ",")
	default:
		f.fail(name, value)
	}
	var out []string
	for _, s := range all {
		if s = strings.TrimSpace(s); s != "" && s != "-" {
			out = append(out, s)
		}
	}
	return out
}

// note is what was not taken.
func (f *oldFields) note() string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(f.values)) {
		if v := string(f.values[n]); v != "null" && v != `""` {
			parts = append(parts, f.names[n]+"="+shorten(v))
		}
	}
	return strings.Join(parts, ", ")
}

// shorten keeps a note from becoming a book.
func shorten(s string) string {
	const most = 500
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// parseOldTask reads the value of a task's key.
func parseOldTask(name string, text []byte, zone *time.Location) (*oldTask, error) {
	f, err := oldObject(text, zone)
	if err != nil {
		return nil, err
	}
	t := &oldTask{name: name}
	t.plan = f.word("planname", "plan")
	t.status = f.word("taskstatus", "status", "state")
	t.submitted = f.time("submittime", "submitted", "createtime")
	t.started = f.time("starttime", "started", "begintime")
	t.ended = f.time("completetime", "completed", "endtime", "finishtime")
	t.stages = f.list("taskstagelist", "stagelist", "stageidlist", "stageids", "stages")
	f.take("taskruntime", "runtime") // follow from the others
	f.take("taskstagenum", "stagenum")
	if full := f.word("taskname"); full != "" && full != name {
		f.values["taskname"], _ = json.Marshal(full) // a text
	}
	t.note = f.note()
	if f.err != nil {
		return nil, f.err
	}
	// The old plan_name is the task's full name in what its calls answered.
	if t.plan == "" || t.plan == name {
		t.plan = name
		if k := len(name) - 9; k > 0 && name[k] == '-' {
			t.plan = name[:k]
		}
	}
	return t, nil
}

// parseOldStage reads the value of a stage's key.
func parseOldStage(id string, text []byte, zone *time.Location) (*oldStage, error) {
	f, err := oldObject(text, zone)
	if err != nil {
		return nil, err
	}
	s := &oldStage{id: id}
	f.take("stageid", "id")
	f.take("stageruntime", "runtime")
	f.take("taskname")
	s.platform = f.word("platform", "platformname")
	s.status = f.word("stagestatus", "status", "state")
	s.parents = f.list("parentlist", "parents", "parentids", "parentstageids", "parentstagelist", "parentidlist")
	s.children = f.list("childrenlist", "children", "childrenids", "childrenstageids", "childlist", "childrenstagelist", "childrenidlist")
	s.started = f.time("starttime", "started", "begintime")
	s.ended = f.time("completetime", "completed", "endtime", "finishtime")
	s.retries = f.number("retrycount", "retrycounts", "retries", "retry")
	if job, name := f.take("jobinfo", "job", "jobname"); name != "" {
		if s.job = plainWord(job); s.job == "" {
			s.job = string(job)
		}
	}
	s.note = f.note()
	return s, f.err
}
