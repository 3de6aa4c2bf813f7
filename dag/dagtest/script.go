package dagtest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
)

// Script runs the script language of the core's tests: one world, changed by commands. Each command answers with the
// history that it caused, or with its refusal.
//
//	plan                    a node a line: NAME [kind] [in=GROUP] [after=A,B] [cancel=A] [call=C] [retry=N] [backoff=MS]
//	                        [timeout=MS] [callbacks=optional|required] [parallelism=N] [continue] [hooks=exit,failed]
//	at MS                   sets the clock
//	grant|started|prepared|reported NAME…   gives a slot; reports of the stage's program
//	ran|ok|fail|stopped|paused NAME…        what an executor saw; fail takes exit=N or kind=K
//	waits NAME why=W                        an executor says why the attempt does not run yet
//	suspend NAME [mode=M] [until=MS] [who=W] [why=W] · continue NAME · cancel NAME|task · skip NAME · retry [NAME…]
//	timers                  fires what is due · reload: save and load · finish: everything left succeeds
//	explain NAME… · plan-retry · status · pending
type Script struct{ World *World }

// Args are the words of a command: key=value, and plain ones.
type Args struct {
	Plain []string
	Named map[string]string
}

// ParseArgs splits words.
func ParseArgs(words []string) Args {
	a := Args{Named: map[string]string{}}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.Named[k] = v
		} else {
			a.Plain = append(a.Plain, w)
		}
	}
	return a
}

func (a Args) number(key string) int64 {
	n, _ := strconv.ParseInt(a.Named[key], 10, 64)
	return n
}

// Run executes one command with its input lines.
func (s *Script) Run(command string, a Args, input string) string {
	if command != "plan" && s.World == nil {
		return "error: there is no plan\n"
	}
	if command == "plan" {
		return s.plan(a, input)
	}
	mark := len(s.World.Log)
	text, err := s.do(command, a)
	out := text + s.since(mark)
	if err != nil {
		out += "error: " + err.Error() + "\n"
	}
	if out == "" {
		out = "nothing changes\n"
	}
	return out
}

func (s *Script) since(mark int) string {
	var b strings.Builder
	for _, e := range s.World.Log[mark:] {
		name := "task"
		if e.Node >= 0 {
			name = s.World.Run.Node(e.Node).Spec.Name
			if e.Attempt > 0 {
				name += fmt.Sprintf("#%d", e.Attempt)
			}
		}
		b.WriteString(name)
		if e.To != "" {
			fmt.Fprintf(&b, ": %s -> %s", e.From, e.To)
		}
		if e.Message != "" {
			b.WriteString(": " + e.Message)
		}
		if e.Who != "" {
			b.WriteString(" [" + e.Who + "]")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (s *Script) do(command string, a Args) (string, error) {
	w := s.World
	switch command {
	case "at":
		n, _ := strconv.ParseInt(a.Plain[0], 10, 64)
		w.Now = dag.Time(n)
		return fmt.Sprintf("it is %d\n", n), nil
	case "cancel", "retry", "timers", "reload", "finish", "pending", "status", "plan-retry":
		return s.whole(command, a)
	}
	var out strings.Builder
	for _, name := range a.Plain {
		i, ok := s.node(name)
		if !ok {
			return out.String(), fmt.Errorf("no node %q", name)
		}
		text, err := s.one(command, i, a)
		out.WriteString(text)
		if err != nil {
			return out.String(), err
		}
	}
	return out.String(), nil
}

func (s *Script) node(name string) (int32, bool) {
	for i := range s.World.Run.Len() {
		if s.World.Run.Node(int32(i)).Spec.Name == name {
			return int32(i), true
		}
	}
	return 0, false
}

func (s *Script) one(command string, i int32, a Args) (string, error) {
	w := s.World
	report := func(what dag.What) error {
		return w.Do(dag.Report{At: w.Now, Node: i, Attempt: dag.CurrentAttempt, What: what})
	}
	switch command {
	case "grant":
		return "", w.Do(dag.Grant{At: w.Now, Node: i})
	case "started":
		return "", report(dag.ReportStarted)
	case "prepared":
		return "", report(dag.ReportPrepared)
	case "reported":
		return "", report(dag.ReportCompleted)
	case "ran":
		return "", w.Do(dag.Observed{At: w.Now, Node: i, Attempt: w.Live[i], Phase: dag.AttemptRunning})
	case "ok":
		return "", w.end(i, dag.AttemptSucceeded, 0)
	case "stopped":
		return "", w.end(i, dag.AttemptStopped, 143)
	case "paused":
		return "", w.stop(i, true)
	case "waits":
		return "", w.Do(dag.Observed{At: w.Now, Node: i, Attempt: w.Live[i], Phase: dag.AttemptPending, Reason: a.Named["why"]})
	case "fail":
		return "", s.fail(i, a)
	case "suspend":
		mode := map[string]dag.Mode{"drain": dag.HoldDrain, "requeue": dag.HoldRequeue}[a.Named["mode"]]
		return "", w.Do(dag.Suspend{At: w.Now, Node: i, Hold: dag.Hold{
			Who: a.Named["who"], Why: a.Named["why"], Mode: mode, Until: dag.Time(a.number("until")),
		}})
	case "continue":
		return "", w.Do(dag.Continue{At: w.Now, Node: i, Who: a.Named["who"]})
	case "skip":
		return "", w.Do(dag.SkipStage{At: w.Now, Node: i, Who: a.Named["who"]})
	case "explain":
		x := w.Run.Explain(i)
		return fmt.Sprintf("%s: %s: %s\n", w.Run.Node(i).Spec.Name, x.Reason, x.Text), nil
	}
	return "", fmt.Errorf("unknown command %q", command)
}

func (s *Script) fail(i int32, a Args) error {
	w := s.World
	o := dag.Observed{At: w.Now, Node: i, Attempt: w.Live[i], Phase: dag.AttemptFailed, ExitCode: int32(a.number("exit"))}
	if k := a.Named["kind"]; k != "" {
		kind, err := dag.ParseFailureKind(k)
		if err != nil {
			return err
		}
		o.Failure = dag.NewFailure(kind, int(o.ExitCode), k)
	}
	if n := w.Run.Node(i); n.Kept && o.Failure != nil && o.Failure.Kind == dag.FailLaunch {
		return w.Do(o) // it exists all the same
	}
	delete(w.Live, i)
	return w.Do(o)
}

// whole runs the commands about the run as a whole.
func (s *Script) whole(command string, a Args) (string, error) {
	w := s.World
	switch command {
	case "cancel":
		e := dag.Cancel{At: w.Now, Node: -1, Who: a.Named["who"], Handlers: a.Named["handlers"] == "true"}
		if a.Plain[0] != "task" {
			i, ok := s.node(a.Plain[0])
			if !ok {
				return "", fmt.Errorf("no node %q", a.Plain[0])
			}
			e.Node = i
		}
		return "", w.Do(e)
	case "retry", "plan-retry":
		var nodes []int32
		for _, name := range a.Plain {
			i, _ := s.node(name)
			nodes = append(nodes, i)
		}
		if command == "retry" {
			return "", w.Do(dag.RetryTask{At: w.Now, Who: a.Named["who"], Nodes: nodes})
		}
		reset, kept, err := w.Run.RetryPlan(nodes)
		return fmt.Sprintf("run again: %s\nkept: %s\n", s.names(reset), s.names(kept)), err
	case "timers":
		return "", w.timers()
	case "reload":
		return "", w.Reload()
	case "finish":
		return "", w.Finish()
	case "pending":
		var b strings.Builder
		for _, e := range w.Run.Pending() {
			name := "task"
			if e.Node >= 0 {
				name = w.Run.Node(e.Node).Spec.Name
			}
			kind := e.Kind.String()
			if e.Pause {
				kind += " or pause"
			}
			fmt.Fprintf(&b, "%s %s", kind, name)
			if e.At > 0 {
				fmt.Fprintf(&b, " at %d", e.At)
			}
			b.WriteString("\n")
		}
		return b.String(), nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "task %s %s\n", w.Run.Task().Status, w.Run.Task().Message)
	for i := range w.Run.Len() {
		n := w.Run.Node(int32(i))
		fmt.Fprintf(&b, "%s %s\n", n.Spec.Name, n.Status)
	}
	return b.String(), nil
}

func (s *Script) names(nodes []int32) string {
	var names []string
	for _, i := range nodes {
		names = append(names, s.World.Run.Node(i).Spec.Name)
	}
	return strings.Join(names, " ")
}

// plan makes a new world.
func (s *Script) plan(a Args, input string) string {
	p := &dag.Plan{Name: "p", Task: "p", Timeout: dag.Duration(a.number("timeout")), Parallelism: int32(a.number("parallelism")), OnExit: a.Named["onexit"] == "true"}
	p.Nodes = []dag.NodeSpec{{ID: "root", Name: "root", Kind: dag.KindDAG, Parent: dag.NoParent}}
	index := map[string]int32{"root": 0}
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		words := strings.Fields(line)
		spec, err := scriptNode(words[0], ParseArgs(words[1:]), index)
		if err != nil {
			return "error: " + err.Error() + "\n"
		}
		spec.Path = p.Nodes[spec.Parent].Path + "." + spec.Name
		index[spec.Name] = int32(len(p.Nodes))
		p.Nodes = append(p.Nodes, spec)
	}
	w, err := NewWorld(p, Expander{Handler: p.OnExit})
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	s.World = w
	return s.since(0)
}

func scriptNode(name string, a Args, index map[string]int32) (dag.NodeSpec, error) {
	n := dag.NodeSpec{ID: name, Name: name, Template: name, Call: a.Named["call"], Deferred: a.Named["call"] != ""}
	kinds := map[string]dag.Kind{
		"dag": dag.KindDAG, "steps": dag.KindSteps, "group": dag.KindStepGroup, "gate": dag.KindGate, "retry": dag.KindRetry,
	}
	p := &dag.Policy{
		Timeout: dag.Duration(a.number("timeout")), Parallelism: int32(a.number("parallelism")), GateFor: dag.Duration(a.number("for")),
		Callbacks: map[string]dag.Callbacks{"optional": dag.CallbacksOptional, "required": dag.CallbacksRequired}[a.Named["callbacks"]],
	}
	if limit, ok := a.Named["retry"]; ok {
		n, _ := strconv.Atoi(limit)
		p.Retry = &dag.Retry{Limit: int32(n), Base: dag.Duration(a.number("backoff")), Factor: 2}
	}
	for _, word := range a.Plain {
		if k, ok := kinds[word]; ok {
			n.Kind = k
		}
		p.ContinueFailed = p.ContinueFailed || word == "continue"
		p.FailFast = p.FailFast || word == "failfast"
	}
	n.Policy = p
	if h := a.Named["hooks"]; h != "" {
		n.Hooks = strings.Split(h, ",")
	}
	group, ok := index[a.Named["in"]]
	if a.Named["in"] != "" && !ok {
		return n, fmt.Errorf("no group %q", a.Named["in"])
	}
	n.Parent = group
	var err error
	if n.Depends.On, err = lookUp(a.Named["after"], index); err == nil {
		n.Depends.Cancel, err = lookUp(a.Named["cancel"], index)
	}
	return n, err
}

func lookUp(names string, index map[string]int32) ([]int32, error) {
	if names == "" {
		return nil, nil
	}
	var list []int32
	for _, name := range strings.Split(names, ",") {
		i, ok := index[name]
		if !ok {
			return nil, fmt.Errorf("no node %q", name)
		}
		list = append(list, i)
	}
	return list, nil
}
