package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/store"
)

// Before a task is deleted because its time has come, its outputs can be looked at.
func TestOutputsOfWhatExpires(t *testing.T) {
	const annotated = "metadata:\n  annotations:\n    clic.io/output: \"hdfs:///w/{{workflow.name}}/x\"\n    clic.io/publish: \"true\"\n    clic.io/delete-outputs: \"true\"\n"
	w := newWorld(nil)
	var r *rig
	seen := map[string]*TaskOutputs{}
	inBubble(t, w, func(c *Config) {
		c.Retain = time.Hour
		c.Forgetting = func(ctx context.Context, tasks []string) {
			for _, task := range tasks {
				outs, err := r.engine.Outputs(ctx, task)
				if err != nil {
					t.Error(err)
				}
				seen[task] = outs
			}
		}
	}, func(running *rig) {
		r = running
		ctx := context.Background()
		one, two := r.submit(graphWith(annotated, "a")), r.submit(graph("a"))
		before, err := r.engine.Outputs(ctx, one)
		if err != nil || len(before.Declared) != 1 {
			r.t.Errorf("at first %+v, %v", before, err)
		}
		a := r.id(one, "a")
		r.settle()
		want := &TaskOutputs{Declared: []DeclaredOutput{{StageID: a, Path: "hdfs:///w/" + one + "/x", Publish: true, Expire: true, Attempts: []string{a}}}}
		r.sleep(2 * time.Hour)
		if diff := cmp.Diff(map[string]*TaskOutputs{one: want, two: {}}, seen); diff != "" {
			r.t.Error(diff)
		}
		if _, err := r.engine.Outputs(ctx, one); !errors.Is(err, store.ErrNotFound) {
			r.t.Errorf("afterwards %v", err)
		}
	})
}
