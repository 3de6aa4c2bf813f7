//go:build cluster

package clustertest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// journal is the file in which the pods write down what they do. The lines of all are in one file, each appended in one write, so that
// their order is the order in which these things happened.
type journal struct {
	*world
	dir string
}

// mark is a line of it: that an attempt started (S) or ended (E, with its exit status), and in which pod.
type mark struct {
	verb, stage, attempt, pod, word string
}

// id names the attempt.
func (m mark) id() string { return m.stage + " " + m.attempt }

func attemptID(stage string, number int32) string { return fmt.Sprint(stage, " ", number) }

// newJournal makes one that all pods may write to.
func newJournal(w *world) *journal {
	w.Helper()
	dir, err := os.MkdirTemp(os.Getenv("CLIC_CLUSTER_SHARED"), "master-test-")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			w.Error(err)
		}
	})
	j := &journal{world: w, dir: dir}
	for _, err := range []error{os.WriteFile(j.file(), nil, 0o600), os.Chmod(j.file(), 0o666), os.Chmod(dir, 0o777)} {
		if err != nil {
			w.Fatal(err)
		}
	}
	return j
}

func (j *journal) file() string { return filepath.Join(j.dir, "journal") }

// ends counts the attempts that have ended.
func (j *journal) ends() int {
	j.Helper()
	b, err := os.ReadFile(j.file())
	if err != nil {
		j.Fatal(err)
	}
	return bytes.Count(append([]byte("\n"), b...), []byte("\nE "))
}

// marks are all lines.
func (j *journal) marks() (all []mark) {
	j.Helper()
	b, err := os.ReadFile(j.file())
	if err != nil {
		j.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 5 || !strings.HasSuffix(line, "\n") {
			j.Errorf("a line that no stage writes: %q", line)
			continue
		}
		all = append(all, mark{f[0], f[1], f[2], f[3], f[4]})
	}
	return all
}
