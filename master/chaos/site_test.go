package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long the test waits for what must happen soon.
const patience = 60 * time.Second

// site is where masters run: a program and a directory, which has the journal, the masters' data and their logs.
type site struct {
	testing.TB
	program string
	dir     string
	journal *journal
}

// program is the clic-master that is to be killed, built when it is asked for first; all tests share it. It looks for races
// where the test does.
var program = sync.OnceValues(func() (string, error) {
	var err error
	if programDir, err = os.MkdirTemp("", "clic-chaos-"); err != nil {
		return "", err
	}
	file := filepath.Join(programDir, "clic-master")
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", file}
	if raced {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/clic-orchestrator/clic/master/clic-master")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build clic-master: %w\n%s", err, out)
	}
	return file, nil
})

// programDir is where that is, once there is one. TestMain removes it.
var programDir string

// stageProgram is the command of the stages that report by themselves: this test.
func stageProgram(t testing.TB) string {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return own + " " + asStage
}

func newSite(t testing.TB) *site {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{TB: t, program: file, dir: t.TempDir()}
	s.journal = newJournal(t, s.dir)
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, log := range s.logs() {
			if text, err := os.ReadFile(log); err == nil {
				t.Logf("the end of %s:\n%s", log, text[max(0, len(text)-8000):])
			}
		}
	})
	return s
}

func (s *site) data() string { return filepath.Join(s.dir, "data") }

// logs are the files of what the masters, and the executor's process, have logged.
func (s *site) logs() []string {
	logs, _ := filepath.Glob(filepath.Join(s.dir, "*.log")) // fails for a bad pattern only
	nursery := filepath.Join(s.data(), "nursery.log")
	if _, err := os.Stat(nursery); err == nil {
		logs = append(logs, nursery)
	}
	return logs
}

// complaints are the lines of the logs with one of the words.
func (s *site) complaints(words ...string) []string {
	s.Helper()
	var found []string
	for _, file := range s.logs() {
		text, err := os.ReadFile(file)
		if err != nil {
			s.Error(err)
		}
		for line := range strings.Lines(string(text)) {
			if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(line, word) }) {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return found
}

// freePort finds a port that stays the same over restarts, since programs call it over all of them: below those that the
// system gives to outgoing connections, so that it is still free when its master comes back.
func freePort(t testing.TB) string {
	t.Helper()
	for range 200 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(22_000)))
		if err == nil {
			address := l.Addr().String()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// processes lists what runs of this site: masters, the executor's process, and whatever a stage has started.
func (s *site) processes() []string {
	s.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.Fatal(err)
	}
	var found []string
	for _, dir := range dirs {
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || !strings.Contains("\x00"+string(env), "\x00HOME="+s.dir+"\x00") {
			continue // another's, or it has just ended
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.Error(err)
		}
		found = append(found, fmt.Sprintf("%s: %s", filepath.Base(dir), strings.ReplaceAll(string(line), "\x00", " ")))
	}
	return found
}

// stages leaves out of processes those that belong to the master itself.
func stages(processes []string) []string {
	var found []string
	for _, p := range processes {
		if !strings.Contains(p, "--data-dir") && !strings.Contains(p, "clic-nursery") {
			found = append(found, p)
		}
	}
	return found
}

// vanish waits until there are no such processes, and gives those that stay.
func (s *site) vanish(list func() []string) []string {
	s.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := list()
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}
