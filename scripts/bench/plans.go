package main

import (
	"fmt"
	"strings"
)

// clicPlan is a plan of the CLIC form: chains of stages beside each other, width of them.
func clicPlan(stages, width int) string {
	var b strings.Builder
	b.WriteString("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  generateName: bench-\nspec:\n  entrypoint: main\n  templates:\n")
	b.WriteString("  - name: main\n    dag:\n      tasks:\n")
	for i := range stages {
		fmt.Fprintf(&b, "      - name: s%d\n        template: java\n", i)
		if i >= width {
			fmt.Fprintf(&b, "        dependencies: [s%d]\n", i-width)
		}
		fmt.Fprintf(&b, "        arguments:\n          parameters:\n          - name: javaArgs\n            value: run --dagPath=/data/%d.yml\n", i)
	}
	b.WriteString("  - name: java\n    inputs:\n      parameters:\n      - name: javaArgs\n    container:\n      image: clic-java\n")
	return b.String()
}

// argoPlan is the same with stages that run `true`.
func argoPlan(stages, width int) string {
	var b strings.Builder
	b.WriteString("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  generateName: bench-\nspec:\n  entrypoint: main\n  templates:\n")
	b.WriteString("  - name: main\n    dag:\n      tasks:\n")
	for i := range stages {
		fmt.Fprintf(&b, "      - name: s%d\n        template: work\n", i)
		if i >= width {
			fmt.Fprintf(&b, "        dependencies: [s%d]\n", i-width)
		}
	}
	b.WriteString("  - name: work\n    container:\n      image: none\n      command: [\"true\"]\n")
	return b.String()
}

// joinPlan is a plan of the CLIC form: stages beside each other, and one that waits for all.
func joinPlan(width int) string {
	plan := clicPlan(width, width)
	head, tail, _ := strings.Cut(plan, "  - name: java\n")
	var all []string
	for i := range width {
		all = append(all, fmt.Sprintf("s%d", i))
	}
	return head + fmt.Sprintf("      - name: join\n        template: java\n        dependencies: [%s]\n", strings.Join(all, ", ")) +
		"        arguments:\n          parameters:\n          - name: javaArgs\n            value: run --dagPath=/data/join.yml\n  - name: java\n" + tail
}
