package plan

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// scope answers what the variables stand for at one place of a plan, at one moment of a run.
type scope struct {
	p *program
	// run is nil while the plan is built.
	run *dag.Run
	// tmpl is the template that the place belongs to, instance the node of the group that it makes, or -1; inputs are
	// that template's parameters.
	tmpl     *template
	instance int32
	inputs   map[string]string
	// item are the variables of the loop, or nil.
	item expr.MapScope
	// self is a call that is answered by the node own, whatever the group has under its name: the call of a hook.
	self *call
	own  int32
	// stage is the node whose program is filled in, or -1.
	stage int32
	// extra variables come first.
	extra expr.MapScope
	// naming is set while names are listed: what cannot be looked up then is only left out.
	naming bool
	// err is the first failure of something that was looked up.
	err error
	// loops are the results of loops that were looked up.
	loops map[int32]*loopOutputs
}

// at makes the scope of what stands in template t, whose node is instance.
func (p *program) at(run *dag.Run, t *template, instance int32) *scope {
	s := &scope{p: p, run: run, tmpl: t, instance: instance, own: -1, stage: -1}
	if run != nil && instance >= 0 {
		s.inputs = run.Node(instance).Spec.Inputs
	}
	return s
}

// Lookup implements expr.Scope.
func (s *scope) Lookup(name string) (string, bool) {
	if v, ok := s.extra[name]; ok {
		return v, true
	}
	root, rest, _ := strings.Cut(name, ".")
	switch root {
	case "workflow":
		return s.workflow(name, rest)
	case "inputs":
		return s.input(rest)
	case "item":
		v, ok := s.item[name]
		return v, ok
	case "steps", "tasks":
		if s.tmpl == nil || root == "steps" != (s.tmpl.kind == dag.KindSteps) {
			return "", false
		}
		return s.call(rest)
	case "retries":
		return s.retries(rest)
	case "lastRetry":
		return s.lastRetry(rest)
	case "outputs":
		return s.outputPath(rest)
	case "pod", "node":
		return s.nodeName(root, rest)
	}
	return "", false
}

func (s *scope) input(rest string) (string, bool) {
	if name, ok := strings.CutPrefix(rest, "parameters."); ok {
		v, ok := s.inputs[name]
		return v, ok
	}
	if rest != "parameters" || s.tmpl == nil || len(s.tmpl.inputs) == 0 {
		return "", false
	}
	type parameter struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	list := make([]parameter, 0, len(s.tmpl.inputs))
	for _, in := range s.tmpl.inputs {
		list = append(list, parameter{in.name, s.inputs[in.name]})
	}
	b, err := json.Marshal(list)
	return string(b), err == nil
}

// call answers NAME.FIELD of a call of the template.
func (s *scope) call(rest string) (string, bool) {
	name, field, _ := strings.Cut(rest, ".")
	i, ok := s.callNode(name)
	if !ok {
		return "", false
	}
	return s.field(s.run.Node(i), field)
}

// callNode finds the node of a call by name.
func (s *scope) callNode(name string) (int32, bool) {
	if s.run == nil || s.tmpl == nil {
		return 0, false
	}
	if s.self != nil && s.self.name == name {
		return s.own, s.own >= 0
	}
	c, ok := s.tmpl.byName[name]
	if !ok || s.instance < 0 {
		return 0, false
	}
	group := s.instance
	if s.tmpl.kind == dag.KindSteps {
		if group, ok = s.run.Child(group, groupName(s.tmpl.calls[c].group)); !ok {
			return 0, false
		}
	}
	return s.run.Child(group, name)
}

func groupName(g int) string { return "[" + strconv.Itoa(g) + "]" }

// field answers what others can know of a node.
func (s *scope) field(n *dag.Node, field string) (string, bool) {
	switch field {
	case "id":
		return n.Spec.ID, true
	case "status":
		return phase(n), true
	case "exitCode":
		if n.Exited {
			return strconv.Itoa(int(n.ExitCode)), true
		}
	case "startedAt":
		return moment(n.Started), n.Started > 0
	case "finishedAt":
		return moment(n.Ended), n.Ended > 0
	case "ip", "hostNodeName":
		return "", true
	case "outputs.result", "outputs.parameters":
		if n.Spec.Kind == dag.KindFanOut {
			return s.loopField(n, field)
		}
		if field == "outputs.result" && n.Outputs != nil && n.Outputs.Result != nil {
			return *n.Outputs.Result, true
		}
	default:
		name, ok := strings.CutPrefix(field, "outputs.parameters.")
		if !ok {
			return "", false
		}
		if n.Spec.Kind == dag.KindFanOut {
			return s.loopField(n, field)
		}
		if n.Outputs != nil {
			v, ok := n.Outputs.Params[name]
			return v, ok
		}
	}
	return "", false
}

// moment is a time as Argo writes it.
func moment(t dag.Time) string { return time.UnixMilli(int64(t)).UTC().Format(time.RFC3339) }

// phase is a node's status in Argo's words.
func phase(n *dag.Node) string {
	switch n.Status {
	case dag.Completed:
		return "Succeeded"
	case dag.Failed:
		if n.Failure != nil && n.Failure.Errored {
			return "Error"
		}
		return "Failed"
	case dag.Cancelled:
		return "Failed"
	case dag.Skipped:
		return "Skipped"
	case dag.Omitted:
		return "Omitted"
	case dag.Launching, dag.Running, dag.Prepared, dag.Retrying, dag.Cancelling:
		return "Running"
	}
	return "Pending"
}

// retries is how often the program, or the group around the call, was tried before.
func (s *scope) retries(rest string) (string, bool) {
	if rest != "" || s.run == nil {
		return "", false
	}
	if s.stage >= 0 {
		n := s.run.Node(s.stage)
		if n.Spec.Policy != nil && n.Spec.Policy.Retry != nil {
			return strconv.Itoa(int(n.Tries - n.TriesBase)), true
		}
		return "", false
	}
	if try := s.try(); try != nil {
		return strconv.Itoa(int(try.Spec.Index)), true
	}
	return "", false
}

// try is the node of the current try of the template that the place belongs to, or nil.
func (s *scope) try() *dag.Node {
	if s.instance < 0 {
		return nil
	}
	n := s.run.Node(s.instance)
	if p := n.Spec.Parent; p != dag.NoParent && s.run.Node(p).Spec.Kind == dag.KindRetry {
		return n
	}
	return nil
}

// lastRetry answers for a program what its last attempt was like.
func (s *scope) lastRetry(field string) (string, bool) {
	if s.run == nil || s.stage < 0 {
		return "", false
	}
	h := s.run.Node(s.stage).History
	if len(h) == 0 {
		return "", false
	}
	last := h[len(h)-1]
	v, ok := lastRetryVars(last.Failure, last.Started, last.Ended)["lastRetry."+field]
	return v, ok
}

// lastRetryVars are the variables of an attempt that failed.
func lastRetryVars(f *dag.Failure, started, ended dag.Time) expr.MapScope {
	vars := expr.MapScope{"lastRetry.exitCode": "-1", "lastRetry.status": "Failed", "lastRetry.message": "", "lastRetry.duration": "0"}
	if f != nil {
		if f.Kind != dag.FailChild && (f.ExitCode != 0 || f.Kind == dag.FailExit || f.Kind == dag.FailOutput) {
			vars["lastRetry.exitCode"] = strconv.Itoa(f.ExitCode)
		}
		if f.Errored {
			vars["lastRetry.status"] = "Error"
		}
		vars["lastRetry.message"] = f.Message
	}
	if started > 0 && ended > started {
		vars["lastRetry.duration"] = strconv.FormatFloat(float64(ended-started)/1000, 'g', -1, 64)
	}
	return vars
}

// outputPath answers outputs.parameters.NAME.path in a program.
func (s *scope) outputPath(rest string) (string, bool) {
	name, ok := strings.CutPrefix(rest, "parameters.")
	name, isPath := strings.CutSuffix(name, ".path")
	if !ok || !isPath || s.tmpl == nil {
		return "", false
	}
	for i := range s.tmpl.outputs {
		if o := &s.tmpl.outputs[i]; o.name == name && !o.path.empty() {
			return o.path.raw, true
		}
	}
	return "", false
}

func (s *scope) nodeName(root, rest string) (string, bool) {
	if rest != "name" || s.run == nil || s.stage < 0 {
		return "", false
	}
	if root == "node" {
		return s.run.Path(s.stage), true
	}
	n := s.run.Node(s.stage)
	return dag.AttemptID(n.Spec.ID, n.Attempt), true
}

// Names implements expr.Scope.
func (s *scope) Names() []string {
	names := make([]string, 0, len(s.p.globals)+32)
	for n := range s.p.globals {
		names = append(names, n)
	}
	for n := range s.extra {
		names = append(names, n)
	}
	for n := range s.item {
		names = append(names, n)
	}
	for n := range s.inputs {
		names = append(names, "inputs.parameters."+n)
	}
	if s.run == nil {
		return names
	}
	names = append(names, "workflow.status", "workflow.failures", "workflow.duration")
	for n := range s.run.Task().Globals {
		names = append(names, "workflow.outputs.parameters."+n)
	}
	for _, n := range []string{"retries", "lastRetry.exitCode", "lastRetry.status", "lastRetry.message", "lastRetry.duration", "pod.name", "node.name"} {
		if _, ok := s.Lookup(n); ok {
			names = append(names, n)
		}
	}
	return s.callNames(names)
}

// callNames appends what is known of the calls of the template.
func (s *scope) callNames(names []string) []string {
	if s.tmpl == nil {
		return names
	}
	s.naming = true
	defer func() { s.naming = false }()
	root := "tasks."
	if s.tmpl.kind == dag.KindSteps {
		root = "steps."
	}
	for _, k := range s.tmpl.calls {
		i, ok := s.callNode(k.name)
		if !ok {
			continue
		}
		n := s.run.Node(i)
		fields := []string{"id", "status", "exitCode", "startedAt", "finishedAt", "ip", "hostNodeName", "outputs.result"}
		if n.Spec.Kind == dag.KindFanOut {
			fields = append(fields, "outputs.parameters")
		}
		if k.callee >= 0 {
			for _, o := range s.p.set.all[k.callee].outputs {
				fields = append(fields, "outputs.parameters."+o.name)
			}
		}
		for _, f := range fields {
			if strings.HasPrefix(f, "outputs.") && !n.Status.Terminal() {
				continue
			}
			if _, ok := s.field(n, f); ok {
				names = append(names, root+k.name+"."+f)
			}
		}
	}
	return names
}

// fail keeps the first error of a lookup, because Lookup itself cannot give one.
func (s *scope) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// fill substitutes a text in the scope.
func (s *scope) fill(t *text, strict bool) (string, error) {
	v, err := t.fill(s, strict)
	if s.err != nil {
		return "", &lookupError{s.err}
	}
	return v, err
}

// lookupError is a value that exists but cannot be made, such as the list of results of a loop that are not JSON.
type lookupError struct{ err error }

func (e *lookupError) Error() string { return e.err.Error() }
func (e *lookupError) Unwrap() error { return e.err }

// workflow answers the variables of the plan.
func (s *scope) workflow(name, rest string) (string, bool) {
	if v, ok := s.p.globals[name]; ok {
		return v, true
	}
	if s.run == nil {
		return "", false
	}
	switch rest {
	case "status":
		return s.status(), true
	case "failures":
		return s.failures(), true
	case "duration":
		return fmt.Sprintf("%f", s.elapsed()), true
	}
	if out, ok := strings.CutPrefix(rest, "outputs.parameters."); ok {
		v, ok := s.run.Task().Globals[out]
		return v, ok
	}
	return "", false
}

// status is the task's in Argo's words: that of the entry, once it has ended.
func (s *scope) status() string {
	root := s.run.Node(0)
	switch {
	case root.Status.Terminal() && s.run.Task().Stop != nil:
		return "Failed"
	case root.Status.Terminal():
		return phase(root)
	case s.run.Task().Started == 0:
		return "Pending"
	}
	return "Running"
}

// elapsed is the time in seconds from the task's start to the last thing that is known to have happened.
func (s *scope) elapsed() float64 {
	start := s.run.Task().Started
	if start == 0 {
		return 0
	}
	last := s.run.Task().Ended
	if root := s.run.Node(0); last == 0 && root.Ended > 0 {
		last = root.Ended
	}
	if last == 0 {
		for i := range s.run.Len() {
			n := s.run.Node(int32(i))
			last = max(last, n.Started, n.Ended, n.Launched)
		}
	}
	return float64(max(last-start, 0)) / 1000
}

// failures is the list of nodes that failed, as a JSON list that is quoted once more, as Argo has it.
func (s *scope) failures() string {
	type failure struct {
		DisplayName  string `json:"displayName"`
		Message      string `json:"message"`
		TemplateName string `json:"templateName"`
		Phase        string `json:"phase"`
		PodName      string `json:"podName"`
		FinishedAt   string `json:"finishedAt"`
	}
	list := []failure{}
	for i := range s.run.Len() {
		n := s.run.Node(int32(i))
		if n.Status != dag.Failed || hidden(s.run, n) {
			continue
		}
		f := failure{
			DisplayName: n.Spec.Name, Message: n.Message, TemplateName: n.Spec.Template, Phase: phase(n),
			PodName: s.run.Path(n.Index), FinishedAt: moment(n.Ended),
		}
		if n.Spec.Kind == dag.KindStage {
			f.PodName = dag.AttemptID(n.Spec.ID, n.Attempt)
		}
		list = append(list, f)
	}
	b, err := json.Marshal(list)
	if err != nil {
		return `"[]"`
	}
	return strconv.Quote(string(b))
}

// hidden reports whether Argo has no node for this one: a loop in a steps template is no node of its own there.
func hidden(run *dag.Run, n *dag.Node) bool {
	return n.Spec.Kind == dag.KindFanOut && n.Spec.Parent >= 0 && run.Node(n.Spec.Parent).Spec.Kind == dag.KindStepGroup
}
