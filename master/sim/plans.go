package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// bigPlan makes a plan of about so many stages: of the CLIC form, whose programs report by themselves, or of Argo's.
func bigPlan(r *rand.Rand, stages int) string {
	if r.IntN(2) == 0 {
		return clicPlan(r, stages)
	}
	return argoPlan(r, stages)
}

// smallPlan makes a plan of a few stages.
func smallPlan(r *rand.Rand) string { return bigPlan(r, 1+r.IntN(6)) }

// edges draws what each of n stages depends on: a chain, a fan, layers, or anything.
func edges(r *rand.Rand, n int) [][]int {
	on := make([][]int, n)
	shape, width := r.IntN(5), 2+r.IntN(8)
	for i := 1; i < n; i++ {
		switch shape {
		case 0: // a chain, with a few others beside
			if r.IntN(8) > 0 {
				on[i] = []int{i - 1}
			}
		case 1: // a fan out of the first, and a join
			on[i] = []int{0}
			if i == n-1 {
				for k := 1; k < i; k++ {
					on[i] = append(on[i], k)
				}
				on[i] = on[i][1:]
				if len(on[i]) == 0 {
					on[i] = []int{0}
				}
			}
		case 2: // layers
			if from := i/width*width - width; from >= 0 {
				for k := from; k < from+width; k++ {
					if r.IntN(3) == 0 {
						on[i] = append(on[i], k)
					}
				}
			}
		default:
			seen := map[int]bool{}
			for range r.IntN(4) {
				k := i - 1 - r.IntN(min(i, 12))
				if !seen[k] {
					seen[k] = true
					on[i] = append(on[i], k)
				}
			}
		}
	}
	return on
}

const head = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  generateName: sim-\n"

func clicPlan(r *rand.Rand, n int) string {
	var b strings.Builder
	b.WriteString(head)
	if r.IntN(3) == 0 {
		b.WriteString("  annotations:\n    clic.io/prepared-failure: cancel\n")
	}
	b.WriteString("spec:\n  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n")
	for i, on := range edges(r, n) {
		platform := []string{"near", "near", "far"}[r.IntN(3)]
		fmt.Fprintf(&b, "      - name: s%d\n        template: %s\n", i, platform)
		if len(on) > 0 {
			fmt.Fprintf(&b, "        dependencies: [%s]\n", names(on))
		}
		fmt.Fprintf(&b, "        arguments:\n          parameters:\n          - name: %sArgs\n            value: run --dagPath=/data/%d.yml\n", platform, i)
	}
	for _, platform := range []string{"near", "far"} {
		fmt.Fprintf(&b, "  - name: %s\n", platform)
		if r.IntN(2) == 0 {
			b.WriteString("    metadata:\n      annotations:\n        clic.io/retry-started: \"true\"\n")
		}
		b.WriteString(retries(r))
		fmt.Fprintf(&b, "    inputs:\n      parameters:\n      - name: %sArgs\n    container:\n      image: clic-%s\n", platform, platform)
	}
	return b.String()
}

func argoPlan(r *rand.Rand, n int) string {
	var b strings.Builder
	b.WriteString(head + "spec:\n  entrypoint: main\n")
	if r.IntN(6) == 0 {
		fmt.Fprintf(&b, "  parallelism: %d\n", 1+r.IntN(6))
	}
	b.WriteString("  templates:\n  - name: main\n    dag:\n      tasks:\n")
	depends := r.IntN(3) == 0 // in one dag it is either dependencies or depends
	for i, on := range edges(r, n) {
		fmt.Fprintf(&b, "      - name: s%d\n        template: %s\n", i, []string{"near-a", "near-b", "far"}[r.IntN(3)])
		switch {
		case len(on) == 0:
		case depends:
			fmt.Fprintf(&b, "        depends: %q\n", condition(r, on))
		default:
			fmt.Fprintf(&b, "        dependencies: [%s]\n", names(on))
			if r.IntN(10) == 0 {
				b.WriteString("        continueOn:\n          failed: true\n")
			}
		}
		switch r.IntN(24) {
		case 0:
			b.WriteString("        when: \"1 == 2\"\n")
		case 1:
			b.WriteString("        withItems: [1, 2, 3]\n")
		}
	}
	for _, name := range []string{"near-a", "near-b", "far"} {
		fmt.Fprintf(&b, "  - name: %s\n", name)
		b.WriteString(retries(r))
		b.WriteString("    container:\n      image: alpine\n      command: [\"true\"]\n")
	}
	return b.String()
}

// retries is a retry strategy, or none.
func retries(r *rand.Rand) string {
	switch r.IntN(3) {
	case 0:
		return fmt.Sprintf("    retryStrategy:\n      limit: \"%d\"\n      retryPolicy: Always\n", r.IntN(4))
	case 1:
		return fmt.Sprintf("    retryStrategy:\n      limit: \"%d\"\n      backoff:\n        duration: \"1s\"\n        factor: \"2\"\n", 1+r.IntN(3))
	}
	return ""
}

func names(on []int) string {
	var list []string
	for _, k := range on {
		list = append(list, fmt.Sprint("s", k))
	}
	return strings.Join(list, ", ")
}

func condition(r *rand.Rand, on []int) string {
	var b strings.Builder
	for i, k := range on {
		if i > 0 {
			b.WriteString([]string{" && ", " || "}[r.IntN(2)])
		}
		fmt.Fprintf(&b, "s%d%s", k, []string{"", "", ".Succeeded", ".Failed", ".Skipped"}[r.IntN(5)])
	}
	return b.String()
}
