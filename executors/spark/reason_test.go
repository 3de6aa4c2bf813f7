package spark

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/dag"
)

// TestReason says what the ends of real drivers' logs mean (testdata/logs, recorded with Spark 4.3.0).
func TestReason(t *testing.T) {
	t.Parallel()
	exit := func(n int, message string) *dag.Failure { return dag.NewFailure(dag.FailExit, n, message) }
	permanent := func(f *dag.Failure) *dag.Failure { f.Permanent = true; return f }
	const base = " [main: Error (exit code 1)]"
	for log, want := range map[string]*dag.Failure{
		"fail":       exit(1, "java.lang.IllegalStateException: asked to fail"+base),
		"wrongclass": permanent(exit(1, "wrong class: there is no class demo.Nope in the application's jars"+base)),
		"missingjar": exit(1, "missing file: /nope/demo.jar"+base),
		"missingpy":  exit(1, "missing file: /nope/app.py"+base),
		"pyfail":     exit(1, "RuntimeError: asked to fail"+base),
		"pyfailtask": exit(1, "ValueError: task asked to fail"+base),
		"failtask": exit(1, "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed 1 times, most recent failure: "+
			"Lost task 0.0 in stage 0.0 (TID 0) (localhost executor driver): java.lang.IllegalStateException: task asked to fail"+base),
		"missinginput": exit(1, "missing file: file:/nope/in"+base),
		"oom":          dag.NewFailure(dag.FailOOM, 1, "the driver ran out of memory: java.lang.OutOfMemoryError: Java heap space; give it more (driver.memory)"+base),
		"noapi": exit(1, "Spark cannot make executors; caused by io.vertx.core.impl.NoStackTraceTimeoutException: "+
			"The timeout of 10000 ms has been exceeded when getting a connection to kubernetes.default.svc:443"+base),
		"badmaster": exit(1, "the standalone master cannot be reached: All masters are unresponsive! Giving up."+base),
	} {
		text, err := os.ReadFile(filepath.Join("testdata", "logs", log+".log"))
		if err != nil {
			t.Fatal(err)
		}
		got := reason(dag.NewFailure(dag.FailExit, 1, "main: Error (exit code 1): anything"), string(text), signs())
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", log, d)
		}
	}
}

func TestReasonLeavesOthers(t *testing.T) {
	t.Parallel()
	log := `Exception in thread "main" java.lang.IllegalStateException: x`
	for _, f := range []*dag.Failure{nil, dag.NewFailure(dag.FailEvicted, 0, "evicted"), dag.NewFailure(dag.FailLost, 0, "lost"), dag.NewFailure(dag.FailTimeout, 0, "late")} {
		if d := cmp.Diff(f, reason(f, log, signs())); d != "" {
			t.Error(d)
		}
	}
	if got := reason(dag.NewFailure(dag.FailExit, 3, "m"), "nothing to see", signs()); got.Message != "m" {
		t.Errorf("got %q", got.Message)
	}
}

// The JVM writes the first words of its report apart, so that another thread's line can come between.
func TestReasonInterleaved(t *testing.T) {
	t.Parallel()
	log := "Exception in thread \"main\" 26/11/21 20:15:00 INFO BlockManager: here\njava.lang.IllegalStateException: asked to fail\n\tat demo.App.main(App.java:35)\n" +
		"26/11/21 20:15:00 INFO SparkContext: Invoking stop() from shutdown hook\n"
	if got := reason(dag.NewFailure(dag.FailExit, 1, "main: Error (exit code 1)"), log, signs()).Message; !strings.HasPrefix(got, "java.lang.IllegalStateException: asked to fail") {
		t.Errorf("got %q", got)
	}
}

// A driver does not end of what its REST interface complains of, and one that was killed of nothing that it had logged.
func TestReasonBesides(t *testing.T) {
	t.Parallel()
	const own, other = "java.lang.IllegalStateException: asked to fail\n\tat demo.App.main(App.java:35)\n",
		"java.io.UncheckedIOException: org.sparkproject.jetty.io.EofException: Broken pipe\n\tat org.glassfish.jersey.server.X(X.java:1)\n"
	const info, besides = "26/11/21 23:39:29 INFO BlockManager: here\n",
		"26/11/21 23:39:29 ERROR ServerRuntime$Responder: Error while closing the output stream in order to commit response.\n"
	for _, c := range []struct {
		log, want string
		exit      int
	}{
		{info + own + besides + other, "java.lang.IllegalStateException: asked to fail [main: Error (exit code 1)]", 1},
		{besides + other, "main: Error (exit code 1)", 1},
		{info + own, "main: Error (exit code 137)", 137},
		{info + own, "main: Error (exit code 143)", 143},
	} {
		f := dag.NewFailure(dag.FailExit, c.exit, fmt.Sprintf("main: Error (exit code %d)", c.exit))
		if got := reason(f, c.log, signs()).Message; got != c.want {
			t.Errorf("%q: got %q, want %q", c.log, got, c.want)
		}
	}
}

// A Python program that fails in the JVM has the JVM's reason.
func TestReasonBehindPython(t *testing.T) {
	t.Parallel()
	log := "Traceback (most recent call last):\n  File \"app.py\", line 1, in <module>\n" +
		"py4j.protocol.Py4JJavaError: An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.\n" +
		": java.lang.UnsatisfiedLinkError: no zstd\n\tat java.base/x\nCaused by: java.io.IOException: disk full\n"
	want := "java.lang.UnsatisfiedLinkError: no zstd; caused by java.io.IOException: disk full"
	if got := reason(dag.NewFailure(dag.FailExit, 1, "main: Error (exit code 1)"), log, signs()).Message; !strings.HasPrefix(got, want) {
		t.Errorf("got %q", got)
	}
}

func FuzzReason(f *testing.F) {
	f.Add("Exception in thread \"main\" java.lang.Error: x\nCaused by: y\n")
	f.Add("Traceback (most recent call last):\nValueError: $1 ${0}\n")
	s := signs()
	f.Fuzz(func(t *testing.T, log string) {
		got := reason(dag.NewFailure(dag.FailExit, 1, "main: Error (exit code 1)"), log, s)
		if got.Message == "" || strings.ContainsAny(got.Message, "\n\r") || len(got.Message) > maxReason+100 {
			t.Errorf("the reason is %q", got.Message)
		}
	})
}
