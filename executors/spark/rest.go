package spark

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// createRequest asks a standalone master to run a driver (POST /v1/submissions/create).
type createRequest struct {
	Action      string            `json:"action"`
	Resource    string            `json:"appResource"`
	MainClass   string            `json:"mainClass"`
	Args        []string          `json:"appArgs"`
	Version     string            `json:"clientSparkVersion"`
	Environment map[string]string `json:"environmentVariables"`
	Properties  map[string]string `json:"sparkProperties"`
}

// oldestREST is the version that clients say which know no better; masters do not compare it.
const oldestREST = "4.0.0"

// request is the submission of an attempt.
func (c *Config) request(a executors.Attempt) (*createRequest, error) {
	app, _, err := c.application(a)
	if err != nil {
		return nil, err
	}
	switch {
	case app.Python() || app.R():
		return nil, never("template %q: standalone masters run no Python or R drivers; have its platform run in mode standalone", a.Spec.Template)
	case a.Spec.CaptureResult || len(a.Spec.OutputFiles) > 0:
		return nil, never("template %q: outputs cannot be taken from a driver of a standalone master; write them to storage", a.Spec.Template)
	}
	p := c.properties(a, app)
	jars := p["spark.jars"]
	p["spark.jars"] = app.File
	if jars != "" {
		p["spark.jars"] += "," + jars
	}
	p["spark.submit.deployMode"], p["spark.driver.supervise"] = "cluster", "false"
	if n := app.Executor.Instances; n > 0 && p["spark.cores.max"] == "" && app.Dynamic == nil {
		p["spark.cores.max"] = strconv.Itoa(n * max(app.Executor.Cores, 1))
		if app.Executor.Cores == 0 {
			p["spark.executor.cores"] = "1"
		}
	}
	env := map[string]string{"SPARK_ENV_LOADED": "1"}
	for k, v := range c.Env {
		env[k] = v
	}
	for _, v := range executors.Env(a) {
		name, value, _ := strings.Cut(v, "=")
		if name != executors.EnvToken { // the master shows environments to everybody
			env[name] = value
		}
	}
	// There is no base that would do it.
	fill := func(s string) string {
		if a.OutputPath == "" {
			return s
		}
		return strings.ReplaceAll(s, outputPath, a.OutputPath)
	}
	args := make([]string, 0, len(app.Arguments))
	for _, arg := range app.Arguments {
		args = append(args, fill(arg))
	}
	for _, texts := range []map[string]string{env, p} {
		for k, v := range texts {
			texts[k] = fill(v)
		}
	}
	return &createRequest{
		Action: "CreateSubmissionRequest", Resource: app.File, MainClass: app.MainClass, Args: args,
		Version: first(c.SparkVersion, app.SparkVersion, oldestREST), Environment: env, Properties: p,
	}, nil
}

// restMaster is a standalone master: its REST server, and the page that lists what runs.
type restMaster struct {
	rest, page string
	client     *http.Client
}

// answer is what the REST server says.
type answer struct {
	Action     string `json:"action"`
	Message    string `json:"message"`
	Submission string `json:"submissionId"`
	State      string `json:"driverState"`
	Worker     string `json:"workerId"`
	Success    bool   `json:"success"`
}

// refusedError: the master has said no, and would again.
type refusedError struct{ message string }

func (e *refusedError) Error() string { return e.message }

// notSent reports whether a request never left.
func notSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// call sends a request, and reads the answer. Unknown submissions are answers too.
func (m *restMaster) call(ctx context.Context, method, path string, body any) (*answer, error) {
	var send io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("cannot write the request: %w", err)
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, m.rest+"/v1/submissions/"+path, send)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	var a answer
	if err := json.Unmarshal(b, &a); err != nil || a.Action == "" {
		return nil, fmt.Errorf("the REST server answers %s, and nothing that can be understood", resp.Status)
	}
	if a.Action == "ErrorResponse" || resp.StatusCode >= 400 {
		return nil, &refusedError{short(first(a.Message, resp.Status))}
	}
	return &a, nil
}

// create submits a driver, and gives its id.
func (m *restMaster) create(ctx context.Context, r *createRequest) (string, error) {
	a, err := m.call(ctx, http.MethodPost, "create", r)
	switch {
	case err != nil:
		return "", err
	case !a.Success || a.Submission == "":
		return "", &refusedError{short(first(a.Message, "no submission was made"))}
	}
	return a.Submission, nil
}

func (m *restMaster) status(ctx context.Context, driver string) (*answer, error) {
	return m.call(ctx, http.MethodGet, "status/"+url.PathEscape(driver), nil)
}

// kill ends a driver. One that has ended, or is not known, is no error.
func (m *restMaster) kill(ctx context.Context, driver string) error {
	if _, err := m.call(ctx, http.MethodPost, "kill/"+url.PathEscape(driver), nil); err != nil {
		return fmt.Errorf("cannot kill driver %s: %w", driver, err)
	}
	return nil
}

// sight says what the state of a driver means. It is a pure function.
func (a *answer) sight(driver string, cancelled bool) executors.Sighting {
	s := executors.Sighting{Info: driver}
	if a.Worker != "" {
		s.Info += " on " + a.Worker
	}
	fail := func(kind dag.FailureKind, exit int, message string) {
		s.Phase, s.ExitCode, s.Failure = dag.AttemptFailed, exit, dag.NewFailure(kind, exit, short(message))
	}
	switch a.State {
	case "SUBMITTED", "RELAUNCHING":
		s.Phase, s.Reason = dag.AttemptPending, "the standalone master has no worker with enough free cores and memory for the driver"
	case "RUNNING":
		s.Phase = dag.AttemptRunning
	case "FINISHED":
		s.Phase = dag.AttemptSucceeded
	case "KILLED":
		s.Phase = dag.AttemptStopped
	case "FAILED":
		fail(dag.FailExit, 1, "driver: Error (exit code not told by the master)")
	case "ERROR":
		fail(dag.FailLaunch, 0, "the worker could not start the driver: "+a.Message)
	case "":
		fail(dag.FailLost, 0, "the standalone master does not know "+driver+" any more")
	default:
		s.Phase, s.Reason = dag.AttemptPending, "the standalone master says "+a.State
	}
	if cancelled && (s.Phase == dag.AttemptFailed || a.State == "KILLED") {
		s.Phase, s.Failure, s.ExitCode = dag.AttemptStopped, nil, 0
	}
	return s
}

// masterDriver is what the master's page says of a driver (/json/).
type masterDriver struct {
	ID        string      `json:"id"`
	Start     json.Number `json:"starttime"`
	State     string      `json:"state"`
	MainClass string      `json:"mainclass"`
	Worker    string      `json:"worker"`
}

// started is when the master took the driver.
func (d *masterDriver) started() time.Time {
	n, err := d.Start.Int64()
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// masterWorker is what it says of a worker.
type masterWorker struct {
	ID   string `json:"id"`
	Page string `json:"webuiaddress"`
}

func (m *restMaster) state(ctx context.Context) (drivers []masterDriver, workers []masterWorker, err error) {
	b, err := httpGet(ctx, m.client, m.page+"/json/")
	if err != nil {
		return nil, nil, err
	}
	var all struct {
		Active    []masterDriver `json:"activedrivers"`
		Completed []masterDriver `json:"completeddrivers"`
		Workers   []masterWorker `json:"workers"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, nil, fmt.Errorf("cannot read the master's page: %w", err)
	}
	return append(all.Active, all.Completed...), all.Workers, nil
}

// masterApp is what it says of an application that runs.
type masterApp struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// detailPage is the address of a driver's pages in that of its application.
var detailPage = regexp.MustCompile(`<a href="(https?://[^"]+)">\s*Application Detail UI`)

// pages are the addresses of the pages of applications that run, those of a name first.
func (m *restMaster) pages(ctx context.Context, name string) ([]string, error) {
	b, err := httpGet(ctx, m.client, m.page+"/json/")
	if err != nil {
		return nil, err
	}
	var all struct {
		Apps []masterApp `json:"activeapps"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("cannot read the master's page: %w", err)
	}
	slices.SortStableFunc(all.Apps, func(a, b masterApp) int {
		switch {
		case a.Name == name && b.Name != name:
			return -1
		case b.Name == name && a.Name != name:
			return 1
		}
		return 0
	})
	var pages []string
	for _, app := range all.Apps {
		html, err := httpGet(ctx, m.client, m.page+"/app/?appId="+url.QueryEscape(app.ID))
		if err != nil {
			continue
		}
		if found := detailPage.FindSubmatch(html); found != nil {
			pages = append(pages, string(found[1]))
		}
	}
	return pages, nil
}

func (m *restMaster) drivers(ctx context.Context) ([]masterDriver, error) {
	d, _, err := m.state(ctx)
	return d, err
}

// logHead begins a part of a log.
var logHead = regexp.MustCompile(`^==== Bytes (\d+)-(\d+) of (\d+) of [^\n]* ====\n`)

// logPart is how much of a log is asked for at once, in bytes.
const logPart = 1 << 20

// chunk reads a part of one of a driver's streams, and says how long that is in all.
func (m *restMaster) chunk(ctx context.Context, worker, driver, stream string, offset int64) (part []byte, total int64, err error) {
	q := url.Values{"driverId": {driver}, "logType": {stream}, "offset": {strconv.FormatInt(offset, 10)}, "byteLength": {strconv.Itoa(logPart)}}
	b, err := httpGet(ctx, m.client, worker+"/log/?"+q.Encode())
	if err != nil {
		return nil, 0, err
	}
	head := logHead.FindSubmatch(b)
	if head == nil {
		return nil, 0, executors.ErrNoLogs
	}
	total, _ = strconv.ParseInt(string(head[3]), 10, 64)
	return b[len(head[0]):], total, nil
}
