package executortest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

func testSuccess(b *bench) {
	s := b.run("ok", `echo done > "$S/file"`)
	b.wantPhase(s, dag.AttemptSucceeded, 0)
	if s.Started.IsZero() || s.At.Before(s.Started) {
		b.Errorf("it started at %v and ended at %v", s.Started, s.At)
	}
	if got := b.read("file"); got != "done" {
		b.Errorf("the file holds %q", got)
	}
	if s.Failure != nil || s.Outputs != nil {
		b.Errorf("a success without outputs has failure %+v, outputs %+v", s.Failure, s.Outputs)
	}
}

func testExitCodes(b *bench) {
	for _, c := range []struct {
		id, script string
		exit       int
	}{
		{"one", "exit 1", 1},
		{"three", "exit 3", 3},
		{"most", "exit 255", 255},
		{"term", "kill -TERM $$", 143},
		{"kill", "kill -KILL $$", 137},
		{"missing", "/no/such/program", 127},
	} {
		s := b.run(c.id, c.script)
		b.wantFailure(s, dag.FailExit, c.exit)
		if want := fmt.Sprintf("Error (exit code %d)", c.exit); !strings.Contains(s.Failure.Message, want) {
			b.Errorf("%s: message %q does not hold %q", c.id, s.Failure.Message, want)
		}
	}
}

// A command that does not exist is the program's failure, as in Argo, not a launch error.
func testCommandNotFound(b *bench) {
	for id, command := range map[string]string{"name": "no-such-command", "path": "/no/such/command", "dir": b.s.Shared} {
		a := b.attempt(id, "")
		a.Spec.Command, a.Spec.Args = []string{command}, nil
		b.launch(a)
		status := 64
		if b.s.Traits.NotFound != 0 {
			status = b.s.Traits.NotFound
		}
		b.wantFailure(b.end(id), dag.FailExit, status)
	}
}

// What repeating cannot mend is said with ErrNever, and nothing is started.
func testCannotBeLaunched(b *bench) {
	for id, spoil := range map[string]func(*executors.Attempt){
		"no-program": func(a *executors.Attempt) { a.Spec.Image, a.Spec.Command, a.Spec.Args = "", nil, nil },
		"no-spec":    func(a *executors.Attempt) { a.Spec = nil },
		"no-id":      func(a *executors.Attempt) { a.ID = "" },
	} {
		a := b.attempt(id, "true")
		spoil(&a)
		if err := b.e.Launch(b.Context(), a); !errors.Is(err, executors.ErrNever) {
			b.Errorf("%s: Launch gave %v, want ErrNever", id, err)
		}
		if got := b.saw.of(id); len(got) > 0 {
			b.Errorf("%s: reported %+v", id, got)
		}
	}
}

func testShellLine(b *bench) {
	a := b.attempt("clic", "")
	a.Spec.Form, a.Spec.Shell, a.Spec.Command = dag.FormCLIC, true, nil
	a.Spec.Args = []string{`printf '%s\n' >"$S/line" --dagPath=/x "a  b"`}
	a.MasterHost, a.MasterPort = "127.0.0.1", 7777
	b.launch(a)
	b.wantPhase(b.end("clic"), dag.AttemptSucceeded, 0)
	want := "--dagPath=/x\na  b\n--stageId=clic\n--masterHost=127.0.0.1\n--masterPort=7777"
	if got := b.read("line"); got != want {
		b.Errorf("the program got\n%s\nwant\n%s", got, want)
	}
}

func testScript(b *bench) {
	a := b.attempt("script", "")
	a.Spec.Command, a.Spec.Args = []string{"sh"}, []string{"-e"}
	a.Spec.Script = "echo one > \"$S/lines\"\necho \"$0\" | wc -l >> \"$S/lines\"\nfalse\necho not here\n"
	b.launch(a)
	b.wantFailure(b.end("script"), dag.FailExit, 1)
	if got := strings.Fields(b.read("lines")); len(got) != 2 || got[0] != "one" || got[1] != "1" {
		b.Errorf("the script wrote %q", got)
	}
}

func testEnvironment(b *bench) {
	b.s.PutConfig(b.T, "settings", "level", "high")
	a := b.attempt("env-r3", `{ env; echo "TMP=$(cd "$TMPDIR" && pwd)"; } > "$S/env.new"; mv "$S/env.new" "$S/env"`)
	a.Stage, a.Number, a.Token = "env", 3, "t0ken"
	a.MasterHost, a.MasterPort = "127.0.0.1", 7001
	a.Spec.Env = append(a.Spec.Env,
		dag.EnvVar{Name: "PLAN", Value: "a b\nc=d"},
		dag.EnvVar{Name: "LEVEL", ConfigMap: "settings", ConfigKey: "level"},
		dag.EnvVar{Name: "NONE", ConfigMap: "settings", ConfigKey: "none", Optional: true},
		dag.EnvVar{Name: "CLIC_STAGE_ID", Value: "forged"},
	)
	b.launch(a)
	b.wantPhase(b.end(a.ID), dag.AttemptSucceeded, 0)
	env := "\n" + b.read("env") + "\n"
	for _, want := range []string{
		"PLAN=a b\nc=d", "LEVEL=high", "CLIC_STAGE_ID=env", "CLIC_TASK=task", "CLIC_ATTEMPT=3", "CLIC_ATTEMPT_ID=env-r3",
		"CLIC_TOKEN=t0ken", "CLIC_MASTER=127.0.0.1:7001",
	} {
		if !strings.Contains(env, "\n"+want+"\n") {
			b.Errorf("the environment lacks %q:%s", want, env)
		}
	}
	for _, want := range []string{"PATH=/", "HOME=", "TMP=/"} {
		if !strings.Contains(env, "\n"+want) {
			b.Errorf("the environment lacks %s…:%s", want, env)
		}
	}
	for _, not := range []string{"NONE=", "forged", "EXECUTORTEST_LEAK"} {
		if strings.Contains(env, not) {
			b.Errorf("the environment holds %q:%s", not, env)
		}
	}
}

// Command, args and env refer to variables as Kubernetes has it, wherever they run; a script is left alone.
func testReferences(b *bench) {
	a := b.attempt("references", "")
	a.Spec.Command = []string{"$(SHELL_OF_PLAN)"}
	a.Spec.Args = []string{"-c", `printf '%s\n' '$(FIRST)' '$(SECOND)' '$(CLIC_STAGE_ID)' '$(NOBODY)' '$$(FIRST)' "$SECOND" "$(echo $FIRST)" > "$S/references.new"
mv "$S/references.new" "$S/references"`}
	a.Spec.Env = append(a.Spec.Env,
		dag.EnvVar{Name: "FIRST", Value: "one$$"},
		dag.EnvVar{Name: "SECOND", Value: "<$(FIRST)$(THIRD)$$(FIRST)>"},
		dag.EnvVar{Name: "THIRD", Value: "three"},
		dag.EnvVar{Name: "SHELL_OF_PLAN", Value: "sh"},
	)
	b.launch(a)
	b.wantPhase(b.end(a.ID), dag.AttemptSucceeded, 0)
	second := "<one$$(THIRD)$(FIRST)>"
	want := []string{"one$", second, "references", "$(NOBODY)", "$(FIRST)", second, "one$"}
	if got := strings.Split(b.read("references"), "\n"); !slices.Equal(got, want) {
		b.Errorf("the program saw %q, want %q", got, want)
	}
	script := b.attempt("script-references", "")
	script.Spec.Command, script.Spec.Args = []string{"sh"}, nil
	script.Spec.Script = `test '$$ $(S)' = "$(printf '\044\044 \044(S)')"`
	b.launch(script)
	b.wantPhase(b.end(script.ID), dag.AttemptSucceeded, 0)
}

// A secret reaches the program, and stays nowhere else.
func testSecrets(b *bench) {
	secret, octal := "Xq7-very-\xff\xfe-secret-9Zk", `\377\376` // any bytes
	if b.s.Traits.LateSettings {
		secret, octal = "Xq7-very-\xc3\xbc-secret-9Zk", `\303\274`
	}
	const token = "Tk3-very-token-7Qp"
	b.s.PutSecret(b.T, "db", "password", secret)
	a := b.attempt("secrets", `[ "$PASSWORD" = "$(printf 'Xq7-very-`+octal+`-secret-9Z%s' k)" ] && [ -n "$CLIC_TOKEN" ] && exit 7; exit 1`)
	a.Token = token
	a.Spec.Env = append(a.Spec.Env, dag.EnvVar{Name: "PASSWORD", SecretName: "db", SecretKey: "password"})
	b.launch(a)
	s := b.end(a.ID)
	b.wantFailure(s, dag.FailExit, 7)
	for _, report := range b.saw.of(a.ID) {
		text := fmt.Sprintf("%+v %+v %+v", report, report.Failure, report.Outputs)
		if strings.Contains(text, secret) || strings.Contains(text, token) {
			b.Errorf("a report holds the secret: %s", text)
		}
	}
	for _, dir := range b.s.Kept {
		err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(name)
			if strings.Contains(string(content), secret) || strings.Contains(string(content), token) {
				b.Errorf("the secret is in %s", name)
			}
			return err
		})
		if err != nil {
			b.Error(err)
		}
	}
}

func testSecretMissing(b *bench) {
	const secret = "another-Secret-55"
	b.s.PutSecret(b.T, "db", "password", secret)
	for _, c := range []struct {
		id   string
		v    dag.EnvVar
		want string
		late bool
	}{
		{"key", dag.EnvVar{Name: "A", SecretName: "db", SecretKey: "user"}, `user`, true},
		{"secret", dag.EnvVar{Name: "A", SecretName: "web", SecretKey: "user"}, `"web"`, true},
		{"config", dag.EnvVar{Name: "A", ConfigMap: "cfg", ConfigKey: "x"}, `"cfg"`, true},
		{"name", dag.EnvVar{Name: "A", SecretName: "../db", SecretKey: "password"}, `"../db"`, false},
	} {
		a := b.attempt(c.id, "true")
		a.Spec.Env = append(a.Spec.Env, dag.EnvVar{Name: "P", SecretName: "db", SecretKey: "password"}, c.v)
		err := b.e.Launch(b.Context(), a)
		if c.late && b.s.Traits.LateSettings && err == nil {
			s := b.end(c.id)
			b.wantFailure(s, dag.FailLaunch, 0)
			if !strings.Contains(s.Failure.Message, c.want) || strings.Contains(s.Failure.Message, secret) {
				b.Errorf("%+v: the message does not name %s: %q", c.v, c.want, s.Failure.Message)
			}
			continue
		}
		if !errors.Is(err, executors.ErrNever) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			b.Errorf("%+v: Launch gave %v, want ErrNever, naming %s", c.v, err, c.want)
		}
	}
}

func testFreshWorkDir(b *bench) {
	const script = `ls -A | wc -l > "$S/$CLIC_ATTEMPT_ID"; touch here; pwd >> "$S/$CLIC_ATTEMPT_ID"`
	b.wantPhase(b.run("w", script), dag.AttemptSucceeded, 0)
	b.wantPhase(b.run("w-r1", script), dag.AttemptSucceeded, 0)
	first, second := strings.Fields(b.read("w")), strings.Fields(b.read("w-r1"))
	if first[0] != second[0] || first[0] != "0" && !b.s.Traits.Images {
		b.Errorf("working directories are not empty, or not as they were: %q, %q", first, second)
	}
}

// Launching what exists is adopting it, while it runs and when it has ended.
func testLaunchTwice(b *bench) {
	a := b.attempt("twice", `echo ran >> "$S/ran"; `+awaitGo+`exit 4`)
	b.launch(a)
	b.sees(a.ID, "its running", running)
	b.read("ran")
	b.launch(a)
	b.write("go", "go")
	b.wantFailure(b.end(a.ID), dag.FailExit, 4)
	ends := b.saw.count(a.ID, over)
	b.launch(a)
	b.until("the report of the old end", func() bool { return b.saw.count(a.ID, over) > ends })
	if got := b.read("ran"); got != "ran" {
		b.Errorf("it ran more than once: %q", got)
	}
	for _, s := range b.saw.of(a.ID) {
		if over(s) {
			b.wantFailure(s, dag.FailExit, 4)
		}
	}
}

func testLaunchTwiceAtOnce(b *bench) {
	a := b.attempt("race", `echo ran >> "$S/ran"`)
	var group sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		group.Go(func() { errs[i] = b.e.Launch(b.Context(), a) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		b.Fatalf("Launch: %v", err)
	}
	b.wantPhase(b.end(a.ID), dag.AttemptSucceeded, 0)
	if got := b.read("ran"); got != "ran" {
		b.Errorf("it ran more than once: %q", got)
	}
}

// A leader that has been replaced starts nothing any more, not even after a restart.
func testStaleEpoch(b *bench) {
	newer := b.attempt("newer", "true")
	newer.Epoch = 7
	b.launch(newer)
	b.wantPhase(b.end("newer"), dag.AttemptSucceeded, 0)
	check := func() {
		b.Helper()
		older := b.attempt("older", `echo ran > "$S/ran"`)
		older.Epoch = 6
		if err := b.e.Launch(b.Context(), older); !errors.Is(err, executors.ErrStale) {
			b.Errorf("Launch in an old epoch gave %v, want ErrStale", err)
		}
		if _, err := os.Stat(b.path("ran")); err == nil {
			b.Error("it ran all the same")
		}
	}
	check()
	b.restart()
	check()
	same := b.attempt("same", "true")
	same.Epoch = 7
	b.launch(same)
	b.wantPhase(b.end("same"), dag.AttemptSucceeded, 0)
}

func testManyAtOnce(b *bench) {
	n := cmp.Or(b.s.Traits.Many, 200)
	var group sync.WaitGroup
	for i := range n {
		a := b.attempt(fmt.Sprintf("many-%d", i), fmt.Sprintf("echo %d; exit %d", i, i%3))
		a.Spec.CaptureResult = !b.s.Traits.NoOutputs
		group.Go(func() {
			if err := b.e.Launch(b.Context(), a); err != nil {
				b.Errorf("Launch: %v", err)
			}
		})
	}
	group.Wait()
	for i := range n {
		s := b.end(fmt.Sprintf("many-%d", i))
		if s.ExitCode != i%3 {
			b.Errorf("%s: exit code %d, want %d", s.AttemptID, s.ExitCode, i%3)
		}
		if b.s.Traits.NoOutputs {
			continue
		}
		if s.Outputs == nil || s.Outputs.Result == nil || *s.Outputs.Result != fmt.Sprint(i) {
			b.Errorf("%s: outputs %+v, want the result %d", s.AttemptID, s.Outputs, i)
		}
	}
}

func testUsage(b *bench) {
	s := b.run("usage", `i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null`)
	b.wantPhase(s, dag.AttemptSucceeded, 0)
	if b.s.Traits.NoUsage {
		if s.Usage != nil {
			b.Errorf("the usage is known after all: %+v", s.Usage)
		}
		return
	}
	if s.Usage == nil || s.Usage.CPU <= 0 || s.Usage.MaxRSS < 150<<20 || s.Usage.MaxRSS > 250<<20 {
		b.Errorf("usage is %+v, want some CPU time and the memory of one block", s.Usage)
	}
	// What is small may be unknown, but is not to be taken for what started it.
	s = b.run("small", `:`)
	b.wantPhase(s, dag.AttemptSucceeded, 0)
	if s.Usage != nil && s.Usage.MaxRSS > 10<<20 {
		b.Errorf("the usage of a small program is %+v", s.Usage)
	}
}

// A leader that has been replaced recovers nothing any more: it would stop what the new one has launched. And recovering is
// how a new leader makes itself known, before it launches anything.
func testStaleRecover(b *bench) {
	newer := b.attempt("newer", awaitGo+"true")
	newer.Epoch = 7
	b.launch(newer)
	b.sees(newer.ID, "its running", running)
	if err := b.e.Recover(b.Context(), 6, nil); !errors.Is(err, executors.ErrStale) {
		b.Errorf("Recover in an old epoch gave %v, want ErrStale", err)
	}
	b.restart()
	if err := b.e.Recover(b.Context(), 8, []executors.Attempt{newer}); err != nil {
		b.Fatalf("Recover: %v", err)
	}
	b.sees(newer.ID, "its running", running)
	older := b.attempt("older", "true")
	older.Epoch = 7
	if err := b.e.Launch(b.Context(), older); !errors.Is(err, executors.ErrStale) {
		b.Errorf("Launch in the epoch before gave %v, want ErrStale", err)
	}
	b.write("go", "go")
	b.wantPhase(b.end(newer.ID), dag.AttemptSucceeded, 0)
}
