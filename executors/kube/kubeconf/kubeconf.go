// Package kubeconf is how the Kubernetes executor is configured. It is apart from the executor, so that programs that read a
// configuration, or only might, do not carry all that speaks to a cluster.
package kubeconf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// When the stage helper is put into a pod (Config.StageHelper).
const (
	// HelperAuto puts it into pods of the Argo form, and of the CLIC form where the plan asks for it.
	HelperAuto = "auto"
	// HelperAlways puts it into every pod that it fits in, HelperNever into none. What a plan says of itself goes before both.
	HelperAlways = "always"
	HelperNever  = "never"
)

// NoClaim as Config.PVC leaves pods of the CLIC form without the shared volume.
const NoClaim = "-"

// AnyNamespace as an item of Config.Namespaces lets plans choose every namespace.
const AnyNamespace = "*"

// What the helper takes in its pods: the name of a volume, and where that is mounted.
const (
	HelperVolume = "clic"
	HelperDir    = "/clic"
)

// LabelManagedBy is the label by which others know who has made an object, and OwnPrefix what the names of our labels and annotations
// begin with.
const (
	LabelManagedBy = "app.kubernetes.io/managed-by"
	OwnPrefix      = "clic/"
)

// maxInstance, in bytes, leaves room for "clic-epoch-" before it.
const maxInstance = 40

// ReservedLabel reports whether a plan or the configuration must leave the label alone.
func ReservedLabel(name string) bool {
	return strings.HasPrefix(name, OwnPrefix) || strings.HasPrefix(name, "batch.kubernetes.io/") ||
		name == LabelManagedBy || name == "job-name" || name == "controller-uid"
}

// ReservedAnnotation is the same for annotations.
func ReservedAnnotation(name string) bool { return strings.HasPrefix(name, OwnPrefix) }

// Config is how the executor works, and what is in every pod. Zero fields stand for the defaults that WithDefaults fills in.
type Config struct {
	// Kubeconfig is the file that says where the cluster is and who we are, Context the entry of it. Both "": the service account
	// of the pod that we run in, or else the file that kubectl would take.
	Kubeconfig, Context string
	// Namespace is where Jobs go by default. Default "argo".
	Namespace string
	// Namespaces lists the others that a task may choose with its option "namespace"; AnyNamespace is all.
	Namespaces []string
	// Instance tells the Jobs of this installation from those of others in the same namespaces. Default "clic".
	Instance string

	// PVC is the claim that pods of the CLIC form mount on MountPath, as the volume VolumeName. Defaults "pvc-nfs", "/data" and
	// "nfs-volume". NoClaim is none.
	PVC, MountPath, VolumeName string
	// ServiceAccount is that of pods whose plan names none; "" is the namespace's default.
	ServiceAccount string
	// ImagePullSecrets are added to those of the plan.
	ImagePullSecrets []string
	// Labels and Annotations are put on every pod, NodeSelector and Tolerations into every pod whose plan has none of its own.
	Labels, Annotations, NodeSelector map[string]string
	Tolerations                       []corev1.Toleration

	// StageImage is an image with /clic-stage, the helper inside the pod; "" is none, so that results, output parameters and
	// heartbeats need programs that report by themselves.
	StageImage string
	// StageHelper is HelperAuto (the default), HelperAlways or HelperNever.
	StageHelper string
	// ResultLimit and OutputLimit bound what the helper takes back: an attempt's result and each of its output parameters, in
	// bytes. Defaults 1 MiB and 256 KiB. What is larger fails the attempt.
	ResultLimit, OutputLimit int64
	// Heartbeat is how often the helper tells the master that the program lives. Default 10 s.
	Heartbeat time.Duration

	// Parallel is how many Jobs are created at the same time. Default 32.
	Parallel int
	// QPS and Burst bound the requests to the API server from this side. Default: off, the server's own limits are kept.
	QPS   float32
	Burst int
	// StartTimeout ends an attempt whose pod can never start (its image or its configuration is wrong) after this time. Default
	// 5 min.
	StartTimeout time.Duration
	// TTL is how long the cluster keeps a Job that has ended, KeepFailed the same for failed ones. Defaults 1 h, and as TTL.
	// Negative: until the task is forgotten.
	TTL, KeepFailed time.Duration
	// Grace is between TERM and KILL where nobody says otherwise. Default 30 s.
	Grace time.Duration
	// ArchiveLogs keeps the log of every attempt that ended, for when its pod is gone: as <LogDir>/<attempt id>.log, or in the Archive
	// if there is one. A LogDir that is a URI needs an Archive, which whoever runs the executor makes of it.
	LogDir      string
	ArchiveLogs bool
	Archive     LogArchive
	// Resync is the period in which everything is listed anew, whatever the watches said. Default 10 min.
	Resync time.Duration
	// Logger takes what has no other place to go. Default: nothing is logged.
	Logger *slog.Logger
}

// LogArchive keeps logs of attempts that have ended. Their names are different and could be those of files. All methods may be called
// from several goroutines.
type LogArchive interface {
	// Kept reports whether it is known without asking another machine that there is the log of a name.
	Kept(name string) bool
	// Put takes a log, to its end. It does not wait for another machine. A name that has a log already keeps one of the two.
	Put(ctx context.Context, name string, log io.Reader) error
	// Stat says when the log of a name was written. fs.ErrNotExist where there is none.
	Stat(ctx context.Context, name string) (time.Time, error)
	// Open reads the log of a name from an offset in bytes; the context bounds every read. fs.ErrNotExist where there is none.
	Open(ctx context.Context, name string, from int64) (io.ReadCloser, error)
	// Remove removes the log of a name, soon. One that does not exist is no error. It does not wait for another machine.
	Remove(name string) error
}

// WithDefaults gives a copy with every zero field filled in.
func (c Config) WithDefaults() Config {
	for _, s := range []struct {
		field *string
		value string
	}{
		{&c.Namespace, "argo"},
		{&c.Instance, "clic"},
		{&c.PVC, "pvc-nfs"},
		{&c.MountPath, "/data"},
		{&c.VolumeName, "nfs-volume"},
		{&c.StageHelper, HelperAuto},
	} {
		if *s.field == "" {
			*s.field = s.value
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.Heartbeat, 10 * time.Second},
		{&c.StartTimeout, 5 * time.Minute},
		{&c.TTL, time.Hour},
		{&c.Grace, 30 * time.Second},
		{&c.Resync, 10 * time.Minute},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.KeepFailed == 0 {
		c.KeepFailed = c.TTL
	}
	if c.ResultLimit == 0 {
		c.ResultLimit = 1 << 20
	}
	if c.OutputLimit == 0 {
		c.OutputLimit = 256 << 10
	}
	if c.Parallel == 0 {
		c.Parallel = 32
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate says everything that is wrong with a configuration that has its defaults.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, namespace := range append([]string{c.Namespace}, c.Namespaces...) {
		if namespace != AnyNamespace && len(validation.ValidateNamespaceName(namespace, false)) > 0 {
			bad("%q cannot be a namespace's name", namespace)
		}
	}
	if c.Namespace == AnyNamespace {
		bad("the default namespace cannot be %q", AnyNamespace)
	}
	// It becomes a label's value and a part of an object's name.
	if len(utilvalidation.IsDNS1123Label(c.Instance)) > 0 || len(c.Instance) > maxInstance {
		bad("the instance %q is not a name of at most %d lower-case letters, digits and dashes", c.Instance, maxInstance)
	}
	if c.PVC != NoClaim {
		if len(utilvalidation.IsDNS1123Subdomain(c.PVC)) > 0 {
			bad("%q cannot be a claim's name (%q is none)", c.PVC, NoClaim)
		}
		if len(utilvalidation.IsDNS1123Label(c.VolumeName)) > 0 || c.VolumeName == HelperVolume {
			bad("%q cannot be the volume's name", c.VolumeName)
		}
		if !path.IsAbs(c.MountPath) || slices.Contains([]string{"/", HelperDir}, path.Clean(c.MountPath)) {
			bad("the claim cannot be mounted on %q", c.MountPath)
		}
	}
	if !slices.Contains([]string{HelperAuto, HelperAlways, HelperNever}, c.StageHelper) {
		bad("the stage helper can be %s, %s or %s, not %q", HelperAuto, HelperAlways, HelperNever, c.StageHelper)
	}
	if c.StageHelper == HelperAlways && c.StageImage == "" {
		bad("the stage helper is wanted always, but there is no image with it")
	}
	if c.ArchiveLogs && c.LogDir == "" && c.Archive == nil {
		bad("logs are to be archived, but there is no directory for them")
	}
	errs = append(errs, c.validateNumbers(), c.validateMetadata())
	return errors.Join(errs...)
}

func (c Config) validateNumbers() error {
	var errs []error
	for _, n := range []struct {
		name  string
		value int64
		least int64
	}{
		{"result limit", c.ResultLimit, 0},
		{"output limit", c.OutputLimit, 0},
		{"number of creations at once", int64(c.Parallel), 1},
		{"heartbeat", int64(c.Heartbeat), int64(time.Second)},
		{"start timeout", int64(c.StartTimeout), 0},
		{"grace", int64(c.Grace), 0},
		{"resync period", int64(c.Resync), int64(time.Second)},
		{"burst", int64(c.Burst), 0},
	} {
		if n.value < n.least {
			errs = append(errs, fmt.Errorf("the %s is too small", n.name))
		}
	}
	if c.QPS < 0 {
		errs = append(errs, errors.New("the number of requests per second is negative"))
	}
	return errors.Join(errs...)
}

func (c Config) validateMetadata() error {
	bad := metavalidation.ValidateLabels(c.Labels, field.NewPath("labels"))
	bad = append(bad, metavalidation.ValidateLabels(c.NodeSelector, field.NewPath("nodeSelector"))...)
	bad = append(bad, validation.ValidateAnnotations(c.Annotations, field.NewPath("annotations"))...)
	for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
		if ReservedLabel(name) {
			bad = append(bad, field.Forbidden(field.NewPath("labels").Key(name), "it is set by clic or by Kubernetes itself"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Annotations)) {
		if ReservedAnnotation(name) {
			bad = append(bad, field.Forbidden(field.NewPath("annotations").Key(name), "it is set by clic itself"))
		}
	}
	for i, name := range c.ImagePullSecrets {
		if len(utilvalidation.IsDNS1123Subdomain(name)) > 0 {
			bad = append(bad, field.Invalid(field.NewPath("imagePullSecrets").Index(i), name, "not a secret's name"))
		}
	}
	if c.ServiceAccount != "" && len(validation.ValidateServiceAccountName(c.ServiceAccount, false)) > 0 {
		bad = append(bad, field.Invalid(field.NewPath("serviceAccount"), c.ServiceAccount, "not a service account's name"))
	}
	return bad.ToAggregate()
}
