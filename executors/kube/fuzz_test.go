package kube

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// Whatever stands in a template: a Job that is the same every time, or an error that repeating cannot mend, and no panic.
func FuzzBuildJob(f *testing.F) {
	add := func(s *dag.StageSpec) { f.Add(s.TemplateJSON, s.Image, s.Script, byte(len(s.Command))) }
	for _, text := range []string{
		`{}`, `null`, `[]`, `{"container":{"name":"x","env":[{"name":"A"},{"name":"A"}],"resources":{"limits":{"cpu":"1","memory":"1"}}}}`,
		`{"script":{"image":"x"},"podSpecPatch":"containers:\n- {name: main, $patch: replace, image: y}\n"}`,
		`{"podSpecPatch":"{\"containers\":[{\"name\":\"wait\"},null,1],\"$setElementOrder/containers\":[{\"name\":\"x\"}]}"}`,
		`{"podSpecPatch":"volumes: [{name: v, $retainKeys: [name]}]","workflow":{"podSpecPatch":"$patch: delete"}}`,
		`{"sidecars":[{"name":"s","mirrorVolumeMounts":true}],"volumes":[{"name":"v"}],"container":{"volumeMounts":[{"name":"v","mountPath":"/v"}]}}`,
		`{"metadata":{"labels":{"a":"b"},"annotations":{"clic.io/helper":"true"}},"workflow":{"hostNetwork":true,"podMetadata":{"labels":null}}}`,
	} {
		add(&dag.StageSpec{TemplateJSON: []byte(text), Image: "i", Command: []string{"c"}})
	}
	f.Fuzz(func(t *testing.T, template []byte, image, script string, flags byte) {
		s := &dag.StageSpec{Template: "main", TemplateJSON: template, Image: image, Script: script, Shell: flags&2 != 0, CaptureResult: flags&4 != 0}
		if flags&1 != 0 {
			s.Command = []string{"run"}
		}
		c := Config{}
		if flags&8 != 0 {
			c.StageImage = "helper"
		}
		c = c.WithDefaults()
		a := executors.Attempt{ID: "id", Spec: s, Token: "t"}
		job, err := buildJob(&c, a)
		again, againErr := buildJob(&c, a)
		if err != nil {
			if !errors.Is(err, executors.ErrNever) || againErr == nil {
				t.Fatalf("%v, then %v", err, againErr)
			}
			return
		}
		first, err := json.Marshal(job)
		if err != nil {
			t.Fatal(err)
		}
		second, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(first), string(second)); diff != "" {
			t.Fatal(diff)
		}
		if n := len(job.Spec.Template.Spec.Containers); n != 1 {
			t.Fatalf("%d containers", n)
		}
	})
}

// Patches go through code of others that walks them by reflection.
func FuzzPodSpecPatch(f *testing.F) {
	for _, text := range []string{
		"containers: [{name: main, image: x}]", "containers: null", "containers: [null]", "{}", "null", "1", "[]", "a: &a [*a]",
		"containers: [{name: main, $patch: replace, image: y}]", "$patch: replace", "$patch: x", "$retainKeys: [volumes]",
		"volumes: [{name: v, $retainKeys: [name], emptyDir: {}}, {name: w, $patch: delete}]", "$setElementOrder/containers: [{name: s}]",
		"$deleteFromPrimitiveList/x: [1]", "$setElementOrder/volumes: 1", "containers: [{$patch: delete}]", "tolerations: [{key: a}]",
		"initContainers: [{name: init}]\ncontainers: [{name: wait}, {name: work}]", "securityContext: {$patch: replace}", "nodeSelector: {a: null}",
		"$setElementOrder/containers: [1]", "$setElementOrder/containers: [{}]", "$deleteFromPrimitiveList/containers: [a]", "$retainKeys: 1",
		"containers: [{$patch: merge}]", "containers: [{name: null}]", "volumes: [{name: v, $retainKeys: [1]}]", "containers: [{$patch: 1}]",
		"$patch: 1", "volumes: [{name: v, $retainKeys: name}]", "$setElementOrder/containers: [{name: main}, {name: main}]",
		"$setElementOrder/imagePullSecrets: [a]\nimagePullSecrets: [{name: a}]", "$setElementOrder/containers: [{name: 1}]\ncontainers: [{name: s}]",
		"containers: [{name: main, $setElementOrder/volumeMounts: [{mountPath: 1}], volumeMounts: [{mountPath: /v, name: v}]}]",
		"containers: [{name: main, ports: [{containerPort: 1}], $setElementOrder/ports: [{containerPort: 1}]}]", "containers: [{}]",
		"containers: [{name: main, $deleteFromPrimitiveList/args: [1]}]", "containers: [{name: main, $deleteFromPrimitiveList/args: x}]",
		"containers: [{name: main, resources: {limits: {cpu: 1e3}}}]", "activeDeadlineSeconds: 1e30", "containers: {name: main}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		template, err := json.Marshal(map[string]any{
			"podSpecPatch": text,
			"container":    map[string]any{"volumeMounts": []any{map[string]any{"name": "v", "mountPath": "/v"}}},
			"volumes":      []any{map[string]any{"name": "v"}},
			"sidecars":     []any{map[string]any{"name": "s", "image": "i"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c := Config{}.WithDefaults()
		a := executors.Attempt{ID: "id", Spec: &dag.StageSpec{Template: "work", TemplateJSON: template, Image: "i", Command: []string{"c"}}}
		if _, err := buildJob(&c, a); err != nil && !errors.Is(err, executors.ErrNever) {
			t.Fatal(err)
		}
	})
}
