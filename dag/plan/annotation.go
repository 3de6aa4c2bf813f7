package plan

import (
	"strconv"
	"strings"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"

	"github.com/clic-orchestrator/clic/dag/plan/expr"
)

// Annotations say what Argo's language has no words for. In the metadata of a template they count for its stages, in
// the metadata of the plan for all stages whose template does not say otherwise.
//
//	annotation                 values           meaning
//	clic.io/platform           a name           the platform, which decides on the executor and the callbacks; by default
//	                                            the template's name up to its first dash, or its plugin's name
//	clic.io/prepared-failure   keep | cancel    what happens to dependents that started on prepared data if the stage
//	                                            fails afterwards; keep (the default): they go on; cancel: they are
//	                                            stopped and wait for the stage's next attempt
//	clic.io/priority           a whole number   who goes first among stages that wait for a slot; added to the task's
//	clic.io/retry-started      true | false     also repeat a stage of the CLIC form that had reported its start, although
//	                                            what it appends may then be there twice
//	clic.io/grace              a duration       how long a stopped program may take to end before it is killed
//	clic.io/helper             true | false     whether the executor puts its helper into the stage's pod, which takes back
//	                                            the result and the outputs; by default its configuration says
//	clic.io/output           a path           where the stage writes its data: hdfs://… or an absolute path, as
//	                                            -stage_result shows it
//	clic.io/success          _SUCCESS |       what must hold of that data before the stage is COMPLETED; a stage that ends
//	                         nonempty |         without it has FAILED. In the CLIC form the path may be left to the operator
//	                         rows>=N            file
//	clic.io/publish          true | false     each attempt writes to a path of its own, which it finds in CLIC_OUTPUT, and
//	                                            which becomes that of clic.io/output by a rename once the stage has
//	                                            ended well; dependents do not begin when it is prepared, but then
//	clic.io/delete-outputs   true | false     that data is deleted with the task, once the task's time has come
const (
	annotationPlatform = "clic.io/platform"
	annotationPrepared = "clic.io/prepared-failure"
	annotationPriority = "clic.io/priority"
	annotationStarted  = "clic.io/retry-started"
	annotationGrace    = "clic.io/grace"
	annotationHelper   = "clic.io/helper"
	annotationOutput   = "clic.io/output"
	annotationSuccess  = "clic.io/success"
	annotationPublish  = "clic.io/publish"
	annotationExpire   = "clic.io/delete-outputs"

	annotationPrefix = "clic.io/"
)

func annotationNames() []string {
	return []string{
		annotationPlatform, annotationPrepared, annotationPriority, annotationStarted, annotationGrace, annotationHelper,
		annotationOutput, annotationSuccess, annotationPublish, annotationExpire,
	}
}

// annotation is the value of a template's annotation, or else the plan's.
func annotation(wf *wfv1.Workflow, t *wfv1.Template, name string) string {
	if v, ok := t.Metadata.Annotations[name]; ok {
		return v
	}
	return wf.Annotations[name]
}

// checkAnnotations checks those of ours.
func checkAnnotations(all map[string]string, at *where, ds *collector) {
	for _, name := range sortedKeys(all) {
		value := all[name]
		if !strings.HasPrefix(name, annotationPrefix) {
			continue
		}
		bad := ""
		switch name {
		case annotationPlatform:
			if !callName.MatchString(value) {
				bad = "letters, digits and dashes"
			}
		case annotationPrepared:
			if value != "keep" && value != "cancel" {
				bad = "keep or cancel"
			}
		case annotationPriority:
			if _, err := strconv.ParseInt(value, 10, 32); err != nil {
				bad = "a whole number"
			}
		case annotationStarted, annotationHelper, annotationPublish, annotationExpire:
			if value != "true" && value != "false" {
				bad = "true or false"
			}
		case annotationOutput:
			bad = badOutput(value)
		case annotationSuccess:
			if !successRule.MatchString(value) {
				bad = "_SUCCESS, nonempty or rows>=N"
			}
		case annotationGrace:
			if _, err := duration(value); err != nil {
				bad = "a duration such as 30s"
			}
		default:
			hint := "known are " + strings.Join(annotationNames(), ", ")
			if near := expr.Nearest(name, annotationNames()); near != "" {
				hint = "did you mean " + near + "?"
			}
			ds.warnf("annotation", at.at(name), hint, "there is no annotation %q", name)
			continue
		}
		if bad != "" {
			ds.errorf("annotation", at.at(name), "it can be "+bad, "the annotation %s cannot be %q", name, value)
		}
	}
}

// platformOf is the platform of a template.
func platformOf(wf *wfv1.Workflow, t *wfv1.Template) string {
	if p := annotation(wf, t, annotationPlatform); p != "" {
		return p
	}
	p, _, _ := strings.Cut(t.Name, "-")
	return p
}
