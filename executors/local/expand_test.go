package local

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

func TestExpand(t *testing.T) {
	known := map[string]string{"A": "a", "B": "$(A) $$", "EMPTY": "", "": "nameless", "x y": "spaced"}
	for text, want := range map[string]string{
		"":                     "",
		"plain":                "plain",
		"$(A)":                 "a",
		"<$(A)$(A)>":           "<aa>",
		"$(B)":                 "$(A) $$", // once
		"$(EMPTY)|":            "|",
		"$(UNKNOWN)":           "$(UNKNOWN)",
		"$(date +%s) $(A)":     "$(date +%s) a",
		"$$":                   "$",
		"$$$$":                 "$$",
		"$$$":                  "$$",
		"$$(A)":                "$(A)",
		"$$$(A)":               "$a",
		"kill $$ and wait":     "kill $ and wait",
		"$":                    "$",
		"end $":                "end $",
		"$A ${A} $1 $é":        "$A ${A} $1 $é",
		"$(A":                  "$(A",
		"$(A $$":               "$(A $",
		"$($(A)":               "$($(A)", // the name is "$(A"
		"$(A$(A)) $(A)":        "$(A$(A)) a",
		"$()":                  "nameless",
		"$(x y)":               "spaced",
		"$( A)":                "$( A)",
		"$(A\n)":               "$(A\n)",
		"$a$$b$(A)c$(":         "$a$bac$(",
		"\xff$\xff$(A)\xff":    "\xff$\xffa\xff",
		"awk '{print $1, $$2}": "awk '{print $1, $2}",
	} {
		if got := expand(text, known); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// What may be referred to is the attempt's own variables and those of the plan: for a value those that stand before it.
func TestExpandAttempt(t *testing.T) {
	e, err := New(Config{DataDir: "/data", BaseEnv: []string{"HOME=/h", "PATH=/bin", "PASSED=y"}, PassEnv: []string{"PASSED"}, Env: []string{"ADDED=$$"}})
	if err != nil {
		t.Fatal(err)
	}
	spec := dag.StageSpec{
		Command: []string{"/bin/$(PROGRAM)"}, Args: []string{"-c", "echo $(HOME) $(PASSED) $(MINE) $(CLIC_STAGE_ID) $$"}, Script: "$(MINE) $$",
		Env: []dag.EnvVar{
			{Name: "EARLY", Value: "$(MINE)$$"},
			{Name: "MINE", Value: "$(CLIC_STAGE_ID)/$(ADDED)"},
			{Name: "LATE", Value: "<$(MINE)>"},
			{Name: "MINE", Value: "$(MINE)!"},
			{Name: "PROGRAM", Value: "sh"},
			{Name: "CLIC_STAGE_ID", Value: "forged"},
		},
	}
	a := executors.Attempt{ID: "s", Task: "t", Stage: "s", Spec: &spec}
	want := map[string]string{"EARLY": "$(MINE)$", "MINE": "s/$(ADDED)!", "LATE": "<s/$(ADDED)>", "PROGRAM": "sh", "CLIC_STAGE_ID": "s", "ADDED": "$$"}
	argv := []string{"/bin/sh", "-c", "echo $(HOME) $(PASSED) s/$(ADDED)! s $", "/d/run/script"}
	for _, shell := range []bool{false, true} {
		spec.Shell = shell
		if shell { // the old form stays as it is written
			want = map[string]string{"EARLY": "$(MINE)$$", "MINE": "$(MINE)!", "PROGRAM": "sh", "CLIC_STAGE_ID": "s"}
			argv = []string{"/bin/sh", "-c", executors.ShellLine(a)}
		}
		env, err := e.environ(a, "/d")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for name := range want {
			got[name] = env.get(name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("shell %v: environment (-want +got):\n%s", shell, diff)
		}
		p, err := programOf(a, env, "/d")
		if err != nil || p.path != "/bin/sh" || p.refusal != "" {
			t.Fatalf("shell %v: %+v, %v", shell, p, err)
		}
		if !shell {
			argv[len(argv)-1] = p.argv[len(p.argv)-1] // the script's file
			if p.script != spec.Script {
				t.Errorf("the script is %q", p.script)
			}
		}
		if diff := cmp.Diff(argv, p.argv); diff != "" {
			t.Errorf("shell %v: arguments (-want +got):\n%s", shell, diff)
		}
	}
	if spec.Command[0] != "/bin/$(PROGRAM)" {
		t.Error("the stage's description was changed")
	}
}
