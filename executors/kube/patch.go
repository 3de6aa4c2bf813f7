package kube

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/clic-orchestrator/clic/executors"
)

// The containers that Argo adds to a pod. Here there is nothing of theirs to do, so that patches of them have no effect.
const (
	argoInit = "init"
	argoWait = "wait"
)

// patch applies the plan's podSpecPatch and then the template's, as Argo does: YAML or JSON, merged strategically into the pod as
// Argo has it, in which the program is in the container "main". Its name here, the template's, is understood as well.
func (t *template) patch(pod *corev1.PodSpec, a executors.Attempt) (*corev1.PodSpec, error) {
	for _, p := range []struct{ field, text string }{
		{"spec.podSpecPatch", t.Workflow.PodSpecPatch},
		{"podSpecPatch of template " + a.Spec.Template, t.PodSpecPatch},
	} {
		if p.text == "" {
			continue
		}
		patched, err := applyPatch(pod, []byte(p.text), containerName(a))
		if err != nil {
			return nil, never("%s: %w; correct the patch", p.field, err)
		}
		pod = patched
		if pod.RestartPolicy != corev1.RestartPolicyNever {
			return nil, never("%s: restartPolicy can only be Never; use retryStrategy", p.field)
		}
	}
	return pod, nil
}

func applyPatch(pod *corev1.PodSpec, text []byte, name string) (*corev1.PodSpec, error) {
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(asJSON, &corev1.PodSpec{}); err != nil { // the merge would not say it
		return nil, err
	}
	var patch map[string]any
	if err := json.Unmarshal(asJSON, &patch); err != nil {
		return nil, err
	}
	if len(patch) == 0 {
		return pod, nil
	}
	retarget(patch, pod, name)
	if asJSON, err = json.Marshal(patch); err != nil {
		return nil, err
	}
	original, err := json.Marshal(pod)
	if err != nil {
		return nil, err
	}
	merged, err := merge(original, asJSON)
	if err != nil {
		return nil, err
	}
	out := &corev1.PodSpec{}
	if err := json.Unmarshal(merged, out); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(out.Containers, isMain) {
		return nil, fmt.Errorf("it leaves no container %q", mainName)
	}
	return out, nil
}

// merge is Kubernetes' own. It asserts types that a patch of directives need not have, and a plan must not bring down the master.
func merge(original, patch []byte) (merged []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be merged: %v", r)
		}
	}()
	return strategicpatch.StrategicMergePatch(original, patch, corev1.PodSpec{})
}

func isMain(c corev1.Container) bool { return c.Name == mainName }

// retarget makes a patch of the container name one of "main", and takes out what is meant for Argo's own containers.
func retarget(patch map[string]any, pod *corev1.PodSpec, name string) {
	of := func(field string, list []corev1.Container, foreign string) {
		items, ok := patch[field].([]any)
		if !ok {
			return
		}
		named := func(name string) bool {
			return slices.ContainsFunc(list, func(c corev1.Container) bool { return c.Name == name })
		}
		kept := make([]any, 0, len(items))
		for _, item := range items {
			ctr, ok := item.(map[string]any)
			if ok && ctr["name"] == foreign && ctr["image"] == nil && !named(foreign) {
				continue
			}
			if ok && field == "containers" && ctr["name"] == name && !named(name) {
				ctr["name"] = mainName
			}
			kept = append(kept, item)
		}
		patch[field] = kept
	}
	of("containers", pod.Containers, argoWait)
	of("initContainers", pod.InitContainers, argoInit)
}
