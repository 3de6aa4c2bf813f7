//go:build cluster

package deploytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
)

// account is who the masters are.
const account = "system:serviceaccount:" + namespace + ":clic-master"

// rights are all that the masters may do: resource, then verbs, in their own namespace.
var rights = map[string][]string{
	"jobs.batch":                      {"create", "delete", "get", "list", "patch", "watch"},
	"pods":                            {"delete", "list", "watch"},
	"pods/log":                        {"get"},
	"events":                          {"list", "watch"},
	"configmaps":                      {"create"},
	"configmaps/clic-epoch-clic/name": {"get", "list", "update", "watch"},
}

// everything that there is to ask for, with what would give more rights, data or machines than a master needs.
var (
	verbs     = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	resources = []string{
		"jobs.batch", "jobs.batch/status", "cronjobs.batch", "pods", "pods/log", "pods/exec", "pods/attach", "pods/portforward",
		"pods/eviction", "pods/ephemeralcontainers", "pods/status", "events", "configmaps", "configmaps/clic-epoch-clic/name",
		"configmaps/other/name", "secrets", "serviceaccounts", "serviceaccounts/token", "services", "endpoints", "persistentvolumeclaims",
		"deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "roles.rbac.authorization.k8s.io",
		"rolebindings.rbac.authorization.k8s.io", "resourcequotas", "limitranges", "leases.coordination.k8s.io",
	}
	clusterWide = []string{
		"nodes", "nodes/proxy", "namespaces", "persistentvolumes", "clusterroles.rbac.authorization.k8s.io",
		"clusterrolebindings.rbac.authorization.k8s.io", "storageclasses.storage.k8s.io", "priorityclasses.scheduling.k8s.io",
		"customresourcedefinitions.apiextensions.k8s.io", "certificatesigningrequests.certificates.k8s.io",
	}
)

// attributes are those of a question: GROUP's RESOURCE with SUBRESOURCE, or with the name of one object ("/NAME/name").
func attributes(ns, verb, resource string) *authorizationv1.ResourceAttributes {
	a := &authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb}
	parts := strings.Split(resource, "/")
	a.Resource, a.Group, _ = strings.Cut(parts[0], ".")
	switch len(parts) {
	case 2:
		a.Subresource = parts[1]
	case 3:
		a.Name = parts[1]
	}
	return a
}

// allowed asks the cluster about all questions at once, and gives those that it says yes to.
func (r *rig) allowed(t *testing.T, namespaces, about []string) map[string][]string {
	t.Helper()
	var questions []any
	var names [][2]string
	for _, ns := range namespaces {
		for _, resource := range about {
			for _, verb := range verbs {
				questions = append(questions, map[string]any{
					"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
					"spec": authorizationv1.SubjectAccessReviewSpec{
						User: account, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
						ResourceAttributes: attributes(ns, verb, resource),
					},
				})
				names = append(names, [2]string{resource, verb})
			}
		}
	}
	b, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": questions})
	must(t, err)
	yes := make(map[string][]string)
	answers := json.NewDecoder(strings.NewReader(r.create(t, b)))
	for i := range names {
		var a authorizationv1.SubjectAccessReview
		must(t, answers.Decode(&a))
		if a.Status.Allowed {
			yes[names[i][0]] = append(yes[names[i][0]], names[i][1])
		}
	}
	for _, v := range yes {
		slices.Sort(v)
	}
	return yes
}

// testRights: the cluster lets the masters do what the table says and nothing else; and they were never refused anything.
func testRights(t *testing.T, r *rig) {
	want := make(map[string][]string)
	for resource, verbs := range rights {
		want[resource] = verbs
	}
	// A right to all objects is one to each.
	for _, name := range []string{"configmaps/clic-epoch-clic/name", "configmaps/other/name"} {
		v := append(slices.Clone(want[name]), want["configmaps"]...)
		slices.Sort(v)
		want[name] = v
	}
	if diff := cmp.Diff(want, r.allowed(t, []string{namespace}, resources)); diff != "" {
		t.Errorf("what the masters may do in their namespace (-want +got):\n%s", diff)
	}
	none := map[string][]string{}
	if diff := cmp.Diff(none, r.allowed(t, []string{"default", "kube-system"}, resources)); diff != "" {
		t.Errorf("what the masters may do in other namespaces:\n%s", diff)
	}
	if diff := cmp.Diff(none, r.allowed(t, []string{""}, append(clusterWide, resources...))); diff != "" {
		t.Errorf("what the masters may do in the whole cluster:\n%s", diff)
	}
	r.checkRefusals(t)
}

// checkRefusals looks for what the API server refused to the masters.
func (r *rig) checkRefusals(t *testing.T) {
	t.Helper()
	logs := r.kubectl(t, "-n", namespace, "logs", "--selector=app.kubernetes.io/name=clic-master", "--tail=-1", "--prefix")
	if logs == "" {
		t.Error("the masters have logged nothing")
	}
	for line := range strings.Lines(logs) {
		if l := strings.ToLower(line); strings.Contains(l, "forbidden") || strings.Contains(l, "cannot list resource") {
			t.Error(fmt.Sprint("a master was refused something: ", line))
		}
	}
}
