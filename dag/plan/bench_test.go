package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/dag/plan"
)

// clicText is a plan as the CLIC programs generate it, a chain with side branches of n stages.
func clicText(n int) []byte {
	var b strings.Builder
	b.WriteString(`apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: big-
spec:
  entrypoint: job-dag
  volumes:
  - name: nfs-volume
    persistentVolumeClaim:
      claimName: pvc-nfs
  templates:
  - name: job-dag
    dag:
      tasks:
`)
	for i := range n {
		deps := ""
		if i > 0 {
			deps = fmt.Sprintf("stage-%d", (i-1)/2)
		}
		fmt.Fprintf(&b, "      - name: stage-%d\n        template: java\n        dependencies: [%s]\n        arguments:\n          parameters:\n"+
			"          - name: javaArgs\n            value: java -jar /data/executor.jar --udfPath=/data/udf-%d.class --dagPath=/data/physical-dag-%d.yml\n",
			i, deps, i, i)
	}
	b.WriteString(`  - name: java
    inputs:
      parameters:
      - name: javaArgs
    container:
      image: edu.fdu/clic-java:v1
      command: [sh, -c]
      args: ["{{inputs.parameters.javaArgs}}"]
      volumeMounts:
      - name: nfs-volume
        mountPath: /data
`)
	return []byte(b.String())
}

// argoText is a plan in the Argo form with n tasks.
func argoText(n int) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  generateName: big-\nspec:\n  entrypoint: main\n" +
		"  templates:\n  - name: main\n    dag:\n      tasks:\n")
	for i := range n {
		depends := ""
		if i > 0 {
			depends = fmt.Sprintf("        depends: t%d.Succeeded || t%d.Skipped\n", (i-1)/2, (i-1)/2)
		}
		fmt.Fprintf(&b, "      - name: t%d\n        template: work\n%s        arguments:\n          parameters:\n          - {name: num, value: \"%d of {{workflow.name}}\"}\n", i, depends, i)
	}
	b.WriteString("  - name: work\n    inputs:\n      parameters: [{name: num}]\n    container:\n      image: busybox\n      command: [echo]\n      args: [\"{{inputs.parameters.num}}\"]\n")
	return []byte(b.String())
}

func benchmarkParse(b *testing.B, text []byte, nodes int) {
	b.Helper()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		doc, ds := plan.Parse("big.yaml", text)
		if ds.HasErrors() {
			b.Fatal(ds.Err())
		}
		p, _, ds := doc.Build("big", "big-abcdefgh", plan.BuildOptions{})
		if ds.HasErrors() {
			b.Fatal(ds.Err())
		}
		if len(p.Nodes) != nodes {
			b.Fatal(len(p.Nodes))
		}
	}
}

// BenchmarkParse100k parses, checks and builds a plan of the CLIC form with 100,000 stages.
func BenchmarkParse100k(b *testing.B) { benchmarkParse(b, clicText(100_000), 100_001) }

// BenchmarkParseArgo100k does the same with a dag in the Argo form.
func BenchmarkParseArgo100k(b *testing.B) { benchmarkParse(b, argoText(100_000), 100_001) }
