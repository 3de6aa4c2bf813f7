package plan

import "maps"

// fieldTable says for each field of Argo's language what becomes of it. Sections describe the fields of one type; a field
// that no section knows is refused, so that nothing is ever dropped in silence.
type fieldTable map[string][]row

const (
	noArtifacts  = "artifacts are not supported: pass small values as outputs.parameters, and files on storage that all stages share"
	noKube       = "the Kubernetes executor uses it; it is without meaning on the local one"
	noContainer  = "elsewhere run it as a stage of its own, on which others depend"
	noExecutor   = "it is about a container of Argo's own, which there is none of here: serviceAccountName is that of the pod"
	noBudget     = "a stage that is evicted is repeated"
	serverWrites = "written by the API server"
	seeConfig    = "the master's configuration decides this"
	forDisplay   = "for people"
	oldRun       = "the outcome of an earlier run has no influence"
)

// fields is the table. It is made for each plan, because Go has no constant maps.
func fields() fieldTable {
	t := planFields()
	for _, part := range []fieldTable{valueFields(), partFields()} {
		maps.Copy(t, part)
	}
	t["template"] = templateFields()
	t["container"] = containerFields()
	t["script"] = append(containerFields(), row{field: "source", treat: TreatRun})
	t["step"] = callFields()
	t["task"] = append(callFields(),
		row{field: "dependencies", treat: TreatRun},
		row{field: "depends", treat: TreatRun})
	return t
}

func templateFields() []row {
	return []row{
		{field: "name", treat: TreatRun},
		{field: "inputs", treat: TreatRun, of: "inputs"},
		{field: "outputs", treat: TreatRun, of: "outputs"},
		{field: "container", treat: TreatRun, of: "container"},
		{field: "script", treat: TreatRun, of: "script"},
		{field: "dag", treat: TreatRun, of: "dag"},
		{field: "steps", treat: TreatRun, of: "step"},
		{field: "suspend", treat: TreatRun},
		{field: "retryStrategy", treat: TreatRun, of: "retry"},
		{field: "activeDeadlineSeconds", treat: TreatRun},
		{field: "timeout", treat: TreatRun},
		{field: "parallelism", treat: TreatRun},
		{field: "failFast", treat: TreatRun},
		{field: "metadata", treat: TreatRun},
		{field: "annotations", treat: TreatHarmless, why: forDisplay},
		{field: "resource", treat: TreatRefused, why: "run kubectl in a container"},
		{field: "http", treat: TreatRefused, why: "run curl in a container"},
		{field: "data", treat: TreatRefused, why: "list the files in a script and fan out with withParam"},
		{field: "containerSet", treat: TreatRefused, why: "make each container a stage of a dag"},
		{field: "plugin", treat: TreatRun},
		{field: "daemon", treat: TreatRefused, why: "let the stage report that its data is prepared: dependents start while it serves on"},
		{field: "synchronization", treat: TreatRefused, why: "use parallelism, or dependencies between the stages"},
		{field: "memoize", treat: TreatRefused, why: "let the stage itself look whether its output exists"},
		{field: "initContainers", treat: TreatNeedsKube, why: noContainer},
		{field: "sidecars", treat: TreatNeedsKube, why: noContainer},
		{field: "archiveLocation", treat: TreatIgnored, why: noArtifacts},
		{field: "metrics", treat: TreatIgnored, why: "the master exports its own metrics"},
		{field: "volumes", treat: TreatKube, why: noKube},
		{field: "nodeSelector", treat: TreatKube, why: noKube},
		{field: "affinity", treat: TreatKube, why: noKube},
		{field: "tolerations", treat: TreatKube, why: noKube},
		{field: "schedulerName", treat: TreatKube, why: noKube},
		{field: "priorityClassName", treat: TreatKube, why: noKube},
		{field: "serviceAccountName", treat: TreatKube, why: noKube},
		{field: "automountServiceAccountToken", treat: TreatKube, why: noKube},
		{field: "executor", treat: TreatIgnored, why: noExecutor},
		{field: "hostAliases", treat: TreatKube, why: noKube},
		{field: "securityContext", treat: TreatKube, why: noKube},
		{field: "podSpecPatch", treat: TreatKube, why: noKube},
	}
}

func callFields() []row {
	return []row{
		{field: "name", treat: TreatRun},
		{field: "template", treat: TreatRun},
		{field: "inline", treat: TreatRun, of: "template"},
		{field: "arguments", treat: TreatRun, of: "arguments"},
		{field: "when", treat: TreatRun},
		{field: "withItems", treat: TreatRun},
		{field: "withParam", treat: TreatRun},
		{field: "withSequence", treat: TreatRun, of: "sequence"},
		{field: "continueOn", treat: TreatRun},
		{field: "onExit", treat: TreatRun},
		{field: "hooks", treat: TreatRun, of: "hook"},
		{field: "templateRef", treat: TreatRefused, why: "put the template into this plan"},
	}
}

func containerFields() []row {
	return []row{
		{field: "name", treat: TreatRun},
		{field: "image", treat: TreatRun},
		{field: "command", treat: TreatRun},
		{field: "args", treat: TreatRun},
		{field: "workingDir", treat: TreatRun},
		{field: "env", treat: TreatRun, of: "env"},
		{field: "resources", treat: TreatRun, of: "resources"},
		{field: "envFrom", treat: TreatNeedsKube, why: "elsewhere name each variable in env, with valueFrom"},
		{field: "imagePullPolicy", treat: TreatKube, why: noKube},
		{field: "volumeMounts", treat: TreatKube, why: noKube},
		{field: "volumeDevices", treat: TreatKube, why: noKube},
		{field: "ports", treat: TreatKube, why: noKube},
		{field: "livenessProbe", treat: TreatKube, why: noKube},
		{field: "readinessProbe", treat: TreatKube, why: noKube},
		{field: "startupProbe", treat: TreatKube, why: noKube},
		{field: "lifecycle", treat: TreatKube, why: noKube},
		{field: "securityContext", treat: TreatKube, why: noKube},
		{field: "terminationMessagePath", treat: TreatKube, why: noKube},
		{field: "terminationMessagePolicy", treat: TreatKube, why: noKube},
		{field: "resizePolicy", treat: TreatKube, why: noKube},
		{field: "restartPolicy", treat: TreatRefused, why: "use retryStrategy"},
		{field: "restartPolicyRules", treat: TreatRefused, why: "use retryStrategy"},
		{field: "stdin", treat: TreatIgnored, why: "stages have no standard input"},
		{field: "stdinOnce", treat: TreatIgnored, why: "stages have no standard input"},
		{field: "tty", treat: TreatIgnored, why: "stages have no terminal"},
	}
}

// planFields are those of the plan as a whole.
func planFields() fieldTable {
	return fieldTable{
		"workflow": {
			{field: "apiVersion", treat: TreatRun},
			{field: "kind", treat: TreatRun},
			{field: "metadata", treat: TreatRun, of: "meta"},
			{field: "spec", treat: TreatRun, of: "spec"},
			{field: "status", treat: TreatHarmless, why: oldRun},
		},
		"meta": {
			{field: "name", treat: TreatRun},
			{field: "generateName", treat: TreatRun},
			{field: "namespace", treat: TreatRun},
			{field: "labels", treat: TreatRun},
			{field: "annotations", treat: TreatRun},
			{field: "uid", treat: TreatHarmless, why: serverWrites},
			{field: "selfLink", treat: TreatHarmless, why: serverWrites},
			{field: "resourceVersion", treat: TreatHarmless, why: serverWrites},
			{field: "generation", treat: TreatHarmless, why: serverWrites},
			{field: "creationTimestamp", treat: TreatHarmless, why: serverWrites},
			{field: "deletionTimestamp", treat: TreatHarmless, why: serverWrites},
			{field: "deletionGracePeriodSeconds", treat: TreatHarmless, why: serverWrites},
			{field: "managedFields", treat: TreatHarmless, why: serverWrites},
			{field: "ownerReferences", treat: TreatIgnored, why: "tasks have no owners among Kubernetes' objects"},
			{field: "finalizers", treat: TreatIgnored, why: "tasks are not objects of Kubernetes"},
		},
		"spec": specFields(),
		"workflowMetadata": {
			{field: "labels", treat: TreatRun},
			{field: "annotations", treat: TreatRun},
			{field: "labelsFrom", treat: TreatRefused, why: "give labels with the submission: --label k=v"},
		},
	}
}

// valueFields are those of parameters, arguments and outputs.
func valueFields() fieldTable {
	return fieldTable{
		"arguments": {
			{field: "parameters", treat: TreatRun, of: "argument"},
			{field: "artifacts", treat: TreatRefused, why: noArtifacts},
		},
		"argument": {
			{field: "name", treat: TreatRun},
			{field: "value", treat: TreatRun},
			{field: "default", treat: TreatRun},
			{field: "enum", treat: TreatRun},
			{field: "valueFrom", treat: TreatRun, of: "inputFrom"},
			{field: "description", treat: TreatHarmless, why: forDisplay},
			{field: "globalName", treat: TreatIgnored, why: "only outputs can be made global"},
		},
		"inputFrom": {
			{field: "default", treat: TreatRun},
			{field: "expression", treat: TreatRefused, why: "write it as the value: {{=expression}}"},
			{field: "parameter", treat: TreatRefused, why: "write it as the value: {{…}}"},
			{field: "path", treat: TreatRefused, why: "only outputs are read from files"},
			{field: "configMapKeyRef", treat: TreatIgnored, why: "configuration maps are not read: the default counts, or the submission's --param k=v"},
			{field: "supplied", treat: TreatRefused, why: "give the value with the submission: --param k=v"},
			{field: "event", treat: TreatRefused, why: "give the value with the submission: --param k=v"},
			{field: "jsonPath", treat: TreatRefused, why: "only for resource templates"},
			{field: "jqFilter", treat: TreatRefused, why: "only for resource templates"},
		},
		"inputs": {
			{field: "parameters", treat: TreatRun, of: "argument"},
			{field: "artifacts", treat: TreatRefused, why: noArtifacts},
		},
		"outputs": {
			{field: "parameters", treat: TreatRun, of: "output"},
			{field: "artifacts", treat: TreatRefused, why: noArtifacts},
			{field: "result", treat: TreatHarmless, why: oldRun},
			{field: "exitCode", treat: TreatHarmless, why: oldRun},
		},
		"output": {
			{field: "name", treat: TreatRun},
			{field: "valueFrom", treat: TreatRun, of: "outputFrom"},
			{field: "globalName", treat: TreatRun},
			{field: "description", treat: TreatHarmless, why: forDisplay},
			{field: "value", treat: TreatRefused, why: "use valueFrom"},
			{field: "default", treat: TreatRefused, why: "use valueFrom.default"},
			{field: "enum", treat: TreatIgnored, why: "outputs are not checked"},
		},
		"outputFrom": {
			{field: "path", treat: TreatRun},
			{field: "default", treat: TreatRun},
			{field: "parameter", treat: TreatRun},
			{field: "expression", treat: TreatRun},
			{field: "supplied", treat: TreatRefused, why: "a stage that waits cannot be given values; make them parameters of the plan"},
			{field: "configMapKeyRef", treat: TreatRefused, why: "make it a parameter of the plan"},
			{field: "event", treat: TreatRefused, why: "there are no events"},
			{field: "jsonPath", treat: TreatRefused, why: "only for resource templates"},
			{field: "jqFilter", treat: TreatRefused, why: "only for resource templates"},
		},
	}
}

// partFields are those of parts of templates and calls.
func partFields() fieldTable {
	return fieldTable{
		"hook": {
			{field: "template", treat: TreatRun},
			{field: "arguments", treat: TreatRun, of: "arguments"},
			{field: "expression", treat: TreatRun},
			{field: "templateRef", treat: TreatRefused, why: "put the template into this plan"},
		},
		"retry": {
			{field: "limit", treat: TreatRun},
			{field: "retryPolicy", treat: TreatRun},
			{field: "expression", treat: TreatRun},
			{field: "backoff", treat: TreatRun},
			{field: "affinity", treat: TreatIgnored, why: "another try may run on the same node"},
		},
		"sequence": {
			{field: "count", treat: TreatRun},
			{field: "start", treat: TreatRun},
			{field: "end", treat: TreatRun},
			{field: "format", treat: TreatRun},
		},
		"dag": {
			{field: "tasks", treat: TreatRun, of: "task"},
			{field: "target", treat: TreatRun},
			{field: "failFast", treat: TreatRun},
		},
		"resources": {
			{field: "limits", treat: TreatRun},
			{field: "requests", treat: TreatRun},
			{field: "claims", treat: TreatKube, why: noKube},
		},
		"env": {
			{field: "name", treat: TreatRun},
			{field: "value", treat: TreatRun},
			{field: "valueFrom", treat: TreatRun, of: "envFrom"},
		},
		"envFrom": {
			{field: "secretKeyRef", treat: TreatRun},
			{field: "configMapKeyRef", treat: TreatRun},
			{field: "fieldRef", treat: TreatNeedsKube, why: "elsewhere use {{pod.name}}, {{workflow.name}} and the like as the value"},
			{field: "resourceFieldRef", treat: TreatNeedsKube, why: "elsewhere write the number as the value"},
			{field: "fileKeyRef", treat: TreatRefused, why: "use a secret or a configuration entry"},
		},
	}
}

func specFields() []row {
	return []row{
		{field: "entrypoint", treat: TreatRun},
		{field: "arguments", treat: TreatRun, of: "arguments"},
		{field: "templates", treat: TreatRun, of: "template"},
		{field: "templateDefaults", treat: TreatRun, of: "template"},
		{field: "onExit", treat: TreatRun},
		{field: "hooks", treat: TreatRun, of: "hook"},
		{field: "suspend", treat: TreatRun},
		{field: "parallelism", treat: TreatRun},
		{field: "priority", treat: TreatRun},
		{field: "activeDeadlineSeconds", treat: TreatRun},
		{field: "retryStrategy", treat: TreatRun, of: "retry"},
		{field: "workflowMetadata", treat: TreatRun, of: "workflowMetadata"},
		{field: "shutdown", treat: TreatRefused, why: "cancel the task instead: clic cancel"},
		{field: "workflowTemplateRef", treat: TreatRefused, why: "put the templates into this plan"},
		{field: "synchronization", treat: TreatRefused, why: "use parallelism, or dependencies between the stages"},
		{field: "volumeClaimTemplates", treat: TreatRefused, why: "use a claim that exists: volumes[].persistentVolumeClaim"},
		{field: "volumes", treat: TreatKube, why: noKube},
		{field: "serviceAccountName", treat: TreatKube, why: noKube},
		{field: "automountServiceAccountToken", treat: TreatKube, why: noKube},
		{field: "executor", treat: TreatIgnored, why: noExecutor},
		{field: "nodeSelector", treat: TreatKube, why: noKube},
		{field: "affinity", treat: TreatKube, why: noKube},
		{field: "tolerations", treat: TreatKube, why: noKube},
		{field: "imagePullSecrets", treat: TreatKube, why: noKube},
		{field: "hostNetwork", treat: TreatKube, why: noKube},
		{field: "dnsPolicy", treat: TreatKube, why: noKube},
		{field: "dnsConfig", treat: TreatKube, why: noKube},
		{field: "schedulerName", treat: TreatKube, why: noKube},
		{field: "podPriorityClassName", treat: TreatKube, why: noKube},
		{field: "hostAliases", treat: TreatKube, why: noKube},
		{field: "securityContext", treat: TreatKube, why: noKube},
		{field: "podSpecPatch", treat: TreatKube, why: noKube},
		{field: "podMetadata", treat: TreatKube, why: noKube},
		{field: "podDisruptionBudget", treat: TreatIgnored, why: noBudget},
		{field: "ttlStrategy", treat: TreatIgnored, why: seeConfig + ": how long tasks are kept"},
		{field: "podGC", treat: TreatIgnored, why: seeConfig + ": what is left of finished stages"},
		{field: "volumeClaimGC", treat: TreatIgnored, why: "no claims are made"},
		{field: "archiveLogs", treat: TreatIgnored, why: seeConfig + ": logs are kept with the task"},
		{field: "artifactRepositoryRef", treat: TreatIgnored, why: noArtifacts},
		{field: "artifactGC", treat: TreatIgnored, why: noArtifacts},
		{field: "metrics", treat: TreatIgnored, why: "the master exports its own metrics"},
	}
}
