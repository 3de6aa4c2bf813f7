package main

import (
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/kube"
	"github.com/clic-orchestrator/clic/executors/kube/kubeconf"
	"github.com/clic-orchestrator/clic/executors/spark"
	"github.com/clic-orchestrator/clic/executors/spark/pods"
	"github.com/clic-orchestrator/clic/master"
)

// makers are the executors that this program has beside the local one.
func makers() master.Makers {
	return master.Makers{
		Kube: func(c kubeconf.Config) (executors.Executor, error) {
			x, err := kube.New(kube.Config(c))
			if err != nil {
				return nil, err
			}
			return x, nil
		},
		Pods: func(kubeconfig, context string) (spark.Pods, error) {
			c, err := pods.New(kubeconfig, context)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
	}
}
