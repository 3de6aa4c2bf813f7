package kube

import (
	"testing"

	"github.com/clic-orchestrator/clic/executors"
)

// What it costs to make the Job of an attempt: with a plain pod, and with everything there is in it.
func BenchmarkBuildJob(b *testing.B) {
	for _, g := range goldenCases() {
		if g.plan == "" {
			continue
		}
		b.Run(g.name, func(b *testing.B) {
			c := g.config.WithDefaults()
			spec := planned(b, g.plan, g.stage)
			a := executors.Attempt{ID: spec.StageID, Stage: spec.StageID, Task: spec.Task, Spec: spec, MasterHost: "clic-master-svc", MasterPort: 7777, Token: "t"}
			if g.attempt != nil {
				g.attempt(&a)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := buildJob(&c, a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
