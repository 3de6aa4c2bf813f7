package chaos

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// journalName is the file in which all attempts of a site write down what they do, where no master sees it.
const journalName = "journal"

// What stands in the journal: a letter, the stage, the attempt, and a word. The lines of all attempts are in one file, each
// appended in one write, so that their order is the order in which these things happened, without any clock.
const (
	markStart    = 'S' // the process id
	markPrepared = 'P' // about to tell the master that its data are there
	markEnd      = 'E' // the exit status
	markRepeated = 'R' // how often a report had to be sent again
)

// mark is a line of the journal.
type mark struct {
	verb    byte
	stage   string
	attempt int32
	word    string
}

// id names the attempt.
func (m mark) id() string { return attemptID(m.stage, m.attempt) }

func attemptID(stage string, attempt int32) string { return fmt.Sprint(stage, " ", attempt) }

// journal reads the journal of a site, as far as it was written. Any goroutine may ask.
type journal struct {
	file string

	mu     sync.Mutex
	offset int64
	all    []mark
	starts map[string]int // per stage
	bad    []string       // lines that nobody should have written
}

func newJournal(t testing.TB, dir string) *journal {
	t.Helper()
	j := &journal{file: filepath.Join(dir, journalName), starts: map[string]int{}}
	if err := os.WriteFile(j.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return j
}

// marks gives everything up to now. The slice is not changed later.
func (j *journal) marks() []mark {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.read()
	return j.all[:len(j.all):len(j.all)]
}

// started is how often a stage was started.
func (j *journal) started(stage string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.read()
	return j.starts[stage]
}

// read takes in what was written since it was called last.
func (j *journal) read() {
	f, err := os.Open(j.file)
	if err != nil {
		j.bad = append(j.bad, err.Error())
		return
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, j.offset, 1<<40))
	if err != nil {
		j.bad = append(j.bad, err.Error())
		return
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // the rest is still being written
	j.offset += int64(len(text))
	for line := range strings.Lines(string(text)) {
		m, ok := parseMark(strings.TrimSuffix(line, "\n"))
		if !ok {
			j.bad = append(j.bad, fmt.Sprintf("the journal has the line %q", line))
			continue
		}
		if m.verb == markStart {
			j.starts[m.stage]++
		}
		j.all = append(j.all, m)
	}
}

func parseMark(line string) (m mark, ok bool) {
	w := strings.Split(line, " ")
	if len(w) != 4 || len(w[0]) != 1 || w[1] == "" {
		return m, false
	}
	n, err := strconv.ParseInt(w[2], 10, 32)
	if err != nil {
		return m, false
	}
	m = mark{verb: w[0][0], stage: w[1], attempt: int32(n), word: w[3]}
	return m, strings.IndexByte("SPER", m.verb) >= 0
}

// count says how often each attempt has written a mark, and what the word of the last one was.
func (j *journal) count(verb byte) (times map[string]int, word map[string]string) {
	times, word = map[string]int{}, map[string]string{}
	for _, m := range j.marks() {
		if m.verb == verb {
			times[m.id()]++
			word[m.id()] = m.word
		}
	}
	return times, word
}

// alive lists the attempts that have begun and not ended.
func (j *journal) alive() map[string]bool {
	alive := map[string]bool{}
	for _, m := range j.marks() {
		switch m.verb {
		case markStart:
			alive[m.id()] = true
		case markEnd:
			delete(alive, m.id())
		}
	}
	return alive
}

// wait waits until the journal is as wanted, for so long at most, and reports whether it is.
func (j *journal) wait(longest time.Duration, wanted func() bool) bool {
	for end := time.Now().Add(longest); ; time.Sleep(time.Millisecond) {
		if wanted() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// await waits until so many more lines were written, for so long at most.
func (j *journal) await(more int, longest time.Duration) {
	wanted := len(j.marks()) + more
	j.wait(longest, func() bool { return len(j.marks()) >= wanted })
}

// wrong says which lines should not be there.
func (j *journal) wrong() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.read()
	if left, err := os.Stat(j.file); err == nil && left.Size() != j.offset {
		return append(j.bad, "the last line of the journal has no end")
	}
	return j.bad
}
