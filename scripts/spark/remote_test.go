//go:build spark

package spark

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
	"github.com/clic-orchestrator/clic/executors/spark"
)

// remote is an executor that has the standalone master run drivers. rest is where its REST server is reached.
func remote(t *testing.T, dir, rest string) executors.Executor {
	t.Helper()
	x, err := spark.New(spark.Config{
		Mode: spark.StandaloneCluster, RESTURL: rest, MasterUI: getenv(t, "CLIC_SPARK_UI"), StateDir: dir, Poll: 300 * time.Millisecond,
		SparkVersion: "4.3.0", Logger: logger(t), Env: map[string]string{"JDK_JAVA_OPTIONS": small},
		Conf: map[string]string{"spark.cores.max": "1", "spark.driver.extraJavaOptions": small},
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestStandaloneCluster(t *testing.T) {
	apps := "file:" + getenv(t, "CLIC_SPARK_APPS")
	x := remote(t, t.TempDir(), getenv(t, "CLIC_SPARK_REST"))
	w := started(t, x)
	recovered(t, x, 1)
	for _, e := range []outcome{
		{"jvm", jvm(apps, "pi", "2"), 0, -1, "pi is about"},
		{"fail", jvm(apps, "fail"), dag.FailExit, -1, "asked to fail"},
		{"exit", jvm(apps, "exit", "3"), dag.FailExit, -1, "not told"},
		{"class", jvm(apps).with(app{"mainClass": "demo.Nope"}), dag.FailExit, -1, "demo.Nope"},
		{"file", jvm("file:/nope"), dag.FailLaunch, -1, "/nope/demo.jar"},
	} {
		t.Run(e.name, func(t *testing.T) { e.ends(t, x, w) })
	}
	t.Run("python", func(t *testing.T) {
		err := x.Launch(t.Context(), attempt(t, newID("python"), python(apps, "pi"), 1))
		if err == nil || !strings.Contains(err.Error(), "no Python") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		id := newID("cancel")
		launch(t, x, attempt(t, id, jvm(apps, "stages", "50", "2", "500"), 1))
		if s := w.busy(id); !strings.Contains(s.Info, "UI http://") {
			t.Errorf("info %q", s.Info)
		}
		if err := x.Cancel(t.Context(), id, time.Second); err != nil {
			t.Fatal(err)
		}
		if s := w.end(id); s.Phase != dag.AttemptStopped {
			t.Errorf("got %+v", s)
		}
	})
}

// A master that is started again knows its driver; launching again submits none.
func TestStandaloneClusterAdopts(t *testing.T) {
	dir, id := t.TempDir(), newID("adopted")
	a := attempt(t, id, jvm("file:"+getenv(t, "CLIC_SPARK_APPS"), "stages", "10", "2", "500"), 1)
	first := remote(t, dir, getenv(t, "CLIC_SPARK_REST"))
	w := started(t, first)
	recovered(t, first, 1)
	launch(t, first, a)
	before := w.runs(id)
	stop(t, first)
	second := remote(t, dir, getenv(t, "CLIC_SPARK_REST"))
	w = started(t, second)
	recovered(t, second, 2, a)
	a.Epoch = 2
	launch(t, second, a)
	if after := w.runs(id); after.Info != before.Info {
		t.Errorf("it is %q, and was %q", after.Info, before.Info)
	}
	w.succeeded(id)
}

// The answer to a submission is lost: the driver is found, and not submitted again, also where the standalone master takes it only later.
func TestStandaloneClusterAnswerLost(t *testing.T) {
	target, err := url.Parse(getenv(t, "CLIC_SPARK_REST"))
	if err != nil {
		t.Fatal(err)
	}
	for name, late := range map[string]time.Duration{"taken": 0, "late": 3 * time.Second} {
		t.Run(name, func(t *testing.T) { testAnswerLost(t, httputil.NewSingleHostReverseProxy(target), late) })
	}
}

func testAnswerLost(t *testing.T, proxy http.Handler, late time.Duration) {
	var submitted atomic.Int32
	var work sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/create") {
			proxy.ServeHTTP(w, r)
			return
		}
		submitted.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		again := r.Clone(context.WithoutCancel(r.Context()))
		again.Body = io.NopCloser(bytes.NewReader(body))
		taken := make(chan struct{})
		work.Go(func() {
			defer close(taken)
			<-time.After(late)
			proxy.ServeHTTP(httptest.NewRecorder(), again)
		})
		if late == 0 {
			<-taken
		}
		panic(http.ErrAbortHandler) // the master has it, or will have it, and nobody hears of that
	}))
	t.Cleanup(func() { server.Close(); work.Wait() })
	dir, id := t.TempDir(), newID("lost")
	x := remote(t, dir, server.URL)
	w := started(t, x)
	recovered(t, x, 1)
	a := attempt(t, id, jvm("file:"+getenv(t, "CLIC_SPARK_APPS"), "pi", "2"), 1)
	launch(t, x, a)
	launch(t, x, a)
	w.succeeded(id)
	if n := submitted.Load(); n != 1 {
		t.Errorf("it was submitted %d times", n)
	}
}
