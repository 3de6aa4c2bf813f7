package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The application that is submitted, which is in the Spark image, and the account of its driver.
const (
	sparkFile    = "local:///opt/app/demo.jar"
	sparkClass   = "demo.App"
	sparkAccount = "spark"
)

var sparkArguments = []string{"pi", "2"}

// smallJVM keeps the JVMs of the application small, whoever submits it.
const smallJVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"

// nowhere is a label that no node has.
const nowhere = "clic.test/nowhere"

// sparkConf is the application's configuration, whoever submits it. The pods of one that is held stay pending: no node is as they ask.
func sparkConf(held bool) map[string]string {
	conf := map[string]string{
		"spark.driver.memory": "512m", "spark.executor.memory": "512m", "spark.executor.instances": "1",
		"spark.kubernetes.driver.request.cores": "50m", "spark.kubernetes.executor.request.cores": "50m",
		"spark.kubernetes.driverEnv.JDK_JAVA_OPTIONS": smallJVM, "spark.executor.extraJavaOptions": smallJVM,
	}
	if held {
		conf["spark.kubernetes.node.selector."+nowhere] = "true"
	}
	return conf
}

// sparkPlan is a plan of one stage, the application.
func sparkPlan(held bool) (string, error) {
	plan, err := json.Marshal(map[string]any{ // which is YAML too
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": map[string]any{"generateName": "bench-"},
		"spec": map[string]any{
			"entrypoint": "app",
			"templates": []any{map[string]any{"name": "app", "plugin": map[string]any{"spark": map[string]any{
				"mainClass": sparkClass, "mainApplicationFile": sparkFile, "arguments": sparkArguments, "conf": sparkConf(held),
			}}}},
		},
	})
	return string(plan), err
}

// sparkWorld is a cluster with a master that runs Spark applications in it, and with all that spark-submit needs by hand.
type sparkWorld struct {
	b *bench
	c *cluster
	p *masterProcess
	// home is where Spark is on this machine, image the name of its image.
	home, image string
}

// withSpark gives use a cluster and a master, whose stages that ask for Spark are driver pods.
func (b *bench) withSpark(use func(*sparkWorld) error) error {
	home := os.Getenv("SPARK_HOME")
	if home == "" {
		return errors.New("SPARK_HOME does not say which Spark: scripts/bench.sh gets one")
	}
	image := cmp.Or(os.Getenv("CLIC_SPARK_IMAGE"), "clic.test/spark:"+filepath.Base(home))
	return b.withCluster(func(c *cluster) (err error) {
		if err := c.sparkAccount(); err != nil {
			return err
		}
		p, err := b.startMasterWith(map[string]any{
			"kube":  map[string]any{"namespace": c.namespace, "instance": "bench", "pvc": "-", "grace": "1s"},
			"spark": map[string]any{"mode": "native", "image": image, "pull-policy": "IfNotPresent", "service-account": sparkAccount},
		})
		if err != nil {
			return err
		}
		defer func() {
			stopped := p.stop()
			if err = errors.Join(err, stopped); err != nil && p.errors() != "" {
				err = fmt.Errorf("%w\n%s", err, p.errors())
			}
		}()
		return use(&sparkWorld{b: b, c: c, p: p, home: home, image: image})
	})
}

// sparkAccount makes the account with which drivers make their executors.
func (c *cluster) sparkAccount() error {
	meta := metav1.ObjectMeta{Name: sparkAccount}
	_, err := c.api.CoreV1().ServiceAccounts(c.namespace).Create(c.ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	if err == nil {
		_, err = c.api.RbacV1().Roles(c.namespace).Create(c.ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods", "services", "configmaps", "persistentvolumeclaims"}, Verbs: []string{"*"}},
		}}, metav1.CreateOptions{})
	}
	if err == nil {
		_, err = c.api.RbacV1().RoleBindings(c.namespace).Create(c.ctx, &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: sparkAccount},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: sparkAccount}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("cannot make the account of Spark's drivers: %w", err)
	}
	return nil
}

// submitArguments are those of spark-submit for the same application.
func (s *sparkWorld) submitArguments(name string, held, patient bool) []string {
	api := s.c.api.CoreV1().RESTClient().Get().URL()
	args := []string{
		"--master", "k8s://" + api.Scheme + "://" + api.Host, "--deploy-mode", "cluster", "--name", name, "--class", sparkClass,
	}
	conf := sparkConf(held)
	maps.Copy(conf, map[string]string{
		"spark.kubernetes.namespace":                              s.c.namespace,
		"spark.kubernetes.container.image":                        s.image,
		"spark.kubernetes.container.image.pullPolicy":             "IfNotPresent",
		"spark.kubernetes.authenticate.driver.serviceAccountName": sparkAccount,
		"spark.kubernetes.submission.waitAppCompletion":           "false",
	})
	for _, key := range slices.Sorted(maps.Keys(conf)) {
		args = append(args, "--conf", key+"="+conf[key])
	}
	if patient {
		args = append(args, "--conf", submitPatience)
	}
	return slices.Concat(args, []string{sparkFile}, sparkArguments)
}

// submitEnv is the environment of spark-submit by hand.
func (s *sparkWorld) submitEnv(more ...string) []string {
	// It would look for another interface, slowly; and these would leak into pods, or change what is submitted.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"SPARK_LOCAL_DIRS", "SPARK_CONF_DIR", "SPARK_SUBMIT_OPTS", "HADOOP_CONF_DIR", "JDK_JAVA_OPTIONS"}, name)
	})
	return append(append(env, "SPARK_LOCAL_IP=127.0.0.1", "SPARK_HOME="+s.home), more...)
}
