package archive

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
)

func TestOldTimes(t *testing.T) {
	zone := time.FixedZone("China", 8*3600)
	for text, want := range map[string]dag.Time{
		`"2021-03-04 05:06:07"`:      1614805567000,
		`"2021-03-04 05:06:07.250"`:  1614805567250,
		`"2021-03-04T05:06:07"`:      1614805567000,
		`"2021-03-04T05:06:07Z"`:     1614834367000,
		`1614805567000`:              1614805567000,
		`" 1614805567000 "`:          1614805567000,
		`null`:                       0,
		`""`:                         0,
		`"   -"`:                     0,
		`"2021-03-04T05:06:07.5+02"`: -1,
		`{}`:                         -1,
		`[2021]`:                     -1,
		`-5`:                         -1,
		`true`:                       -1,
	} {
		f, err := oldObject([]byte(`{"Submit-Time":`+text+`}`), zone)
		if err != nil {
			t.Fatal(err)
		}
		got := f.time("submittime")
		if (f.err != nil) != (want < 0) || got != max(0, want) {
			t.Errorf("%s: %d, %v, want %d", text, got, f.err, want)
		}
	}
}

func TestOldLists(t *testing.T) {
	for text, want := range map[string][]string{
		`["b","a"," ",""]`: {"b", "a"}, `"b, a,,"`: {"b", "a"}, `{"b":1,"a":2}`: {"a", "b"}, `null`: nil, `"   -"`: nil, `[]`: nil,
	} {
		f, err := oldObject([]byte(`{"parentList":`+text+`}`), time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, f.list("parents", "parentlist")); d != "" || f.err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", text, f.err, d)
		}
	}
}

// FuzzOld takes over anything that an old master's keys may hold: it is refused, or it makes a task that can be loaded.
func FuzzOld(f *testing.F) {
	f.Add(`{"plan_name":"p","task_status":"COMPLETED","task_stage_list":"p-aaaaaaaa-sh-1","x":1}`,
		`{"platform":"sh","parent_list":["p-aaaaaaaa-sh-2"],"start_time":"2021-03-04 05:06:07","retry_count":2,"job_info":{}}`, `{"children_list":"p-aaaaaaaa-sh-1"}`)
	f.Add(`{"taskStatus":"failed","startTime":1,"completeTime":9223372036854775807}`, `{"stageStatus":"RUNNING","startTime":1}`, `{}`)
	f.Add(`"{}"`, `null`, `[]`)
	f.Fuzz(func(t *testing.T, task, one, two string) {
		old, err := parseOldTask("p-aaaaaaaa", []byte(task), time.UTC)
		if err != nil {
			return
		}
		status, err := dag.ParseTaskStatus(old.status)
		if err != nil || !status.Terminal() {
			return
		}
		stages := map[string]*oldStage{}
		for id, text := range map[string]string{"p-aaaaaaaa-sh-1": one, "p-aaaaaaaa-sh-2": two} {
			if s, err := parseOldStage(id, []byte(text), time.UTC); err == nil {
				stages[id] = s
			}
		}
		c, err := adopt(old, status, stages, 1)
		if err != nil {
			t.Fatalf("cannot adopt: %v", err)
		}
		var records []dag.Record
		for i := range c.Nodes {
			records = append(records, dag.Record{Spec: c.Nodes[i].Spec, State: c.Nodes[i].State})
		}
		run, err := dag.Load(c.Header.Body, records, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range run.Len() {
			if !run.Node(int32(i)).Status.Terminal() {
				t.Errorf("node %d is %s", i, run.Node(int32(i)).Status)
			}
		}
		last := uint64(0)
		for _, e := range c.Log {
			if _, err := dag.DecodeEntry(e.Body); err != nil || e.Seq <= last {
				t.Errorf("entry %d after %d: %v", e.Seq, last, err)
			}
			last = e.Seq
		}
	})
}
