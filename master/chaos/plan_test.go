package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// plan is the plan that the master is killed under: layers of stages with fan-outs, joins, loops over results, retries,
// failures, conditions, and stages that report by themselves.
type plan struct {
	yaml   string
	stages int
	// finale is the name of the last stage, which waits for all others.
	finale string
	works  map[string]work // by name
}

// work is one task of a plan, as far as a test has to know it.
type work struct {
	needs []need
	loop  bool // it becomes loopWidth stages
	// state is how it ends where nobody interferes, and attempt the number of its last attempt then.
	state   string
	attempt int32
}

// need is what a task depends on: that another one ends well, or (".Failed", ".Omitted") otherwise.
type need struct{ name, how string }

// planner writes the tasks of a plan.
type planner struct {
	rand  *rand.Rand
	pace  int
	tasks strings.Builder
	works map[string]work
	count int // stages so far, the children of loops included
	next  int
	layer []string          // good tasks of the layer before
	fresh []string          // good tasks of this layer
	sinks map[string]string // tasks that nothing depends on yet, and how the finale depends on them
	order []string          // the names of all tasks
}

// loopWidth is the number of stages that a loop becomes.
const loopWidth = 8

// makePlan makes a plan of that many stages; always the same one for the same number. Its stages write to the journal in dir;
// program is what those run that report by themselves. The naps of its stages take pace times 10 to 150 ms.
func makePlan(stages, pace int, dir, program string) plan {
	p := &planner{rand: rand.New(rand.NewPCG(1, uint64(stages))), pace: pace, works: map[string]work{}, sinks: map[string]string{}}
	for p.count < stages-1-loopWidth {
		width := 3 + p.rand.IntN(max(4, stages/20))
		for range width {
			if p.count < stages-1-loopWidth {
				p.any()
			}
		}
		if len(p.layer) > 3 && p.rand.IntN(3) == 0 && p.count < stages-1 {
			p.task("nap", strings.Join(p.layer, " && "), "0.02")
		}
		if len(p.fresh) > 0 {
			p.layer, p.fresh = p.fresh, nil
		}
	}
	for p.count < stages-1 {
		p.task("quick", p.after(), "")
	}
	return p.finish(dir, program)
}

// makeNaps makes a plan of about that many stages of 50 ms each, in layers of ten.
func makeNaps(stages int, dir string) plan {
	p := &planner{rand: rand.New(rand.NewPCG(1, uint64(stages))), works: map[string]work{}, sinks: map[string]string{}}
	for p.count < stages-1 {
		for range 10 {
			p.task("nap", p.after(), "0.05")
		}
		p.layer, p.fresh = p.fresh, nil
	}
	return p.finish(dir, "")
}

// finish adds the last stage, which waits for all others.
func (p *planner) finish(dir, program string) plan {
	var all []string
	for _, name := range p.order {
		if how, ok := p.sinks[name]; ok {
			all = append(all, name+how)
		}
	}
	finale := p.task("quick", strings.Join(all, " && "), "")
	text := strings.NewReplacer("{{DIR}}", dir, "{{PROGRAM}}", program+" --dagPath="+dir).Replace(head + p.tasks.String() + templates())
	return plan{yaml: text, stages: p.count, finale: finale, works: p.works}
}

// any adds one of the kinds of stages, with what goes with it.
func (p *planner) any() {
	switch n := p.rand.IntN(100); {
	case n < 38:
		p.task("quick", p.after(), "")
	case n < 64:
		p.task("nap", p.after(), fmt.Sprintf("%.2f", float64((1+p.rand.IntN(15))*p.pace)/100))
	case n < 72:
		p.task("flaky", p.after(), fmt.Sprint(1+p.rand.IntN(2)))
	case n < 77:
		p.task("flaky-later", p.after(), "1")
	case n < 83:
		p.task("family", p.after(), "")
	case n < 87:
		from := p.task("result", p.after(), fmt.Sprint(n))
		p.task("show", from, "{{tasks."+from+".outputs.result}}")
	case n < 92:
		from := p.task("java", p.after(), "")
		p.task("quick", from, "") // which may start before the other has ended
	case n < 94:
		p.add("quick", p.after(), "", `, when: "1 == 2"`, "", 1)
	case n < 95:
		p.task("litter", p.after(), "")
	case n < 97:
		bad := p.add("doomed", p.after(), "", "", ".Failed", 1)
		p.task("quick", bad+".Failed", "")
		p.add("quick", bad, "", "", ".Omitted", 1)
	default:
		from := p.task("list", p.after(), "")
		loop := p.add("show", from, "{{item}}", `, withParam: "{{tasks.`+from+`.outputs.result}}"`, "", loopWidth)
		p.fresh = append(p.fresh, loop)
	}
}

// after chooses dependencies among the layer before.
func (p *planner) after() string {
	var names []string
	for _, i := range p.rand.Perm(len(p.layer)) {
		if len(names) < 1+p.rand.IntN(3) {
			names = append(names, p.layer[i])
		}
	}
	return strings.Join(names, " && ")
}

// task adds a stage that ends well.
func (p *planner) task(template, depends, argument string) string {
	name := p.add(template, depends, argument, "", "", 1)
	p.fresh = append(p.fresh, name)
	return name
}

// add writes a task; how is in what way the finale depends on it ("": on its good end).
func (p *planner) add(template, depends, argument, more, how string, stages int) string {
	p.next++
	name := fmt.Sprintf("s%04d", p.next)
	parameter := "k"
	if template == "java" {
		parameter, argument = "javaArgs", "{{PROGRAM}}"
	}
	w := work{loop: stages > 1, state: "COMPLETED"}
	fmt.Fprintf(&p.tasks, "      - {name: %s, template: %s", name, template)
	if depends != "" {
		fmt.Fprintf(&p.tasks, ", depends: %q", depends)
		for _, d := range strings.Split(depends, " && ") {
			d, how, _ := strings.Cut(d, ".")
			delete(p.sinks, d)
			if how != "" {
				how = "." + how
			}
			w.needs = append(w.needs, need{d, how})
		}
	}
	switch {
	case template == "doomed":
		w.state, w.attempt = "FAILED", 1
	case how == ".Omitted":
		w.state = "OMITTED"
	case strings.Contains(more, "when"):
		w.state = "SKIPPED"
	case strings.HasPrefix(template, "flaky"):
		w.attempt = int32(argument[0] - '0')
	}
	p.works[name] = w
	fmt.Fprintf(&p.tasks, ", arguments: {parameters: [{name: %s, value: %q}]}%s}\n", parameter, argument, more)
	p.sinks[name] = how
	p.order = append(p.order, name)
	p.count += stages
	return name
}

const head = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: chaos-}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      failFast: false
      tasks:
`

const (
	// begin is how every script begins: it writes down its start, and bye its end with its exit status; one line, appended.
	begin = `J={{DIR}}/journal
        bye() { echo "E $CLIC_STAGE_ID $CLIC_ATTEMPT $1" >> "$J"; exit $1; }
        echo "S $CLIC_STAGE_ID $CLIC_ATTEMPT $$" >> "$J"
`
	// bodies are the scripts behind that. Two of the processes that litter leaves behind are out of its session and group.
	bodies = `quick: bye 0
nap: sleep {{inputs.parameters.k}}; bye 0
flaky: '[ "$CLIC_ATTEMPT" -ge {{inputs.parameters.k}} ] || bye 3; bye 0'
flaky-later: '[ "$CLIC_ATTEMPT" -ge {{inputs.parameters.k}} ] || bye 4; bye 0'
family: (sleep 0.03; sleep 0.03) & sleep 0.1 & sleep 0.05 & wait; bye 0
litter: sleep 600 & setsid sleep 600 & setsid sh -c 'trap "" TERM; sleep 600' & bye 0
doomed: sleep 0.01; bye 7
result: echo "result {{inputs.parameters.k}} of attempt $CLIC_ATTEMPT"; bye 0
show: echo "shown {{inputs.parameters.k}}"; bye 0
list: echo "[1,2,3,4,5,6,7,8]"; bye 0`
)

// templates writes the templates: one per script, and the one of the stages that report by themselves.
func templates() string {
	var b strings.Builder
	for line := range strings.Lines(bodies) {
		name, body, _ := strings.Cut(strings.TrimSpace(line), ": ")
		fmt.Fprintf(&b, "  - name: %s\n    inputs: {parameters: [{name: k, default: \"\"}]}\n", name)
		switch name {
		case "flaky":
			b.WriteString("    retryStrategy: {limit: \"3\"}\n")
		case "flaky-later":
			b.WriteString("    retryStrategy: {limit: \"3\", backoff: {duration: 150ms}}\n")
		case "doomed":
			b.WriteString("    retryStrategy: {limit: \"1\"}\n")
		}
		fmt.Fprintf(&b, "    script:\n      image: none\n      command: [sh]\n      source: |\n        %s        %s\n", begin, strings.Trim(body, "'"))
	}
	b.WriteString("  - name: java\n    inputs: {parameters: [{name: javaArgs}]}\n    container: {image: none}\n")
	return b.String()
}
