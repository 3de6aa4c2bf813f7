package stage_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/shell/stage"
)

func TestExit(t *testing.T) {
	tests := map[string]struct {
		script string
		status int
		error  string
	}{
		"success":        {"true", 0, ""},
		"failure":        {"exit 3", 3, ""},
		"255":            {"exit 255", 255, ""},
		"signal":         {"kill -TERM $$", 143, "ended by signal 15 (terminated)"},
		"killed":         {"kill -KILL $$", 137, "the system may have run out of memory"},
		"core":           {"kill -SEGV $$", 139, "ended by signal 11 (segmentation fault)"},
		"own words":      {`clic-stage error "the disk is full"; exit 4`, 4, "the disk is full"},
		"words by pipe":  {`echo ' it was <me> ' | clic-stage error -; exit 4`, 4, "it was <me>"},
		"words of old":   {`echo "from the program" > "$BOX/termination-log"; exit 5`, 5, "from the program"},
		"words for none": {`clic-stage error "never mind"`, 0, ""},
		"many words":     {`clic-stage error "$(head -c 4000 /dev/zero | tr '\0' '"')"; exit 6`, 6, `""""`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newBox(t).run(test.script)
			o.want(t, test.status, test.error)
			if o.stdout != "" || o.stderr != "" || o.Posted || o.Stopped || o.Outputs != nil {
				t.Errorf("%+v", o)
			}
			if o.Usage == nil || o.Started == 0 {
				t.Errorf("usage %v, started %d", o.Usage, o.Started)
			}
		})
	}
}

// What cannot be executed fails as in Argo, and says so.
func TestRefused(t *testing.T) {
	b := newBox(t)
	b.write("text", "echo no\n")
	b.write("plain", "echo hi\n")
	if err := os.Chmod(b.path("plain"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ command, error string }{
		"not in PATH":    {"no-such-command", `failed to find name in PATH: exec: "no-such-command": executable file not found in $PATH`},
		"no such file":   {"/no/such/file", `failed to find name in PATH: exec: "/no/such/file": no such file or directory`},
		"not executable": {"./text", `failed to find name in PATH: exec: "./text": permission denied`},
		"directory":      {"/tmp", "is a directory"},
		"no interpreter": {"./plain", "exec format error"},
		"empty":          {"", "failed to find name in PATH"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := b.command(test.command).begin().end()
			o.want(t, 64, test.error)
			if !strings.Contains(o.stderr, test.error) || o.stdout != "" {
				t.Errorf("printed %q %q", o.stdout, o.stderr)
			}
		})
	}
}

// What the program sees and prints is what it would be without the helper.
func TestProgramsOwn(t *testing.T) {
	b := newBox(t)
	b.env = append(b.env, "TMPDIR=/tmp", "X=a b")
	script := `printf 'out\377\n\n'; echo err >&2; cat; pwd; echo "$0 $@ $X"; env | sort | grep -v -e ^CLIC -e ^PATH -e ^_ -e ^SHLVL; echo $(($(ps -o pgid= $$) - $$)); ls /proc/self/fd | wc -w`
	r := b.command("sh", "-c", script, "me", "1", "$X")
	r.Stdin = strings.NewReader("input\n")
	o := r.begin().end()
	o.want(t, 0, "")
	plain := exec.CommandContext(t.Context(), "setsid", "sh", "-c", script, "me", "1", "$X")
	plain.Dir, plain.Env, plain.Stdin = b.dir, b.env, strings.NewReader("input\n")
	want, err := plain.Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), o.stdout); diff != "" {
		t.Error(diff)
	}
	if o.stderr != "err\n" {
		t.Errorf("error output %q", o.stderr)
	}
}

func TestResult(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"blank":   {`printf '  l1\nl2 \n\n\n'`, "  l1\nl2 \n\n"},
		"none":    {`true`, ""},
		"line":    {`echo`, ""},
		"plain":   {`printf x; echo not this >&2`, "x"},
		"bytes":   {`printf 'a\377b\n'`, "a\uFFFDb"},
		"markup":  {`echo '<a href="x">&</a>'`, `<a href="x">&</a>`},
		"forked":  {`echo 1; (sleep 0.02; echo 2) &`, "1\n2"},
		"failed":  {`echo partly; exit 7`, "partly"},
		"closing": {`echo 1; exec >&-; sleep 0.05`, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			b.options["result"] = true
			o := b.run(test.script)
			if got := o.result(t); got != test.want {
				t.Errorf("the result is %q, want %q", got, test.want)
			}
			if trimmed := strings.TrimSuffix(strings.ToValidUTF8(o.stdout, "\uFFFD"), "\n"); trimmed != test.want {
				t.Errorf("printed %q", o.stdout)
			}
		})
	}
}

// Output that is larger than a result may be is passed on all the same.
func TestResultTooLarge(t *testing.T) {
	b := newBox(t)
	b.options["result"] = true
	o := b.run(`head -c 30000000 /dev/zero | tr '\0' y`)
	if o.status != 0 || o.Exit != 0 || len(o.stdout) != 30000000 || o.Outputs != nil {
		t.Errorf("status %d, %d, %d bytes, outputs %v", o.status, o.Exit, len(o.stdout), o.Outputs)
	}
	const want = "the standard output is the stage's result, and its 30000000 bytes are more than the 1048576 that a result may have"
	if o.Error != want {
		t.Errorf("error %q", o.Error)
	}
	if o := b.run(`head -c 3000000 /dev/zero | tr '\0' y; exit 9`); o.status != 9 || o.Error != "" {
		t.Errorf("status %d, error %q", o.status, o.Error)
	}
}

func TestOutputs(t *testing.T) {
	b := newBox(t)
	fallback := "fallback"
	b.outputs(
		stage.Output{Name: "p1", Path: b.path("o1"), Default: &fallback}, stage.Output{Name: "p2", Path: b.path("o2")},
		stage.Output{Name: "p3", Path: b.path("o3"), Default: &fallback}, stage.Output{Name: "p4", Path: b.path("o4"), Default: &fallback},
		stage.Output{Name: "p5", Path: "rel"}, stage.Output{Name: "p6", Path: b.path("o6")},
		stage.Output{Name: "p7", Path: "/no/such/directory/o7"}, stage.Output{Name: "p8", Path: "/no/such/directory/o8"},
	)
	o := b.run(`echo one > "$BOX/o1"; printf 'two\n\n' > "$BOX/o2"; : > "$BOX/o4"; echo here > rel; printf 'a\377b' > "$BOX/o6"
		clic-stage output p7 'a
b
'; (echo "by pipe"; echo 2) | clic-stage output p8; echo overridden > "$BOX/o1"; clic-stage output p1 over && clic-stage output p1 again`)
	o.want(t, 0, "")
	want := map[string]string{
		"p1": "again", "p2": "two\n", "p3": "fallback", "p4": "", "p5": "here", "p6": "a\uFFFDb", "p7": "a\nb\n", "p8": "by pipe\n2",
	}
	if o.Outputs == nil {
		t.Fatal("no outputs")
	}
	if diff := cmp.Diff(want, o.Outputs.Parameters); diff != "" {
		t.Error(diff)
	}
}

func TestOutputsWrong(t *testing.T) {
	tests := map[string]struct{ script, error string }{
		"missing":   {"echo one > o1", `output parameter "p2": open o2: no such file or directory`},
		"both":      {"true", `o1: no such file or directory; output parameter "p2"`},
		"directory": {"echo one > o1; mkdir o2", `output parameter "p2": o2 is not a regular file`},
		"fifo":      {"echo one > o1; mkfifo o2", "is not a regular file"},
		"large":     {"echo one > o1; head -c 300000 /dev/zero > o2", "o2 has 300000 bytes, more than the 262144 that an output may have"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			b.outputs(stage.Output{Name: "p1", Path: "o1"}, stage.Output{Name: "p2", Path: "o2"})
			b.run(test.script).want(t, 0, test.error)
		})
	}
	// A program that fails may have written outputs all the same.
	b := newBox(t)
	b.outputs(stage.Output{Name: "p1", Path: "o1"}, stage.Output{Name: "p2", Path: "o2"})
	o := b.run("echo one > o1; exit 3")
	o.want(t, 3, "")
	if o.Error != "" || o.Outputs == nil || o.Outputs.Parameters["p1"] != "one" {
		t.Errorf("%+v", o)
	}
}

// Without a master, outputs that do not fit into the message fail the stage; the program's own status stays.
func TestTooMuchForTheMessage(t *testing.T) {
	b := newBox(t)
	b.options["result"] = true
	o := b.run(`head -c 5000 /dev/zero | tr '\0' y`)
	if o.want(t, 0, "5000 bytes, do not fit into the termination message of 4096"); o.Outputs != nil {
		t.Error("there are outputs")
	}
	b.options["messageLimit"] = 1000
	if o := b.run(`head -c 2000 /dev/zero | tr '\0' y`); o.Error == "" || len(b.read("termination-log")) > 1000 {
		t.Errorf("error %q, %d bytes", o.Error, len(b.read("termination-log")))
	}
	if o := b.run(`head -c 5000 /dev/zero | tr '\0' y; exit 2`); o.status != 2 || o.Error != "" {
		t.Errorf("%+v", o)
	}
}

// What an earlier run has left on a volume is not this one's output; what is in the container's own files may be.
func TestOldOutput(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "clic-stage-test-") //nolint:usetesting // a file system of its own, as a volume is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(shm) })
	for _, name := range []string{"old", "touched"} {
		if err := os.WriteFile(shm+"/"+name, []byte("from an earlier run"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	waitForTick(t, shm)
	fallback := "fallback"
	b := newBox(t)
	b.outputs(
		stage.Output{Name: "old", Path: shm + "/old", Default: &fallback}, stage.Output{Name: "touched", Path: shm + "/touched"},
		stage.Output{Name: "init", Path: shm + "/init"}, stage.Output{Name: "own", Path: "/etc/passwd"},
	)
	if err := os.WriteFile(shm+"/init", []byte("from an init container"), 0o666); err != nil {
		t.Fatal(err)
	}
	o := b.run(`echo "from this run" > ` + shm + `/touched`)
	o.want(t, 0, "")
	want := map[string]string{"old": "fallback", "touched": "from this run", "init": "from an init container"}
	if o.Outputs == nil {
		t.Fatal("no outputs")
	}
	if !strings.HasPrefix(o.Outputs.Parameters["own"], "root:") {
		t.Errorf("own %q", o.Outputs.Parameters["own"])
	}
	delete(o.Outputs.Parameters, "own")
	if diff := cmp.Diff(want, o.Outputs.Parameters); diff != "" {
		t.Error(diff)
	}
	b.outputs(stage.Output{Name: "old", Path: shm + "/old"})
	b.run("true").want(t, 0, "before the stage started: the file is of an earlier run")
}

// waitForTick waits until a file that is written now has a later time than the one that was written before.
func waitForTick(t *testing.T, dir string) {
	t.Helper()
	ctime := func() syscall.Timespec {
		var st syscall.Stat_t
		if err := os.WriteFile(dir+"/tick", nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Stat(dir+"/tick", &st); err != nil {
			t.Fatal(err)
		}
		return st.Ctim
	}
	for first := ctime(); ctime() == first; {
	}
}

// A broken description of what is wanted does not keep the program from running.
func TestBrokenOptions(t *testing.T) {
	b := newBox(t)
	r := b.command("sh", "-c", "echo it runs; exit 3")
	r.Env = append(r.Env, stage.EnvOptions+"={")
	r.Cmd.Env = r.Env
	if o := r.begin().status(); o.status != 3 || o.stdout != "it runs\n" {
		t.Errorf("%+v", o)
	}
}

// The first process of a container has to wait for whatever loses its parent, and all end with it.
func TestFirstProcess(t *testing.T) {
	b := newBox(t)
	b.options["result"] = true
	r := b.command("sh", "-c", `
		for i in 1 2 3 4 5 6 7 8 9 10; do sh -c 'sleep 0 & exec true' & done; wait
		i=0; while ps -o stat= | grep -q Z && [ $i -lt 500 ]; do i=$((i+1)); sleep 0.01; done
		ps -o stat= | grep -c Z; cat /proc/1/comm; echo $PPID`)
	inContainer(r)
	o := r.begin().end()
	o.want(t, 0, "")
	if got := o.result(t); got != "0\n"+helperName+"\n1" {
		t.Errorf("zombies, first process, parent: %q", got)
	}
	b.fifo("begun")
	r = b.command("sh", "-c", `trap "" TERM INT; echo begun > begun; while :; do sleep 1000; done`)
	inContainer(r)
	r.begin()
	b.hear("begun")
	if err := r.Process.Kill(); err != nil { // as the container's end does
		t.Fatal(err)
	}
	if o := r.status(); o.status != -1 {
		t.Errorf("status %d", o.status)
	}
	// Its pipes are closed by now, or this would not have been reached: nothing of the container runs any more.
}

// inContainer gives a run a process namespace of its own, with its own /proc.
func inContainer(r *running) {
	r.Helper()
	inNamespaces(r, "--map-current-user", "--pid", "--fork", "--kill-child", "--mount-proc")
}

// inNamespaces runs the helper under unshare with these arguments.
func inNamespaces(r *running, args ...string) {
	r.Helper()
	path, err := exec.LookPath("unshare")
	if err != nil {
		r.Fatal(err)
	}
	r.Cmd.Args = append(append([]string{"unshare", "--user"}, args...), r.Cmd.Args...)
	r.Cmd.Args[len(args)+2] = r.helper
	r.Cmd.Path = path
}

// TestScript: a script that is longer than a variable may be arrives in parts, and is executable for everybody.
func TestScript(t *testing.T) {
	script := "#!/bin/sh\n" + strings.Repeat("# "+strings.Repeat("ä", 100)+"\n", 900) + "echo \"$1\"\n"
	var env []string
	for i := 0; len(script) > 0; i++ {
		name := stage.EnvScript
		if i > 0 {
			name += "_" + strconv.Itoa(i)
		}
		n := min(len(script), 90001)
		env = append(env, name+"="+script[:n])
		script = script[n:]
	}
	if len(env) != 3 {
		t.Fatalf("%d parts", len(env))
	}
	dir := t.TempDir() + "/clic"
	for range 2 { // an init container may be repeated
		install(t, dir, env...)
	}
	out, err := exec.CommandContext(t.Context(), dir+"/script", "hello").CombinedOutput()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("%v: %s", err, out)
	}
	for name, mode := range map[string]os.FileMode{helperName: 0o755, "script": 0o755} {
		info, err := os.Stat(dir + "/" + name)
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

// On a read-only file system the program runs all the same. Where the helper was installed can be written, as a pod's emptyDir
// is; without even that, there is no place for notes.
func TestReadOnly(t *testing.T) {
	for name, test := range map[string]struct {
		mount, stdout, error string
	}{
		"with a volume": {`mount --bind "$BOX/clic" "$BOX/clic"`, "dir temp written\n", "x"},
		"without":       {"true", "no dir\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.options["result"] = true
			r := b.command("sh", "-c", `
				case "$CLIC_STAGE_DIR" in $BOX/clic/*) printf 'dir ';; "") printf 'no dir';; esac
				case "$TMPDIR" in $BOX/clic/*) printf 'temp '; echo x > $TMPDIR/x && printf written;; esac
				echo; clic-stage error x 2>/dev/null; exit 3`)
			// The termination log is a mount of its own, as in a pod.
			inNamespaces(r, "--map-root-user", "--mount", "sh", "-c", `mount --bind "$BOX/termination-log" "$BOX/termination-log" && `+test.mount+` &&
				mount -o remount,bind,ro / && { mount -o remount,bind,ro /tmp 2>/dev/null || :; } && exec "$@"`, "sh")
			o := r.begin().end()
			o.want(t, 3, test.error)
			if o.stdout != test.stdout || o.result(t) != strings.TrimSuffix(test.stdout, "\n") {
				t.Errorf("printed %q %q, the result is %q", o.stdout, o.stderr, o.result(t))
			}
		})
	}
}
