// Package kubeapi asks a Kubernetes cluster for the few kinds of objects that executors work with. The library's own set of clients knows
// every kind that there is, and has a program carry all of them: of a master that does nothing yet that was a third of the memory.
package kubeapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Client asks one cluster.
type Client struct {
	// Core and Batch are the groups "" and "batch", in version v1, for requests that are not among the methods.
	Core, Batch rest.Interface
	// Parameters encodes what goes into the URL of a request, such as metav1.ListOptions.
	Parameters runtime.ParameterCodec

	http *http.Client
}

// New makes a client. It does not talk to the cluster yet.
func New(access *rest.Config) (*Client, error) {
	known := runtime.NewScheme()
	metav1.AddToGroupVersion(known, schema.GroupVersion{Version: "v1"}) // what an error looks like, in any group
	if err := errors.Join(corev1.AddToScheme(known), batchv1.AddToScheme(known)); err != nil {
		return nil, err
	}
	h, err := rest.HTTPClientFor(access)
	if err != nil {
		return nil, err
	}
	codecs := serializer.NewCodecFactory(known)
	group := func(path string, gv schema.GroupVersion) (rest.Interface, error) {
		c := rest.CopyConfig(access)
		c.APIPath, c.GroupVersion = path, &gv
		c.NegotiatedSerializer = rest.CodecFactoryForGeneratedClient(known, codecs).WithoutConversion()
		return rest.RESTClientForConfigAndClient(c, h)
	}
	core, err := group("/api", corev1.SchemeGroupVersion)
	if err != nil {
		return nil, err
	}
	batch, err := group("/apis", batchv1.SchemeGroupVersion)
	if err != nil {
		return nil, err
	}
	return &Client{Core: core, Batch: batch, Parameters: runtime.NewParameterCodec(known), http: h}, nil
}

// Close closes connections that are not in use.
func (c *Client) Close() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

// Jobs are the Jobs of a namespace.
func (c *Client) Jobs(namespace string) *gentype.Client[*batchv1.Job] {
	return gentype.NewClient("jobs", c.Batch, c.Parameters, namespace,
		func() *batchv1.Job { return &batchv1.Job{} }, gentype.PrefersProtobuf[*batchv1.Job]())
}

// ConfigMaps are the ConfigMaps of a namespace.
func (c *Client) ConfigMaps(namespace string) *gentype.Client[*corev1.ConfigMap] {
	return gentype.NewClient("configmaps", c.Core, c.Parameters, namespace,
		func() *corev1.ConfigMap { return &corev1.ConfigMap{} }, gentype.PrefersProtobuf[*corev1.ConfigMap]())
}

// Pods are the pods of a namespace; "" is all.
func (c *Client) Pods(namespace string) *gentype.ClientWithList[*corev1.Pod, *corev1.PodList] {
	return gentype.NewClientWithList("pods", c.Core, c.Parameters, namespace,
		func() *corev1.Pod { return &corev1.Pod{} }, func() *corev1.PodList { return &corev1.PodList{} }, gentype.PrefersProtobuf[*corev1.Pod]())
}

// PodLog asks for a pod's log.
func (c *Client) PodLog(namespace, pod string, o *corev1.PodLogOptions) *rest.Request {
	return c.pod(namespace, pod, "log").VersionedParams(o, c.Parameters)
}

// PodProxy asks an HTTP server in a pod for what it has at a path.
func (c *Client) PodProxy(namespace, pod string, port int, path string) *rest.Request {
	return c.pod(namespace, utilnet.JoinSchemeNamePort("http", pod, strconv.Itoa(port)), "proxy").Suffix(path)
}

func (c *Client) pod(namespace, name, subresource string) *rest.Request {
	return c.Core.Get().Namespace(namespace).Resource("pods").Name(name).SubResource(subresource)
}

// Access tells how to reach a cluster. kubeconfig is the file that says where it is and who we are, context the entry of it; both "": the
// service account of the pod that we run in, or else the file that kubectl would take.
func Access(kubeconfig, context string) (*rest.Config, error) {
	if kubeconfig == "" && context == "" {
		r, err := rest.InClusterConfig()
		if !errors.Is(err, rest.ErrNotInCluster) {
			return r, err
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	r, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("cannot tell how to reach the cluster: %w", err)
	}
	return r, nil
}
