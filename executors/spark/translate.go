package spark

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/sparkapp"
	"github.com/clic-orchestrator/clic/executors"
)

// pluginName is the name of the plugin in templates, and of StageSpec.Plugin.
const pluginName = "spark"

// never is an error that repeating the launch cannot mend.
func never(format string, args ...any) error {
	return fmt.Errorf("%w: %w", executors.ErrNever, fmt.Errorf(format, args...))
}

// errProgram marks a stage of the CLIC form: whatever its command line calls, spark-submit too, it runs as it always has, where there is
// something to run it.
var errProgram = errors.New("a program of the CLIC form, which is not run here")

// application gives the application that an attempt runs: its template's plugin, or its command where that is one of spark-submit. base
// is the template, in which there is no plugin any more.
func (c *Config) application(a executors.Attempt) (*sparkapp.App, template, error) {
	if a.Spec == nil || a.ID == "" {
		return nil, nil, never("an attempt without an id or a program")
	}
	t, err := readTemplate(a.Spec.TemplateJSON)
	if err != nil {
		return nil, nil, never("template %q: %w", a.Spec.Template, err)
	}
	if a.Spec.Plugin == "" && a.Spec.Form == dag.FormCLIC {
		return nil, nil, never("template %q is %w; route its platform to another executor", a.Spec.Template, errProgram)
	}
	if a.Spec.Plugin == "" {
		app, err := submitted(a)
		if err != nil {
			return nil, nil, err
		}
		return app, t, c.suits(a, app)
	}
	if a.Spec.Plugin != pluginName {
		return nil, nil, never("template %q: there is no plugin %q here; route its platform to another executor", a.Spec.Template, a.Spec.Plugin)
	}
	raw, err := json.Marshal(in(t, "plugin")[pluginName])
	if err != nil {
		return nil, nil, never("template %q: %w", a.Spec.Template, err)
	}
	app, problems := sparkapp.Decode(raw)
	if len(problems) > 0 {
		errs := make([]error, 0, len(problems))
		for i := range problems {
			errs = append(errs, &problems[i])
		}
		return nil, nil, never("template %q: plugin.spark: %w", a.Spec.Template, errors.Join(errs...))
	}
	return &app, t, c.suits(a, &app)
}

// submitted is the application of a stage that calls spark-submit itself.
func submitted(a executors.Attempt) (*sparkapp.App, error) {
	if a.Spec.Script != "" {
		return nil, never("template %q is a script, and not a Spark application; use plugin: {spark: …}, or route its platform to another executor", a.Spec.Template)
	}
	s, err := sparkapp.ParseSubmit(slices.Concat(a.Spec.Command, a.Spec.Args))
	switch {
	case errors.Is(err, sparkapp.ErrNotSubmit):
		return nil, never("template %q is no Spark application; use plugin: {spark: …} or the command spark-submit, or route its platform to another executor",
			a.Spec.Template)
	case err != nil:
		return nil, never("template %q: %w; use plugin: {spark: …}, or route its platform to another executor, where it runs as it is", a.Spec.Template, err)
	}
	s.App.Image = first(s.App.Image, a.Spec.Image)
	for key := range s.App.Conf {
		if !strings.HasPrefix(key, "spark.") {
			delete(s.App.Conf, key) // spark-submit ignores them as well
		}
	}
	return &s.App, nil
}

// suits refuses an application that cannot run here.
func (c *Config) suits(a executors.Attempt, app *sparkapp.App) error {
	if want := app.SparkVersion; want != "" && c.SparkVersion != "" && series(want) != series(c.SparkVersion) && app.Image == "" {
		return never("template %q is made for Spark %s, and here is %s; name an image of that version, or change sparkVersion",
			a.Spec.Template, want, c.SparkVersion)
	}
	if c.kubernetes() && first(app.Image, app.Conf["spark.kubernetes.container.image"], c.Conf["spark.kubernetes.container.image"], c.Image) == "" {
		return never("template %q: no image is named, and the master's configuration has none; add image to plugin.spark", a.Spec.Template)
	}
	if c.Mode == Native {
		for _, key := range slices.Sorted(maps.Keys(app.Conf)) {
			if strings.HasPrefix(key, "spark.kubernetes.driver.volumes.") || key == "spark.kubernetes.driver.podTemplateFile" ||
				strings.HasPrefix(key, "spark.kubernetes.driver.secrets.") {
				return never("template %q: %s is for spark-submit, and the driver's pod is made here; use the template's volumes and podSpecPatch", a.Spec.Template, key)
			}
		}
	}
	return nil
}

// series is the part of a version within which applications run everywhere.
func series(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}

// translate gives the attempt that the base runs in place of one of an application. It is a pure function, and deterministic.
func (c *Config) translate(a executors.Attempt) (executors.Attempt, *sparkapp.App, error) {
	app, t, err := c.application(a)
	if err != nil {
		return a, nil, err
	}
	spec := *a.Spec
	spec.Plugin, spec.Shell, spec.Script, spec.Form = "", false, "", a.Spec.Form
	p := c.properties(a, app)
	switch c.Mode {
	case Native:
		c.native(a, &spec, t, p, app)
	case Client, Standalone:
		c.client(a, &spec, t, p, app)
	case Cluster:
		c.submitter(a, &spec, t, p, app)
	case Local:
		c.client(a, &spec, t, p, app)
	case StandaloneCluster:
		return a, app, nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if !slices.ContainsFunc(spec.Env, func(e dag.EnvVar) bool { return e.Name == name }) {
			spec.Env = append(slices.Clip(spec.Env), dag.EnvVar{Name: name, Value: c.literal(c.Env[name])})
		}
	}
	if spec.TemplateJSON, err = t.json(); err != nil {
		return a, nil, never("template %q: %w", a.Spec.Template, err)
	}
	a.Spec = &spec
	return a, app, nil
}

// outputPath is the one reference that an application's own texts can have: where its data goes is known when the attempt is launched.
const outputPath = "$(" + executors.EnvOutput + ")"

// literal keeps the base from replacing anything in a text but outputPath.
func (c *Config) literal(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "$", "$$"), "$"+outputPath, outputPath)
}

// native makes the pod of the base the driver's, as the one that spark-submit makes in cluster mode, but for the ConfigMap and the
// service: the configuration is in the arguments, and the driver's address is its pod's.
func (c *Config) native(a executors.Attempt, spec *dag.StageSpec, t template, p properties, app *sparkapp.App) {
	c.onKubernetes(p, a, app)
	p["spark.kubernetes.submitInDriver"] = "true"
	p["spark.kubernetes.driver.pod.name"] = "$(POD_NAME)"
	p["spark.driver.host"] = "$(SPARK_DRIVER_BIND_ADDRESS)"
	switch {
	case app.Python():
		p["spark.kubernetes.resource.type"] = "python"
	case app.R():
		p["spark.kubernetes.resource.type"] = "r"
	default:
		p["spark.kubernetes.resource.type"] = "java"
		// Told that the submission happened elsewhere, spark-submit leaves this to it, and executors would lack the jar.
		jars := p["spark.jars"]
		p["spark.jars"] = app.File
		p.list("spark.jars", strings.FieldsFunc(jars, func(r rune) bool { return r == ',' }))
	}
	spec.Command = nil
	if c.Entrypoint != "-" {
		spec.Command = []string{c.Entrypoint}
	}
	spec.Args = append([]string{"driver", "--master", c.Master}, p.arguments(app, c.literal)...)
	c.driverPod(a, spec, t, p, app)
	container := t.container()
	fieldEnv(container, "SPARK_DRIVER_BIND_ADDRESS", "status.podIP")
	const local, volume = "/var/data/spark-local", "spark-local-dir-1"
	add(t, "volumes", map[string]any{"name": volume, "emptyDir": map[string]any{}})
	add(container, "volumeMounts", map[string]any{"name": volume, "mountPath": local})
	add(container, "env", map[string]any{"name": "SPARK_LOCAL_DIRS", "value": local})
}

// client makes the base's pod or process a spark-submit that is the driver itself.
func (c *Config) client(a executors.Attempt, spec *dag.StageSpec, t template, p properties, app *sparkapp.App) {
	if c.kubernetes() {
		c.onKubernetes(p, a, app)
		p["spark.kubernetes.driver.pod.name"] = "$(POD_NAME)"
	}
	if c.Pods {
		p["spark.driver.host"], p["spark.driver.bindAddress"] = "$(SPARK_DRIVER_BIND_ADDRESS)", "$(SPARK_DRIVER_BIND_ADDRESS)"
	}
	if c.Mode == Standalone && app.Executor.Instances > 0 && p["spark.cores.max"] == "" && app.Dynamic == nil {
		// Standalone masters know no number of executors, only of cores.
		p["spark.cores.max"] = strconv.Itoa(app.Executor.Instances * max(app.Executor.Cores, 1))
		if app.Executor.Cores == 0 {
			p["spark.executor.cores"] = "1"
		}
	}
	spec.Command = []string{c.Submit}
	spec.Args = append([]string{"--master", c.Master, "--deploy-mode", "client"}, p.arguments(app, c.literal)...)
	if !c.Pods {
		spec.Image = ""
		delete(t, "container")
		delete(t, "script")
		if c.Home != "" {
			spec.Env = append(slices.Clip(spec.Env), dag.EnvVar{Name: "SPARK_HOME", Value: c.Home})
		}
		return
	}
	c.driverPod(a, spec, t, p, app)
	fieldEnv(t.container(), "SPARK_DRIVER_BIND_ADDRESS", "status.podIP")
}

// driverPod completes the description of a pod in which the driver runs.
func (c *Config) driverPod(a executors.Attempt, spec *dag.StageSpec, t template, p properties, app *sparkapp.App) {
	spec.Image = first(app.Image, p["spark.kubernetes.driver.container.image"], p["spark.kubernetes.container.image"], c.Image)
	spec.MemoryRequest = driverMemory(p, app).Bytes()
	spec.MemoryLimit = spec.MemoryRequest
	spec.CPURequest = milliCores(first(p["spark.kubernetes.driver.request.cores"], p["spark.driver.cores"], "1"))
	spec.CPULimit = milliCores(p["spark.kubernetes.driver.limit.cores"])
	c.podOf(t, p, app, spec)
	container := t.container()
	fieldEnv(container, "POD_NAME", "metadata.name")
	fieldEnv(container, "POD_NAMESPACE", "metadata.namespace")
	labels := map[string]string{"spark-role": "driver", labelApp: appID(a.ID), "spark-app-name": labelValue(p["spark.app.name"])}
	if v := first(app.SparkVersion, c.SparkVersion); v != "" {
		labels["spark-version"] = v
	}
	maps.Copy(labels, p.under("spark.kubernetes.driver.label."))
	t.label(labels, p.under("spark.kubernetes.driver.annotation."))
	if c.kubernetes() {
		add(container, "env", map[string]any{"name": "SPARK_APPLICATION_ID", "value": appID(a.ID)})
	}
	variables := p.under("spark.kubernetes.driverEnv.")
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		add(container, "env", map[string]any{"name": name, "value": c.literal(variables[name])})
	}
	refs := p.under("spark.kubernetes.driver.secretKeyRef.")
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		secret, key, _ := strings.Cut(refs[name], ":")
		add(container, "env", map[string]any{"name": name, "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": secret, "key": key}}})
	}
}

// podOf puts into the template what belongs to every pod of ours.
func (c *Config) podOf(t template, p properties, app *sparkapp.App, spec *dag.StageSpec) {
	if account := first(app.ServiceAccount, p["spark.kubernetes.authenticate.driver.serviceAccountName"]); account != "" {
		t["serviceAccountName"] = account
	} else if said, _ := t["serviceAccountName"].(string); said == "" && c.ServiceAccount != "" {
		t["serviceAccountName"] = c.ServiceAccount
	}
	container := t.container()
	delete(container, "command")
	delete(container, "args")
	delete(container, "source")
	container["image"] = spec.Image
	if policy := first(app.PullPolicy, p["spark.kubernetes.container.image.pullPolicy"], c.PullPolicy); policy != "" {
		container["imagePullPolicy"] = policy
	}
	if selector := p.under("spark.kubernetes.node.selector."); len(selector) > 0 {
		to := in(t, "nodeSelector")
		for key, value := range selector {
			to[key] = value
		}
	}
}

// submitter makes the base's pod one that only submits. What Spark makes of it has a name that follows from the attempt's.
func (c *Config) submitter(a executors.Attempt, spec *dag.StageSpec, t template, p properties, app *sparkapp.App) {
	c.onKubernetes(p, a, app)
	p["spark.kubernetes.driver.pod.name"] = driverName(a.ID)
	p["spark.kubernetes.submission.waitAppCompletion"] = "false"
	labels := map[string]string{
		labelInstance: c.Instance, labelAttempt: digest(a.ID, 32), labelTask: labelValue(a.Task), labelStage: labelValue(a.Stage),
	}
	for name, value := range labels {
		p["spark.kubernetes.driver.label."+name] = value
	}
	p["spark.kubernetes.driver.annotation."+annotationAttempt] = a.ID
	p["spark.kubernetes.driver.annotation."+annotationEpoch] = strconv.FormatUint(a.Epoch, 10)
	account, _ := t["serviceAccountName"].(string)
	account = first(app.ServiceAccount, p["spark.kubernetes.authenticate.driver.serviceAccountName"], account, c.ServiceAccount)
	p.set("spark.kubernetes.authenticate.driver.serviceAccountName", account)
	if selector, ok := t["nodeSelector"].(map[string]any); ok {
		for key, value := range selector {
			if s, ok := value.(string); ok && p["spark.kubernetes.node.selector."+key] == "" {
				p["spark.kubernetes.node.selector."+key] = s
			}
		}
	}
	for _, v := range executors.Env(a) { // the driver is the stage's program
		name, value, _ := strings.Cut(v, "=")
		if name != executors.EnvToken { // it would be readable in the ConfigMap
			p["spark.kubernetes.driverEnv."+name] = value
		}
	}
	spec.Image = first(app.Image, p["spark.kubernetes.container.image"], c.Image)
	spec.Command = []string{c.Submit}
	spec.Args = append([]string{"--master", c.Master, "--deploy-mode", "cluster"}, p.arguments(app, c.literal)...)
	// What the driver leaves behind cannot be taken back by way of the pod that submits.
	spec.CPURequest, spec.CPULimit, spec.MemoryRequest, spec.MemoryLimit = 100, 0, submitterMemory, 0
	c.podOf(t, p, app, spec)
	container := t.container()
	fieldEnv(container, "POD_NAME", "metadata.name")
	fieldEnv(container, "POD_NAMESPACE", "metadata.namespace")
	add(container, "env", map[string]any{"name": "SPARK_SUBMIT_OPTS", "value": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m"})
}

// submitterMemory is what a pod asks for that only submits, in bytes.
const submitterMemory = 384 << 20

// Labels and annotations of drivers that cluster mode made.
const (
	labelInstance     = "clic/spark-instance"
	labelAttempt      = "clic/spark-attempt"
	labelTask         = "clic/task"
	labelStage        = "clic/stage"
	annotationAttempt = "clic/attempt-id"
	annotationEpoch   = "clic/epoch"
)

// under are the properties below a prefix, without it.
func (p properties) under(prefix string) map[string]string {
	all := map[string]string{}
	for key, value := range p {
		if name, ok := strings.CutPrefix(key, prefix); ok && name != "" {
			all[name] = value
		}
	}
	return all
}

// milliCores reads a number of cores as Kubernetes does; 0 for a text that is none.
func milliCores(s string) int64 {
	if m, ok := strings.CutSuffix(s, "m"); ok {
		n, err := strconv.ParseInt(m, 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f > 1e6 {
		return 0
	}
	return int64(f * 1000)
}
