package kube

import "github.com/clic-orchestrator/clic/executors/kube/kubeconf"

// Config is kubeconf.Config, for the executor itself.
type Config kubeconf.Config

// The constants of kubeconf that go into a Config.
const (
	HelperAuto   = kubeconf.HelperAuto
	HelperAlways = kubeconf.HelperAlways
	HelperNever  = kubeconf.HelperNever
	NoClaim      = kubeconf.NoClaim
	AnyNamespace = kubeconf.AnyNamespace
)

// WithDefaults gives a copy with every zero field filled in.
func (c Config) WithDefaults() Config { return Config(kubeconf.Config(c).WithDefaults()) }

// Validate says everything that is wrong with a configuration that has its defaults.
func (c Config) Validate() error { return kubeconf.Config(c).Validate() }
