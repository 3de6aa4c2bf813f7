package spark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/sparkapp"
	"github.com/clic-orchestrator/clic/executors"
)

// job is what the driver's REST interface says of a job (/applications/ID/jobs).
type job struct {
	ID        int    `json:"jobId"`
	Name      string `json:"name"`
	Detail    string `json:"description"`
	Status    string `json:"status"`
	Tasks     int64  `json:"numTasks"`
	Active    int64  `json:"numActiveTasks"`
	Completed int64  `json:"numCompletedTasks"`
	Skipped   int64  `json:"numSkippedTasks"`
	Failed    int64  `json:"numFailedTasks"`
}

// worker is what it says of an executor (/applications/ID/executors); the driver is one of them.
type worker struct {
	ID     string `json:"id"`
	Active bool   `json:"isActive"`
}

// summary is how far an application is. It is a pure function. waits is what its tasks wait for, "" if they do not wait.
func summary(jobs []job, workers int, waits string) *dag.Progress {
	p := &dag.Progress{}
	var done, active, failed int64
	for i := range jobs {
		j := &jobs[i]
		if j.Status != "RUNNING" && j.Status != "UNKNOWN" {
			done++
		}
		p.Total += j.Tasks
		p.Done += min(j.Completed+j.Skipped, j.Tasks)
		active += j.Active
		failed += j.Failed
	}
	if len(jobs) == 0 {
		p.Message = "no job yet"
	} else {
		p.Message = fmt.Sprintf("%d of %d jobs done, %d of %d tasks, %d running", done, len(jobs), p.Done, p.Total, active)
	}
	if failed > 0 {
		p.Message += fmt.Sprintf(", %d failed", failed)
	}
	if workers >= 0 {
		p.Message += fmt.Sprintf(", %d executors", workers)
	}
	if waits != "" {
		p.Message += "; waits for executors: " + waits
	}
	return p
}

// idle reports whether jobs have tasks to run, and none of them runs.
func idle(jobs []job) bool {
	var open, active int64
	for i := range jobs {
		if jobs[i].Status == "RUNNING" {
			open += jobs[i].Tasks - jobs[i].Completed - jobs[i].Skipped
			active += jobs[i].Active
		}
	}
	return open > 0 && active == 0
}

// getter reads a path of a driver's pages.
type getter func(ctx context.Context, path string) ([]byte, error)

// errAbsent: the driver has no pages (yet, or any more).
var errAbsent = errors.New("the driver does not answer")

// callTime bounds one question to a driver.
const callTime = 10 * time.Second

// follow asks a driver how far it is, until ctx is done.
func (e *Executor) follow(ctx context.Context, r *run) {
	tick := time.NewTicker(e.cfg.Poll)
	defer tick.Stop()
	var last dag.Progress
	var f finder
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		p, driver, err := e.ask(ctx, r, &f)
		if err != nil || ctx.Err() != nil {
			continue
		}
		e.mu.Lock()
		changed := *p != last || driver != r.driver
		r.driver = driver
		s := executors.Sighting{AttemptID: r.attempt.ID, Phase: dag.AttemptRunning, At: asked, Info: r.describe(), Progress: p}
		e.mu.Unlock()
		if !changed {
			continue
		}
		last = *p
		if !e.tell(ctx, r, s) {
			return
		}
	}
}

// tell reports progress, unless the attempt has ended meanwhile.
func (e *Executor) tell(ctx context.Context, r *run, s executors.Sighting) bool {
	r.telling.Lock()
	defer r.telling.Unlock()
	return !r.told && e.sink(ctx, s) == nil
}

// finder remembers where a driver's pages were found.
type finder struct {
	get  getter
	app  string
	page string
}

// ask reads the state of an application from its driver, and how people reach it.
func (e *Executor) ask(ctx context.Context, r *run, f *finder) (*dag.Progress, string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if f.get == nil {
		if err := e.find(ctx, r, f); err != nil {
			return nil, "", err
		}
	}
	jobs, count, err := f.look(ctx)
	if err != nil {
		f.get = nil // it may be another driver the next time
		return nil, "", err
	}
	if count == 0 && strings.HasPrefix(e.cfg.Master, "local") {
		count = -1 // the driver does the work
	}
	waits := ""
	if count == 0 && idle(jobs) {
		waits = e.waits(ctx, r)
	}
	return summary(jobs, count, waits), "application " + f.app + ", UI " + f.page + e.cfg.eventLog(r), nil
}

// eventLog says where an application leaves its event log, if it does.
func (c *Config) eventLog(r *run) string {
	dir := c.EventLogDir
	if r.app != nil {
		if r.app.Conf["spark.eventLog.enabled"] == "false" {
			return ""
		}
		dir = first(r.app.Conf["spark.eventLog.dir"], dir)
	}
	if dir == "" {
		return ""
	}
	return ", event log in " + dir
}

// look reads the jobs of the application, and how many executors it has; -1 is not known.
func (f *finder) look(ctx context.Context) (jobs []job, count int, err error) {
	if err := f.read(ctx, "jobs", &jobs); err != nil {
		return nil, 0, err
	}
	var workers []worker
	if f.read(ctx, "executors", &workers) != nil {
		count = -1 // the jobs are what counts
	}
	for _, w := range workers {
		if w.ID != "driver" && w.Active {
			count++
		}
	}
	return jobs, count, nil
}

// read reads something of the application.
func (f *finder) read(ctx context.Context, what string, to any) error {
	b, err := f.get(ctx, "/api/v1/applications/"+url.PathEscape(f.app)+"/"+what)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

// find looks for the driver's pages.
func (e *Executor) find(ctx context.Context, r *run, f *finder) error {
	if e.cfg.Pods {
		return e.findPod(ctx, r, f)
	}
	port := r.port()
	for p := port; p <= port+16; p++ { // as often as Spark tries (spark.port.maxRetries)
		page := "http://127.0.0.1:" + strconv.Itoa(p)
		get := direct(e.http, page)
		if app, err := applicationOf(ctx, get, r.attempt.ID); err == nil {
			f.get, f.app, f.page = get, app, page
			return nil
		}
	}
	return errAbsent
}

// applicationOf is the id of a driver's application, if it is that of the attempt.
func applicationOf(ctx context.Context, get getter, attemptID string) (string, error) {
	app, err := application(ctx, get)
	if err != nil {
		return "", err
	}
	b, err := get(ctx, "/api/v1/applications/"+url.PathEscape(app)+"/environment")
	if err != nil {
		return "", err
	}
	var env struct {
		Properties [][]string `json:"sparkProperties"`
	}
	if err := json.Unmarshal(b, &env); err != nil {
		return "", fmt.Errorf("cannot read the driver's answer: %w", err)
	}
	for _, kv := range env.Properties {
		if len(kv) == 2 && kv[0] == sparkapp.OwnPrefix+"attempt" && kv[1] == attemptID {
			return app, nil
		}
	}
	return "", errAbsent
}

// port is where the driver's pages begin to be looked for.
func (r *run) port() int {
	if r.app == nil {
		return 4040
	}
	if n, err := strconv.Atoi(r.app.Conf["spark.ui.port"]); err == nil && n > 0 {
		return n
	}
	return 4040
}

func (e *Executor) findPod(ctx context.Context, r *run, f *finder) error {
	if e.pods == nil {
		return errAbsent
	}
	namespace := e.cfg.namespaceOf(r.attempt)
	selector := "spark-role=driver," + labelApp + "=" + appID(r.attempt.ID)
	if e.cfg.Mode == Cluster { // Spark gives the application an id of its own there
		selector = labelAttempt + "=" + digest(r.attempt.ID, 32)
	}
	pods, err := e.pods.List(ctx, namespace, selector)
	if err != nil {
		return err
	}
	for i := range pods {
		p := &pods[i]
		if !p.Running || p.End != nil {
			continue
		}
		get := func(ctx context.Context, path string) ([]byte, error) {
			return e.pods.Proxy(ctx, p.Namespace, p.Name, r.port(), path)
		}
		app, err := application(ctx, get)
		if err != nil {
			return err
		}
		f.get, f.app, f.page = get, app, e.cfg.page(p, app, r)
		return nil
	}
	return errAbsent
}

// page is where people find a driver's pages.
func (c *Config) page(p *Pod, app string, r *run) string {
	if c.UI == "" {
		return fmt.Sprintf("pod %s/%s:%d", p.Namespace, p.Name, r.port())
	}
	return strings.NewReplacer("{namespace}", p.Namespace, "{pod}", p.Name, "{app}", app, "{attempt}", r.attempt.ID).Replace(c.UI)
}

// namespaceOf is the namespace of an attempt's pods.
func (c *Config) namespaceOf(a executors.Attempt) string {
	return first(a.Options["namespace"], c.Namespace)
}

// application is the id of the one application that a driver has.
func application(ctx context.Context, get getter) (string, error) {
	b, err := get(ctx, "/api/v1/applications")
	if err != nil {
		return "", err
	}
	var all []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return "", fmt.Errorf("cannot read the driver's answer: %w", err)
	}
	if len(all) == 0 {
		return "", errAbsent
	}
	return all[0].ID, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// direct reads pages at an address.
func direct(client *http.Client, page string) getter {
	return func(ctx context.Context, path string) ([]byte, error) { return httpGet(ctx, client, page+path) }
}

func httpGet(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", address, resp.Status)
	}
	return b, err
}

// noRoom is why standalone masters give no executors.
const noRoom = "the standalone master has no worker with enough free cores and memory for one"

// waits says why an application has no executor.
func (e *Executor) waits(ctx context.Context, r *run) string {
	if !e.cfg.kubernetes() {
		return noRoom
	}
	if e.pods == nil {
		return "none runs"
	}
	pods, err := e.pods.List(ctx, e.cfg.namespaceOf(r.attempt), "spark-role=executor,"+labelApp+"="+e.selectorOf(ctx, r))
	if err != nil {
		return "none runs"
	}
	return whyNoExecutor(pods)
}

// selectorOf is the application's id in the labels of its pods.
func (e *Executor) selectorOf(ctx context.Context, r *run) string {
	if e.cfg.Mode != Cluster {
		return appID(r.attempt.ID)
	}
	pods, err := e.pods.List(ctx, e.cfg.namespaceOf(r.attempt), labelAttempt+"="+digest(r.attempt.ID, 32))
	if err != nil || len(pods) == 0 {
		return appID(r.attempt.ID)
	}
	return pods[0].Labels[labelApp]
}

// whyNoExecutor says in one line what the pods of executors wait for.
func whyNoExecutor(pods []Pod) string {
	why, ended := "", 0
	for i := range pods {
		switch p := &pods[i]; {
		case p.End != nil:
			ended++
		case p.Waiting != "" && (why == "" || p.Stuck):
			why = p.Name + ": " + p.Waiting
		}
	}
	switch {
	case why != "":
		return short(why)
	case len(pods) == 0:
		return "no pod of one was made yet; the driver's account may lack the right (create pods), or a quota is used up"
	case ended == len(pods):
		return fmt.Sprintf("%d have ended", ended)
	}
	return fmt.Sprintf("%d pods are starting", len(pods)-ended)
}
