//go:build cluster

package kube

import (
	"context"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/clic-orchestrator/clic/dag"
)

// plainClient is a client of its own, without the executor's ways.
func plainClient(t *testing.T) kubernetes.Interface {
	t.Helper()
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.CloseIdleConnections)
	client, err := kubernetes.NewForConfigAndClient(config, http)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A real API server takes every golden Job, and the pod that it asks for. Nothing is made.
func TestGoldenJobsAreValid(t *testing.T) {
	client := plainClient(t)
	const namespace = metav1.NamespaceDefault
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	for _, g := range goldenCases() {
		t.Run(g.name, func(t *testing.T) {
			job, err := g.build(t)
			if err != nil {
				t.Fatal(err)
			}
			job.Namespace = namespace
			if _, err := client.BatchV1().Jobs(namespace).Create(t.Context(), job, dry); err != nil {
				t.Errorf("the Job: %v", err)
			}
			pod := &corev1.Pod{ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(), Spec: *job.Spec.Template.Spec.DeepCopy()}
			pod.Name = job.Name
			// These name objects that this cluster does not have.
			pod.Spec.ServiceAccountName, pod.Spec.PriorityClassName, pod.Spec.RuntimeClassName = "", "", nil
			if _, err := client.CoreV1().Pods(namespace).Create(t.Context(), pod, dry); err != nil {
				t.Errorf("its pod: %v", err)
			}
		})
	}
}

// A script without the helper reaches its interpreter letter by letter, and a Job ends with its program although a sidecar would go
// on for ever.
func TestScriptAndSidecarRun(t *testing.T) {
	const image = "clic.test/shell:1"
	client := plainClient(t)
	job, err := tryJob(Config{Namespace: metav1.NamespaceDefault}, `
script: {image: x, volumeMounts: [{name: shared, mountPath: /shared}]}
volumes: [{name: shared, emptyDir: {}}]
initContainers: [{name: before, image: "clic.test/shell:1", command: [sh, -c, "echo before > /shared/init"], mirrorVolumeMounts: true}]
sidecars:
- name: beside
  image: clic.test/shell:1
  command: [sh, -c, "echo beside > /shared/sidecar; trap 'exit 0' TERM; while :; do sleep 1 & wait; done"]
  mirrorVolumeMounts: true
podSpecPatch: "containers: [{name: main, env: [{name: PATCHED, value: really}]}]"
`, &dag.StageSpec{
		Image: image, Command: []string{"sh", "-e"}, Args: nil, Grace: 1000,
		Script: "until [ -f /shared/sidecar ]; do :; done\ncat /shared/init\nx='$(PATCHED) $$(PATCHED)'; echo \"$x $PATCHED\"\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	job.Name = "script-and-sidecar"
	jobs := client.BatchV1().Jobs(job.Namespace)
	watch, err := jobs.Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + job.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if _, err := jobs.Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	policy := metav1.DeletePropagationBackground
	defer func() {
		if err := jobs.Delete(context.WithoutCancel(t.Context()), job.Name, metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
			t.Error(err)
		}
	}()
	for event := range watch.ResultChan() {
		seen, ok := event.Object.(*batchv1.Job)
		if !ok || seen.Status.CompletionTime == nil && seen.Status.Failed == 0 {
			continue
		}
		if seen.Status.Failed > 0 {
			t.Errorf("it failed: %+v", seen.Status)
		}
		break
	}
	sameAsTheLibrary(t, client, job.Namespace)
	pods, err := client.CoreV1().Pods(job.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + job.Name})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%v, %v", pods, err)
	}
	log, err := client.CoreV1().Pods(job.Namespace).GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
	if want := "before\n$(PATCHED) $$(PATCHED) really\n"; err != nil || string(log) != want {
		t.Errorf("the log is %q, %v, want %q", log, err, want)
	}
}

// sameAsTheLibrary reads all Jobs and pods that there are in both ways.
func sameAsTheLibrary(t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	for resource, c := range map[string]struct {
		api  rest.Interface
		same func(*testing.T, []byte, bool)
	}{
		"jobs": {client.BatchV1().RESTClient(), sameJobRead}, "pods": {client.CoreV1().RESTClient(), samePodRead},
	} {
		body, err := c.api.Get().Namespace(namespace).Resource(resource).SetHeader("Accept", typeProtobuf).Do(t.Context()).Raw()
		if err != nil {
			t.Fatal(err)
		}
		_, _, raw, err := unwrap(body)
		n := 0
		if err == nil {
			_, _, err = readPage(raw, func(item []byte) error { n++; c.same(t, item, true); return nil })
		}
		if err != nil || n == 0 {
			t.Errorf("%d %s, %v", n, resource, err)
		}
	}
}
