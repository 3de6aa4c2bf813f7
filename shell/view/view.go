// Package view is how tasks, stages and all else that the master tells look in JSON and YAML. The keys are an interface:
// they are added to, never renamed. Moments are RFC 3339 in UTC; a key whose value is unknown or empty is left out.
package view

import (
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// Hidden replaces values that look like secrets.
const Hidden = "(hidden)"

// Task is a task.
type Task struct {
	Name            string            `json:"name"`
	Plan            string            `json:"plan"`
	Status          string            `json:"status"`
	Message         string            `json:"message,omitempty"`
	Stages          int32             `json:"stages"`
	Counts          map[string]int32  `json:"counts,omitempty"`
	Submitted       time.Time         `json:"submitted,omitzero"`
	Started         time.Time         `json:"started,omitzero"`
	Ended           time.Time         `json:"ended,omitzero"`
	Expires         time.Time         `json:"expires,omitzero"`
	Deadline        time.Time         `json:"deadline,omitzero"`
	RemainingMillis *int64            `json:"remainingMillis,omitempty"`
	Priority        int32             `json:"priority,omitempty"`
	Owner           string            `json:"owner,omitempty"`
	Form            string            `json:"form,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Parameters      map[string]string `json:"parameters,omitempty"`
	Outputs         map[string]string `json:"outputs,omitempty"`
	Holds           []Hold            `json:"holds,omitempty"`
}

// Hold is a suspension.
type Hold struct {
	ID     int64     `json:"id"`
	Root   string    `json:"root"`
	Mode   string    `json:"mode"`
	Who    string    `json:"who,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
}

// Stage is a stage or, where asked for, a group of stages.
type Stage struct {
	ID          string            `json:"id"`
	Task        string            `json:"task"`
	Name        string            `json:"name"`
	Path        string            `json:"path,omitempty"`
	Kind        string            `json:"kind"`
	Status      string            `json:"status"`
	Template    string            `json:"template,omitempty"`
	Platform    string            `json:"platform,omitempty"`
	Group       string            `json:"group,omitempty"`
	Parents     []string          `json:"parents,omitempty"`
	Children    []string          `json:"children,omitempty"`
	Attempt     int32             `json:"attempt"`
	Retries     int32             `json:"retries"`
	Launched    time.Time         `json:"launched,omitzero"`
	Started     time.Time         `json:"started,omitzero"`
	Prepared    time.Time         `json:"prepared,omitzero"`
	Ended       time.Time         `json:"ended,omitzero"`
	RetryAt     time.Time         `json:"retryAt,omitzero"`
	ExitCode    *int32            `json:"exitCode,omitempty"`
	Message     string            `json:"message,omitempty"`
	Failure     *Failure          `json:"failure,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`
	Info        string            `json:"info,omitempty"`
	Inputs      map[string]string `json:"inputs,omitempty"`
	Result      *string           `json:"result,omitempty"`
	Outputs     map[string]string `json:"outputs,omitempty"`
	Holds       []Hold            `json:"holds,omitempty"`
	Attempts    []Attempt         `json:"attempts,omitempty"`
	Progress    *Progress         `json:"progress,omitempty"`
	CPUMillis   *int64            `json:"cpuMillis,omitempty"`
	MaxRSSBytes *int64            `json:"maxRssBytes,omitempty"`
	Explanation *Explanation      `json:"explanation,omitempty"`
}

// Failure is why an attempt failed.
type Failure struct {
	Kind     string `json:"kind"`
	ExitCode int32  `json:"exitCode"`
	Message  string `json:"message,omitempty"`
}

// Attempt is an earlier attempt of a stage.
type Attempt struct {
	Number  int32     `json:"number"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Failure *Failure  `json:"failure,omitempty"`
}

// Progress is what a stage says of its own advance.
type Progress struct {
	Done    int64  `json:"done"`
	Total   int64  `json:"total,omitempty"`
	Message string `json:"message,omitempty"`
}

// Explanation says why a stage is where it is.
type Explanation struct {
	Kind   string    `json:"kind"`
	Text   string    `json:"text"`
	Stages []string  `json:"stages,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

// Event is a line of a task's history.
type Event struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Stage   string    `json:"stage,omitempty"`
	From    string    `json:"from,omitempty"`
	To      string    `json:"to,omitempty"`
	Attempt int32     `json:"attempt,omitempty"`
	Message string    `json:"message,omitempty"`
	Who     string    `json:"who,omitempty"`
}

// utc converts a time of the wire; the zero time for 0.
func utc(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// FromTask converts a task.
func FromTask(t *master.TaskInfo) Task {
	return Task{
		Name: t.TaskName, Plan: t.PlanName, Status: t.State.String(), Message: t.Message,
		Stages: t.Stages, Counts: t.Counts,
		Submitted: utc(t.Submitted), Started: utc(t.Started), Ended: utc(t.Ended), Expires: utc(t.Expires),
		Deadline: utc(t.GetDeadline()), RemainingMillis: t.RemainingMillis,
		Priority: t.Priority, Owner: t.Owner, Form: t.Form,
		Labels: t.Labels, Parameters: Mask(t.Parameters), Outputs: t.Outputs, Holds: FromHolds(t.Holds),
	}
}

// FromTasks converts a list of tasks.
func FromTasks(ts []*master.TaskInfo) []Task {
	all := make([]Task, len(ts))
	for i, t := range ts {
		all[i] = FromTask(t)
	}
	return all
}

// FromHold converts a hold.
func FromHold(h *master.Hold) Hold {
	return Hold{
		ID: h.ID, Root: h.RootStageId, Mode: strings.ToLower(h.Mode.String()), Who: h.Who, Reason: h.Reason,
		Since: utc(h.Since), Until: utc(h.GetUntilTime()),
	}
}

// FromHolds converts a list of holds.
func FromHolds(hs []*master.Hold) []Hold {
	var all []Hold
	for _, h := range hs {
		all = append(all, FromHold(h))
	}
	return all
}

// Kind is the name of a node's kind: stage, dag, steps, step-group, fan-out, retry, gate.
func Kind(k master.NodeKind) string {
	return strings.ReplaceAll(strings.ToLower(k.String()), "_", "-")
}

// FromStage converts a stage.
func FromStage(s *master.StageInfo) Stage {
	v := Stage{
		ID: s.StageId, Task: s.TaskName, Name: s.Name, Path: s.Path, Kind: Kind(s.Kind), Status: s.State.String(),
		Template: s.Template, Platform: s.Platform, Group: s.Group, Parents: s.Parents, Children: s.Children,
		Attempt: s.Attempt, Retries: s.Retries,
		Launched: utc(s.Launched), Started: utc(s.Started), Prepared: utc(s.Prepared), Ended: utc(s.Ended),
		RetryAt: utc(s.GetRetryAt()), ExitCode: s.ExitCode, Message: s.Message, Failure: fromFailure(s.Failure),
		Warnings: s.Warnings, Info: s.Info, Inputs: Mask(s.Inputs), Holds: FromHolds(s.Holds),
		CPUMillis: s.CpuMillis, MaxRSSBytes: s.MaxRssBytes, Explanation: FromExplanation(s.Explanation),
	}
	if o := s.Outputs; o != nil {
		v.Result, v.Outputs = o.Result_, o.Parameters
	}
	if s.ProgressDone != nil || s.ProgressMessage != nil {
		v.Progress = &Progress{Done: s.GetProgressDone(), Total: s.GetProgressTotal(), Message: s.GetProgressMessage()}
	}
	for _, a := range s.Attempts {
		v.Attempts = append(v.Attempts, Attempt{
			Number: a.Number, Started: utc(a.Started), Ended: utc(a.Ended), Failure: fromFailure(a.Failure),
		})
	}
	return v
}

// FromStages converts a list of stages.
func FromStages(ss []*master.StageInfo) []Stage {
	all := make([]Stage, len(ss))
	for i, s := range ss {
		all[i] = FromStage(s)
	}
	return all
}

func fromFailure(f *master.Failure) *Failure {
	if f == nil {
		return nil
	}
	return &Failure{Kind: f.Kind, ExitCode: f.ExitCode, Message: f.Message}
}

// FromExplanation converts an explanation; nil stays nil.
func FromExplanation(e *master.Explanation) *Explanation {
	if e == nil {
		return nil
	}
	return &Explanation{Kind: e.Kind, Text: e.Text, Stages: e.Stages, Until: utc(e.GetUntilTime())}
}

// FromEvent converts a history entry.
func FromEvent(e *master.Event) Event {
	return Event{
		Seq: e.Seq, At: utc(e.At), Stage: e.StageId, From: e.FromState, To: e.ToState, Attempt: e.Attempt,
		Message: e.Message, Who: e.Who,
	}
}

// Mask replaces the values of parameters whose names look like those of secrets.
func Mask(params map[string]string) map[string]string {
	var masked map[string]string
	for name := range params {
		if !Secret(name) {
			continue
		}
		if masked == nil {
			masked = make(map[string]string, len(params))
			for k, v := range params {
				masked[k] = v
			}
		}
		masked[name] = Hidden
	}
	if masked == nil {
		return params
	}
	return masked
}

// Secret reports whether a parameter of that name probably holds a secret.
func Secret(name string) bool {
	plain := strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
	for _, word := range []string{"password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential"} {
		if strings.Contains(plain, word) {
			return true
		}
	}
	return false
}
