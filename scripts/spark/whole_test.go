//go:build sparkcluster

package spark

import (
	"strings"
	"testing"

	"github.com/clic-orchestrator/clic/executors/spark"
	thriftmaster "github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/master/store/redis/redistest"
)

// masterRights are the manifests of what a master may do, in whatever mode.
var masterRights = []string{"stages", "base/rbac.yaml", "spark"}

// A master with the rights of the manifests runs a plan, and shows what people want to know of applications. Neither it nor the drivers
// are refused anything.
func TestMaster(t *testing.T) {
	t.Parallel()
	ns := namespaceWith(t, masterRights...)
	m := newMaster(t, ns, spark.Native, "", "/"+newID("master"))
	task := m.submit(false, jvm(inImage, "stages", "6", "2", "500"), python(inImage, "stages", "6", "2", "500"))
	m.busy(task)
	for _, s := range m.completed(task) {
		for _, want := range []string{"application spark-", "UI pod " + ns + "/", ":4040", "event log in hdfs://"} {
			if !strings.Contains(s.Info, want) {
				t.Errorf("%s: its info lacks %q: %s", s.Name, want, s.Info)
			}
		}
		log := m.logOf(s.StageId)
		if !strings.Contains(log, "job 6 of 6") {
			t.Errorf("%s: its log is\n%s", s.Name, log)
		}
		notRefused(t, s.Name, log)
	}
	large := m.submit(false, jvm(inImage, "pi", "2").with(app{"executor": app{"memory": "900g", "instances": 1}}))
	m.untilAll(large, "tell what they wait for", func(s *thriftmaster.StageInfo) bool {
		return s.Explanation != nil && strings.Contains(s.Explanation.Text, "waits for executors: ") && strings.Contains(s.Explanation.Text, "Insufficient memory")
	})
	if err := m.client.CancelTask(t.Context(), large, "test", false, "test"); err != nil {
		t.Fatal(err)
	}
	m.untilAll(large, "are cancelled", func(s *thriftmaster.StageInfo) bool { return s.State == thriftmaster.StageState_CANCELLED })
	m.refused()
}

// Masters that are killed adopt their applications. Each runs once, counted by drivers and by event logs.
func TestMasterKilled(t *testing.T) {
	for _, c := range []struct {
		mode  spark.Mode
		redis bool
	}{{spark.Native, false}, {spark.Client, false}, {spark.Cluster, true}} {
		t.Run(string(c.mode), func(t *testing.T) {
			store := ""
			if c.redis {
				store = redistest.Single(t, redistest.AppendOnly("always")).URL()
			}
			testKilled(t, c.mode, store)
		})
	}
}

func testKilled(t *testing.T, mode spark.Mode, store string) {
	ns := namespaceWith(t, append([]string{"spark-submit"}, masterRights...)...)
	events := "/" + newID("killed")
	m := newMaster(t, ns, mode, store, events)
	count := countDrivers(t, ns)
	jobs := func() int { return len(strings.Fields(kubectl(t, "-n", ns, "get", "jobs", "-o", "name"))) }
	one := func() string { return m.submit(false, jvm(inImage, "stages", "4", "2", "500")) }

	works := m.submit(false, jvm(inImage, "stages", "60", "2", "500"))
	m.busy(works)
	tasks := []string{works, one()}
	m.until("there is a driver", func() bool { return len(count.drivers()) == 2 })
	tasks = append(tasks, one())
	m.until("there is a Job", func() bool { return jobs() >= 3 })
	tasks = append(tasks, one())
	m.again()
	m.until("the last is launched too", func() bool { return jobs() >= 4 })
	m.again()
	m.busy(works) // it is still asked for its progress

	ids := map[string]bool{}
	for _, task := range tasks {
		for _, s := range m.completed(task) {
			_, id, _ := strings.Cut(s.Info, "application ")
			id, _, _ = strings.Cut(id, ",")
			ids[id] = true
			if log := m.logOf(s.StageId); !strings.Contains(log, "job 4 of 4") && !strings.Contains(log, "job 60 of 60") {
				t.Errorf("%s: its log is\n%s", s.StageId, log)
			}
		}
	}
	if got := count.drivers(); len(got) != len(tasks) {
		t.Errorf("%d tasks had the drivers %q", len(tasks), got)
	}
	if logs := hdfs(t, "-ls", events); strings.Count(logs, "eventlog_v2_") != len(tasks) {
		t.Errorf("the event logs of %d applications are\n%s", len(tasks), logs)
	}
	if len(ids) != len(tasks) {
		t.Errorf("the stages tell of the applications %v", ids)
	}
	m.refused()
}

// What is suspended has no driver, whether the master lives on or not, and runs once it is to go on.
func TestMasterSuspended(t *testing.T) {
	for _, mode := range []spark.Mode{spark.Native, spark.Client, spark.Cluster} {
		t.Run(string(mode), func(t *testing.T) { testSuspended(t, mode) })
	}
}

func testSuspended(t *testing.T, mode spark.Mode) {
	t.Parallel()
	ns := namespaceWith(t, append([]string{"spark-submit"}, masterRights...)...)
	m := newMaster(t, ns, mode, "", "/"+newID("suspended"))
	count := countDrivers(t, ns)
	task := m.submit(true, jvm(inImage, "stages", "4", "2", "500"))
	suspended := func(s *thriftmaster.StageInfo) bool {
		return s.State == thriftmaster.StageState_SUSPEND && s.Explanation != nil && s.Explanation.Kind == "hold"
	}
	m.untilAll(task, "are suspended", suspended)
	m.again()
	m.untilAll(task, "are still suspended", suspended)
	if got := kubectl(t, "-n", ns, "get", "jobs,pods", "-o", "name"); got != "" || len(count.drivers()) > 0 {
		t.Errorf("there are %s and the drivers %q", got, count.drivers())
	}
	if err := m.client.ResumeTask(t.Context(), task, "test"); err != nil {
		t.Fatal(err)
	}
	m.completed(task)
	if got := count.drivers(); len(got) != 1 {
		t.Errorf("the drivers are %q", got)
	}
	m.refused()
}
