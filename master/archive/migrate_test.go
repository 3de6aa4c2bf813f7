package archive_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	goredis "github.com/redis/go-redis/v9"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/master/archive"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// oldKeys are tasks and stages as the old master kept them, in the spellings that there may be. @ stands for the key prefix.
var oldKeys = map[string]string{
	"@task:wordcount-abcdefgh": `{"plan_name":"wordcount-abcdefgh","submit_time":"2021-03-04 05:06:07","start_time":"2021-03-04 05:06:08",
		"complete_time":"2021-03-04 05:08:00","task_status":"COMPLETED","task_runtime":112,"task_stage_num":3,
		"task_stage_list":"wordcount-abcdefgh-java-exec-1,wordcount-abcdefgh-spark-2,wordcount-abcdefgh-java-exec-10","owner":"li","empty":null}`,
	"@stage:wordcount-abcdefgh-java-exec-1": `{"stage_id":"wordcount-abcdefgh-java-exec-1","platform":"java","parent_list":[],
		"children_list":["wordcount-abcdefgh-spark-2"],"start_time":"2021-03-04 05:06:08","complete_time":"2021-03-04 05:07:00",
		"retry_count":1,"job_info":"{\"name\":\"job-1\"}","stage_status":"COMPLETED","node":"worker-3"}`,
	"@stage:wordcount-abcdefgh-spark-2": `{"stageId":"wordcount-abcdefgh-spark-2","platformName":"spark","parentList":"wordcount-abcdefgh-java-exec-1",
		"childrenList":"   -","startTime":1614834420000,"completeTime":"1614834450000","retryCount":"0","stageStatus":"completed","jobInfo":{"a":1}}`,
	"@stage:wordcount-abcdefgh-java-exec-10": `"{\"status\":\"PREPARED\",\"startTime\":\"2021-03-04T05:07:30\",\"parents\":{\"wordcount-abcdefgh-spark-2\":{}}}"`,

	"@task:broken-aaaabbbb":         `{"planName":"broken","taskStatus":"FAILED","submitTime":1614834000000,"completeTime":1614835000000,"stageIdList":["broken-aaaabbbb-sh-1"]}`,
	"@stage:broken-aaaabbbb-sh-1":   `{"platform":"sh","stageStatus":"FAILED","startTime":1614834001000,"completeTime":1614835000000,"childrenList":["broken-aaaabbbb-sh-2"]}`,
	"@stage:broken-aaaabbbb-sh-2":   `{"platform":"sh","stageStatus":"WAITING","childrenList":["broken-aaaabbbb-sh-1"],"parentList":["nosuch"]}`,
	"@task:bare-aaaacccc":           `{"task_status":"COMPLETED","stages":["bare-aaaacccc-sh-1"]}`,
	"@task:going-aaaadddd":          `{"task_status":"RUNNING"}`,
	"@stage:going-aaaadddd-sh-1":    `{"stage_status":"RUNNING"}`,
	"@task:odd-aaaaeeee":            `{"task_status":"COMPLETED","submit_time":"yesterday"}`,
	"@task:odd-aaaaffff":            `not JSON`,
	"@task:odd-aaaagggg":            `{"task_status":"DONE"}`,
	"@task:odd-aaaahhhh":            `{"task_status":"COMPLETED"}`,
	"@stage:odd-aaaahhhh-sh-1":      `[1]`,
	"@stage:longgone-zzzzzzzz-sh-1": `{"stage_status":"COMPLETED"}`,
}

var migrationTime = time.UnixMilli(1_700_000_000_000)

// migration has a Redis with old keys under a prefix.
type migration struct {
	client goredis.UniversalClient
	prefix string
	o      archive.MigrateOptions
}

func (m *migration) key(k string) string { return strings.Replace(k, "@", m.prefix+"old:", 1) }

func oldRedis(t *testing.T, client goredis.UniversalClient, prefix string) *migration {
	t.Helper()
	m := &migration{client: client, prefix: prefix}
	for k, v := range oldKeys {
		if err := client.Set(t.Context(), m.key(k), v, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// The old master let tasks run out, never stages. What is of another type, or ours, is left alone.
	client.Expire(t.Context(), m.key("@task:wordcount-abcdefgh"), time.Hour)
	client.HSet(t.Context(), m.key("@task:hash-aaaabbbb"), "a", "b")
	client.HSet(t.Context(), m.key("@stage:broken-aaaabbbb-sh-9"), "a", "b")
	client.HSet(t.Context(), m.key("@task:{ours-aaaabbbb}"), "a", "b")
	m.o = archive.MigrateOptions{
		TaskPrefix: m.key("@task:"), StagePrefix: m.key("@stage:"), Now: migrationTime,
		Zone: time.FixedZone("China", 8*3600),
	}
	return m
}

func (m *migration) count(t *testing.T) int {
	t.Helper()
	n := 0
	count := func(ctx context.Context, c goredis.Cmdable) error {
		keys, err := c.Keys(ctx, m.prefix+"old:*").Result()
		n += len(keys)
		return err
	}
	var err error
	if _, ok := m.client.(*goredis.ClusterClient); ok {
		for _, s := range servers.Cluster(t).Nodes {
			err = errors.Join(err, count(t.Context(), s.Admin()))
		}
	} else {
		err = count(t.Context(), m.client)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMigrate(t *testing.T) {
	for name, to := range kinds {
		t.Run(name, func(t *testing.T) {
			place := servers.SinglePlace(t)
			testMigrate(t, oldRedis(t, servers.Single(t).Admin(), place.Prefix), to(t))
		})
	}
	t.Run("from a Cluster", func(t *testing.T) {
		place := servers.ClusterPlace(t)
		client := servers.Cluster(t).Client()
		t.Cleanup(func() { _ = client.Close() })
		testMigrate(t, oldRedis(t, client, place.Prefix), kinds["bolt"](t))
	})
}

func testMigrate(t *testing.T, m *migration, to led) {
	t.Helper()
	migrate := func(o archive.MigrateOptions) *archive.Migrated {
		t.Helper()
		got, err := archive.Migrate(t.Context(), m.client, to, to.epoch, o)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := m.count(t)
	want := &archive.Migrated{
		Tasks: 3, Stages: 6, Unfinished: []string{"going-aaaadddd: RUNNING"}, Orphans: 1,
		Unreadable: []string{
			m.key(`@task:odd-aaaaeeee: field "submit_time" cannot be read: "yesterday"`),
			m.key("@task:odd-aaaaffff: no JSON object: invalid character 'o' in literal null (expecting 'u')"),
			m.key(`@task:odd-aaaagggg: unknown task status "DONE" (one of NEW, RUNNING, SUSPENDED, COMPLETED, FAILED, CANCELLED)`),
			m.key("@stage:odd-aaaahhhh-sh-1: no JSON object: json: cannot unmarshal array into Go value of type map[string]json.RawMessage"),
		},
	}
	dry := m.o
	dry.DryRun, dry.Delete = true, true
	same(t, "dry run", want, migrate(dry))
	if n := len(contentOf(t, to).Records); n != 0 {
		t.Errorf("a dry run wrote %d tasks", n)
	}
	same(t, "migration", want, migrate(m.o))
	if now := m.count(t); now != before {
		t.Errorf("%d old keys, there were %d", now, before)
	}
	checkMigrated(t, to)
	content := contentOf(t, to)

	again := m.o
	again.Delete = true
	want.Tasks, want.Stages, want.Already, want.Deleted = 0, 0, 3, 3+5+1
	same(t, "a second time, with deletion", want, migrate(again))
	same(t, "content", content, contentOf(t, to))
	if now := m.count(t); now != before-9 {
		t.Errorf("%d old keys are left, want %d", now, before-9)
	}
}

// idle is an executor of which only what has nothing to do is ever called: all tasks have ended.
type idle struct{ executors.Executor }

func (idle) Start(context.Context, executors.Sink) error                { return nil }
func (idle) Recover(context.Context, uint64, []executors.Attempt) error { return nil }
func (idle) Stop(context.Context) error                                 { return nil }

// checkMigrated looks at the tasks as the calls of a master do.
func checkMigrated(t *testing.T, to led) {
	t.Helper()
	e, err := engine.New(engine.Config{
		Store: to, Executors: map[string]executors.Executor{"local": idle{}}, Now: func() time.Time { return migrationTime },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	page, err := e.Tasks(t.Context(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, v := range page.Tasks {
		lines = append(lines, fmt.Sprintf("%s %s %s %d %d %d expires %s", v.Name, v.Plan, v.Status, v.Submitted, v.Started, v.Ended,
			time.UnixMilli(int64(v.Expires)).UTC().Round(time.Minute).Format(time.DateTime)))
		stages, err := e.Stages(t.Context(), engine.StageQuery{Task: v.Name})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stages.Stages {
			lines = append(lines, fmt.Sprintf("  %s %s %s %s %v %v %d %d retries %d info %q %s %v", s.ID, s.Template, s.Platform, s.Status,
				s.Parents, s.Children, s.Started, s.Ended, s.Tries, s.Info, s.Message, s.Warnings))
		}
	}
	// China's 05:06:07 is 21:06:07 of the day before in UTC, 1614805567.
	want := strings.Split(strings.TrimSpace(`
broken-aaaabbbb broken FAILED 1614834000000 1614834001000 1614835000000 expires 2023-12-14 22:13:00
  broken-aaaabbbb-sh-1 sh sh FAILED [] [] 1614834001000 1614835000000 retries 0 info ""  []
  broken-aaaabbbb-sh-2 sh sh OMITTED [] [] 0 0 retries 0 info "" was WAITING when its task ended []
wordcount-abcdefgh wordcount COMPLETED 1614805567000 1614805568000 1614805680000 expires 2023-11-14 23:13:00
  wordcount-abcdefgh-java-exec-1 java-exec java COMPLETED [] [wordcount-abcdefgh-spark-2] 1614805568000 1614805620000 retries 1 info "{\"name\":\"job-1\"}"  []
  wordcount-abcdefgh-spark-2 spark spark COMPLETED [wordcount-abcdefgh-java-exec-1] [wordcount-abcdefgh-java-exec-10] 1614834420000 1614834450000 retries 0 info "{\"a\":1}"  []
  wordcount-abcdefgh-java-exec-10 java-exec java CANCELLED [wordcount-abcdefgh-spark-2] [] 1614805650000 0 retries 0 info "" was PREPARED when its task ended []
bare-aaaacccc bare COMPLETED 0 0 0 expires 2023-12-14 22:13:00
  bare-aaaacccc-sh-1 sh sh COMPLETED [] [] 0 0 retries 0 info ""  [the old master kept nothing of it]
`), "\n")
	if d := cmp.Diff(want, lines, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("what a master shows (-want +got):\n%s", d)
	}
	checkHistory(t, to)
	if src, err := e.Source(t.Context(), "wordcount-abcdefgh"); err != nil || !strings.HasPrefix(string(src), "# The old master") {
		t.Errorf("source: %q, %v", src, err)
	}
	if name, err := to.Resolve(t.Context(), store.Key{Suffix: "abcdefgh"}); err != nil || name != "wordcount-abcdefgh" {
		t.Errorf("resolve: %q, %v", name, err)
	}
}

func checkHistory(t *testing.T, s led) {
	t.Helper()
	for task, want := range map[string][]string{
		"wordcount-abcdefgh": {
			"NEW RUNNING ", "wordcount-abcdefgh-java-exec-1 WAITING RUNNING ", "wordcount-abcdefgh-java-exec-1 RUNNING COMPLETED ",
			"wordcount-abcdefgh-java-exec-10 WAITING RUNNING ",
			"wordcount-abcdefgh-java-exec-10 RUNNING CANCELLED was PREPARED when its task ended",
			"wordcount-abcdefgh-spark-2 WAITING RUNNING ", "wordcount-abcdefgh-spark-2 RUNNING COMPLETED ", "RUNNING COMPLETED ",
			`  kept from the old master: owner="li"`, `wordcount-abcdefgh-java-exec-1   kept from the old master: node="worker-3"`,
		},
		"broken-aaaabbbb": {
			"NEW RUNNING ", "broken-aaaabbbb-sh-1 WAITING RUNNING ", "broken-aaaabbbb-sh-1 RUNNING FAILED ",
			"broken-aaaabbbb-sh-2 WAITING OMITTED was WAITING when its task ended", "RUNNING FAILED ",
			"  kept from the old master: dependency of broken-aaaabbbb-sh-2 on nosuch was not kept: no such stage",
			"  kept from the old master: dependencies were not kept: they go in a circle",
		},
	} {
		log, err := s.History(t.Context(), task, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range log {
			e, err := dag.DecodeEntry(l.Body)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.TrimPrefix(fmt.Sprintf("%s %s %s %s", e.Stage, e.From, e.To, e.Message), " "))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("history of %s (-want +got):\n%s", task, d)
		}
	}
}

func TestMigrateNeedsTheTime(t *testing.T) {
	if _, err := archive.Migrate(t.Context(), nil, nil, 0, archive.MigrateOptions{}); err == nil {
		t.Error("no error")
	}
}
