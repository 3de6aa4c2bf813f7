package kubeapi_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/clic-orchestrator/clic/executors/kubeapi"
)

// The paths are those of the API reference of Kubernetes.
func TestPaths(t *testing.T) {
	c, err := kubeapi.New(&rest.Config{Host: "https://10.0.0.1:6443"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines := int64(7)
	for want, r := range map[string]*rest.Request{
		"https://10.0.0.1:6443/api/v1/namespaces/argo/pods/p/log?follow=true&tailLines=7": c.PodLog("argo", "p",
			&corev1.PodLogOptions{Follow: true, TailLines: &lines}),
		"https://10.0.0.1:6443/api/v1/namespaces/argo/pods/http:p:4040/proxy/api/v1/applications": c.PodProxy("argo", "p", 4040, "api/v1/applications"),
		"https://10.0.0.1:6443/apis/batch/v1/namespaces/argo/jobs?labelSelector=a%3Db": c.Batch.Get().Namespace("argo").Resource("jobs").
			VersionedParams(&metav1.ListOptions{LabelSelector: "a=b"}, c.Parameters),
	} {
		if got := r.URL().String(); got != want {
			t.Errorf("asks %s, not %s", got, want)
		}
	}
}

func TestAccess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	config := `{apiVersion: v1, kind: Config, current-context: one,
		clusters: [{name: c, cluster: {server: "https://1.1.1.1"}}, {name: d, cluster: {server: "https://2.2.2.2"}}],
		users: [{name: u, user: {token: secret}}],
		contexts: [{name: one, context: {cluster: c, user: u}}, {name: two, context: {cluster: d, user: u}}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for context, host := range map[string]string{"": "https://1.1.1.1", "two": "https://2.2.2.2"} {
		if r, err := kubeapi.Access(file, context); err != nil || r.Host != host || r.BearerToken != "secret" {
			t.Errorf("context %q: %+v, %v", context, r, err)
		}
	}
	if _, err := kubeapi.Access(file, "three"); err == nil || !strings.Contains(err.Error(), "three") {
		t.Errorf("a context that is not there: %v", err)
	}
	if _, err := kubeapi.Access(file+".not", ""); err == nil || !strings.Contains(err.Error(), file+".not") {
		t.Errorf("a file that is not there: %v", err)
	}
}
