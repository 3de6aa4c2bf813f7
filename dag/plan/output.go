package plan

import (
	"path"
	"regexp"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"

	"github.com/clic-orchestrator/clic/dag"
)

// successRule is what clic.io/success can be.
var successRule = regexp.MustCompile(`^(_SUCCESS|nonempty|rows>=[0-9]{1,18})$`)

// badOutput says what a path of an output can be, if this cannot be one. What is still to be substituted can be anything.
func badOutput(value string) string {
	if containsTag(value) {
		return ""
	}
	name := value
	if _, rest, uri := strings.Cut(value, "://"); uri {
		_, name, uri = strings.Cut(rest, "/")
		name = "/" + name
		if !uri {
			return "a URI with a path, such as hdfs://namenode:8020/data/out"
		}
	}
	if !path.IsAbs(name) || path.Clean(name) == "/" || strings.ContainsRune(name, 0) {
		return "an absolute path below the root, or a URI with such a path"
	}
	return ""
}

// outputOf is what the annotations say of the data that stages of a template write; nil is nothing.
func outputOf(wf *wfv1.Workflow, t *wfv1.Template, fill func(string) string) *dag.Output {
	out := dag.Output{
		Expire:  annotation(wf, t, annotationExpire) == "true" && annotation(wf, t, annotationOutput) != "",
		Path:    fill(annotation(wf, t, annotationOutput)),
		Success: annotation(wf, t, annotationSuccess),
		Publish: annotation(wf, t, annotationPublish) == "true",
	}
	if out == (dag.Output{}) {
		return nil
	}
	return &out
}

// checkOutput finds annotations of an output that need another one beside them. elsewhere: the path may be named elsewhere.
func checkOutput(wf *wfv1.Workflow, t *wfv1.Template, elsewhere bool, at *where, ds *collector) {
	out := outputOf(wf, t, same)
	if out == nil || out.Path != "" {
		return
	}
	name := annotationPublish
	if !out.Publish {
		if elsewhere || out.Success == "" {
			return
		}
		name = annotationSuccess
	}
	ds.errorf("annotation", at.at(name), "add the annotation "+annotationOutput, "the annotation %s needs to know where the output is", name)
}

// AnnotationOutput is the annotation by which a plan declares an output.
const AnnotationOutput = annotationOutput

// Outputs are the paths of all outputs that templates of the plan declare, before anything is filled in.
func (d *Document) Outputs() (paths []string) {
	for i := range d.wf.Spec.Templates {
		if p := annotation(d.wf, &d.wf.Spec.Templates[i], annotationOutput); p != "" {
			paths = append(paths, p)
		}
	}
	return paths
}
