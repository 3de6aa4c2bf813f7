//go:build cluster

package clustertest

import (
	"fmt"
	"strings"
)

// plan is what the masters are killed under: chains of diamonds, fan-outs, loops over results, and stages that fail at first.
type plan struct {
	yaml   string
	stages int
	works  map[string]work // by the name of the task in the dag
}

// work is one task of a plan, as far as the test has to know it.
type work struct {
	needs   []string
	attempt int32 // the number of its last attempt
	width   int   // how many stages it becomes
}

// planner writes the tasks of a plan.
type planner struct {
	plan
	tasks strings.Builder
	next  int
}

const (
	// chains run beside each other.
	chains = 6
	// loopWidth is the number of stages that a loop becomes, fanWidth that of the stages between the ends of a fan-out.
	loopWidth = 5
	fanWidth  = 6
)

// makePlan makes a plan of that many stages, at least. They write to the file journal on the node, in dir.
func makePlan(stages int, dir string) plan {
	p := &planner{plan: plan{works: map[string]work{}}}
	ends := make([]string, chains)
	for i := 0; p.stages < stages-1; i++ {
		c := i % chains
		switch i / chains % 4 {
		case 0:
			ends[c] = p.diamond(ends[c])
		case 1:
			ends[c] = p.fan(ends[c])
		case 2:
			ends[c] = p.loop(ends[c])
		default:
			ends[c] = p.task("nap", "4", 1, 0, p.task("flaky", "2", 1, 2, ends[c]))
		}
	}
	p.task("nap", "0", 1, 0, ends...)
	p.yaml = strings.ReplaceAll(head+p.tasks.String()+templates(), "{{DIR}}", dir)
	return p.plan
}

func (p *planner) diamond(after string) string {
	top := p.task("nap", "0.5", 1, 0, after)
	left, right := p.task("nap", "2", 1, 0, top), p.task("flaky", "1", 1, 1, top)
	return p.task("nap", "0.2", 1, 0, left, right)
}

func (p *planner) fan(after string) string {
	var middle []string
	from := p.task("nap", "0", 1, 0, after)
	for i := range fanWidth {
		middle = append(middle, p.task("nap", fmt.Sprint(i), 1, 0, from))
	}
	return p.task("nap", "0", 1, 0, middle...)
}

func (p *planner) loop(after string) string {
	from := p.task("list", "", 1, 0, after)
	return p.task("nap", "1", 1, 0, p.task("nap", "{{item}}", loopWidth, 0, from))
}

// task writes one, which needs others (""s are none).
func (p *planner) task(template, k string, width int, attempt int32, needs ...string) string {
	p.next++
	name := fmt.Sprintf("s%03d", p.next)
	w := work{width: width, attempt: attempt}
	for _, n := range needs {
		if n != "" {
			w.needs = append(w.needs, n)
		}
	}
	fmt.Fprintf(&p.tasks, "      - {name: %s, template: %s, arguments: {parameters: [{name: k, value: %q}]}", name, template, k)
	if len(w.needs) > 0 {
		fmt.Fprintf(&p.tasks, ", depends: %q", strings.Join(w.needs, " && "))
	}
	if width > 1 {
		fmt.Fprintf(&p.tasks, ", withParam: \"{{tasks.%s.outputs.result}}\"", w.needs[0])
	}
	p.tasks.WriteString("}\n")
	p.works[name] = w
	p.stages += width
	return name
}

const head = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: chaos-}
spec:
  entrypoint: main
  volumes: [{name: journal, hostPath: {path: "{{DIR}}"}}]
  templates:
  - name: main
    dag:
      tasks:
`

// templates writes the templates, a script each. A script appends its start, with the uid of its pod, and its end, with its exit status,
// to the journal: a line each, in one write.
func templates() string {
	const bodies = `nap: sleep {{inputs.parameters.k}}; bye 0
flaky: sleep 0.{{inputs.parameters.k}}; [ "$CLIC_ATTEMPT" -ge {{inputs.parameters.k}} ] || bye 3; bye 0
list: echo "[1,0,3,0.5,2]"; bye 0`
	var b strings.Builder
	for line := range strings.Lines(bodies) {
		name, body, _ := strings.Cut(strings.TrimSpace(line), ": ")
		fmt.Fprintf(&b, "  - name: %s\n    inputs: {parameters: [{name: k}]}\n", name)
		if name == "flaky" {
			b.WriteString("    retryStrategy: {limit: \"3\"}\n")
		}
		fmt.Fprintf(&b, script, shellImage, body)
	}
	return b.String()
}

const script = `    script:
      image: %s
      command: [sh]
      env: [{name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}]
      volumeMounts: [{name: journal, mountPath: /journal}]
      source: |
        say() { echo "$1 $CLIC_STAGE_ID $CLIC_ATTEMPT $POD_UID $2" >> /journal/journal; }
        bye() { say E $1; exit $1; }
        say S -
        %s
`
