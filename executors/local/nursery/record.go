package nursery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Begun is how an attempt began. Times are milliseconds since the Unix epoch.
type Begun struct {
	ID     string `json:"id"`
	Task   string `json:"task,omitempty"`
	Stage  string `json:"stage,omitempty"`
	Number int32  `json:"n,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
	// Boot, PID and Ticks name the process for good: a pid alone comes again, after a reboot or once it is free.
	Boot  string `json:"boot"`
	PID   int    `json:"pid"`
	Ticks uint64 `json:"ticks"`
	// Pipes are the inodes of the pipes that standard output and error go to.
	Pipes   [2]uint64 `json:"pipes,omitempty"`
	Started int64     `json:"started"`
	// Floor is the file system's clock before the start, in nanoseconds: files with an older time are not of this attempt.
	Floor int64  `json:"floor"`
	Dir   string `json:"dir,omitempty"`
	Note  string `json:"note,omitempty"`
	Want  Want   `json:"want"`
}

// End is how an attempt ended.
type End struct {
	At      int64 `json:"at"`
	Started int64 `json:"started,omitempty"`
	// Exit is the exit status, 128+Signal after a signal.
	Exit   int `json:"exit"`
	Signal int `json:"signal,omitempty"`
	// Stopped is set where the end was asked for. Lost says why the exit status is not known. Refusal says why the command
	// could not be executed. Failed says why nothing was started when the attempt's turn came.
	Stopped bool   `json:"stopped,omitempty"`
	Lost    string `json:"lost,omitempty"`
	Refusal string `json:"refusal,omitempty"`
	Failed  string `json:"failed,omitempty"`
	// Killed counts processes that the program left behind and that were stopped.
	Killed int `json:"killed,omitempty"`
	// CPU is user and system time in milliseconds, MaxRSS the peak memory in bytes, 0 if it is not known.
	CPU    int64 `json:"cpu,omitempty"`
	MaxRSS int64 `json:"rss,omitempty"`

	Result *string           `json:"result,omitempty"`
	Params map[string]string `json:"params,omitempty"`
	// Output says what is wrong with the outputs.
	Output string `json:"output,omitempty"`
	// Note is what people should know besides, such as output that was dropped.
	Note string `json:"note,omitempty"`
}

// Record is all that is known of an attempt: its lines of a state file joined.
type Record struct {
	// ID says whose line it is, as one file serves several attempts, one after the other. Only lines have it.
	ID    string `json:"id,omitempty"`
	Begun *Begun `json:"begun,omitempty"`
	// Stop is when the attempt was first asked to stop, 0 if it was not.
	Stop int64 `json:"stop,omitempty"`
	End  *End  `json:"end,omitempty"`
}

// The names in the data directory, and in an attempt's.
const (
	attemptsName = "attempts"
	endedName    = "ended"

	stateName  = "state"
	scriptName = "script"
	runName    = "run"
	workName   = "work"
	tmpName    = "tmp"
)

// StateFile is the attempt's state file below its directory.
func StateFile(dir string) string { return filepath.Join(dir, stateName) }

// ScriptFile is where the attempt's script is written.
func ScriptFile(dir string) string { return filepath.Join(dir, scriptName) }

// WorkDir is the attempt's own working directory, TmpDir its TMPDIR.
func WorkDir(dir string) string { return filepath.Join(dir, runName, workName) }

// TmpDir is the attempt's TMPDIR.
func TmpDir(dir string) string { return filepath.Join(dir, runName, tmpName) }

// Dir is the directory of an attempt below the data directory. Ids are directory names as they are, unless they hold
// something that a directory's name should not; then it is a hash of the id.
func Dir(data, id string) string { return filepath.Join(data, attemptsName, dirName(id)) }

func dirName(id string) string {
	plain := id != "" && len(id) <= 200 && id[0] != '.' && !strings.HasPrefix(id, "sha256-")
	for i := 0; plain && i < len(id); i++ {
		c := id[i]
		plain = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if plain {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// endedFile is another name of the state file of an attempt that was in dir and left nothing but its record.
func endedFile(dir string) string {
	return filepath.Join(filepath.Dir(dir), "..", endedName, filepath.Base(dir))
}

// known reports whether an attempt in dir was begun, as far as the disk tells.
func known(dir string) bool {
	return unix.Access(dir, unix.F_OK) == nil || unix.Access(endedFile(dir), unix.F_OK) == nil
}

// ReadRecord reads the record of an attempt with the directory dir. The error is fs.ErrNotExist where there is none. Lines
// that cannot be understood, such as one that was cut off by a crash, are passed over.
func ReadRecord(dir string) (*Record, error) {
	b, err := os.ReadFile(StateFile(dir))
	if errors.Is(err, fs.ErrNotExist) { // in this order: it gets its other name before its directory goes
		b, err = os.ReadFile(endedFile(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the attempt's state: %w", err)
	}
	r, name := &Record{}, filepath.Base(dir)
	for {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if !whole {
			return r, nil
		}
		b = rest
		var part Record
		if json.Unmarshal(line, &part) == nil && dirName(part.ID) == name {
			r.join(&part)
		}
	}
}

// join adds what a later line says.
func (r *Record) join(line *Record) {
	if line.Begun != nil {
		r.Begun = line.Begun
	}
	if line.Stop != 0 {
		r.Stop = line.Stop
	}
	if line.End != nil {
		r.End = line.End
	}
}

// Ended reports whether the attempt in dir is known to have ended.
func Ended(dir string) bool {
	r, err := ReadRecord(dir)
	return err == nil && r.End != nil
}

// state is a state file, open for writing.
type state struct {
	f    *os.File
	size int
	// broken is set once a line may not be whole.
	broken bool
}

// createState makes the state file of a new directory.
func createState(dir string) (*state, error) {
	f, err := os.OpenFile(StateFile(dir), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &state{f: f}, nil
}

// openState opens the state file that another nursery has left, if it has.
func openState(dir string) (*state, error) {
	f, err := os.OpenFile(StateFile(dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	// Its last line may have been cut off, and the next one must not be taken for the rest of it.
	if _, err := f.WriteString("\n"); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &state{f: f}, nil
}

// add appends a line in one write. It is not flushed to the disk: the records have to outlive processes, not the machine,
// whose restart ends all attempts anyway (the boot id tells).
func (s *state) add(r *Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	n, err := s.f.Write(append(b, '\n'))
	s.size += n
	s.broken = s.broken || err != nil
	return err
}

func (s *state) close() { _ = s.f.Close() }

func millis(t time.Time) int64 { return t.UnixMilli() }
