package spark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ledger keeps, in a directory, which drivers are whose. A record is written before a submission and completed after it.
type ledger struct{ dir string }

// record is what is known of the submission of an attempt.
type record struct {
	Attempt   string `json:"attempt"`
	MainClass string `json:"mainClass"`
	Epoch     uint64 `json:"epoch"`
	// Asked is when it was about to be submitted; Driver the master's answer, "" while there is none.
	Asked  time.Time `json:"asked"`
	Driver string    `json:"driver,omitempty"`
}

func openLedger(dir string) (*ledger, error) {
	if err := os.MkdirAll(filepath.Join(dir, "submissions"), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of submissions: %w", err)
	}
	return &ledger{dir}, nil
}

func (l *ledger) file(attemptID string) string {
	return filepath.Join(l.dir, "submissions", dnsName(attemptID, 100)+"-"+digest(attemptID, 10)+".json")
}

func (l *ledger) read(attemptID string) (record, bool, error) {
	return readRecord(l.file(attemptID))
}

func readRecord(file string) (rec record, known bool, err error) {
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return rec, false, nil
	case err != nil:
		return rec, false, fmt.Errorf("cannot read the record of a submission: %w", err)
	}
	if err := json.Unmarshal(b, &rec); err != nil {
		return rec, false, fmt.Errorf("cannot read the record of a submission %s: %w", file, err)
	}
	return rec, true, nil
}

// write keeps a record: it survives a crash of this process once write has returned.
func (l *ledger) write(rec record) error {
	b, err := json.Marshal(rec)
	if err == nil {
		err = replace(l.file(rec.Attempt), b)
	}
	if err != nil {
		return fmt.Errorf("cannot record a submission: %w", err)
	}
	return nil
}

// replace writes a file in one step.
func replace(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone where the rename was carried out
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

func (l *ledger) drop(attemptID string) error {
	if err := os.Remove(l.file(attemptID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the record of a submission: %w", err)
	}
	return nil
}

func (l *ledger) all() ([]record, error) {
	files, err := filepath.Glob(filepath.Join(l.dir, "submissions", "*.json"))
	if err != nil {
		return nil, err
	}
	var all []record
	for _, file := range files {
		rec, known, err := readRecord(file)
		if err != nil {
			return nil, err
		}
		if known {
			all = append(all, rec)
		}
	}
	return all, nil
}

// drivers are those that have an owner.
func (l *ledger) drivers() (map[string]bool, error) {
	all, err := l.all()
	taken := map[string]bool{}
	for _, rec := range all {
		taken[rec.Driver] = true
	}
	return taken, err
}

func (l *ledger) epoch() uint64 {
	b, err := os.ReadFile(filepath.Join(l.dir, "epoch"))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n
}

func (l *ledger) setEpoch(n uint64) error {
	if err := replace(filepath.Join(l.dir, "epoch"), []byte(strconv.FormatUint(n, 10)+"\n")); err != nil {
		return fmt.Errorf("cannot record the epoch: %w", err)
	}
	return nil
}

// clockSkew is how much the master's clock may be behind ours.
const clockSkew = 10 * time.Second

// candidates are the drivers that can be the one of a record whose answer was lost, oldest first. It is a pure function.
func (r record) candidates(drivers []masterDriver, taken map[string]bool) []string {
	var found []masterDriver
	for _, d := range drivers {
		if d.MainClass == r.MainClass && !taken[d.ID] && !d.started().Before(r.Asked.Add(-clockSkew)) {
			found = append(found, d)
		}
	}
	slices.SortFunc(found, func(a, b masterDriver) int { return a.started().Compare(b.started()) })
	ids := make([]string, 0, len(found))
	for _, d := range found {
		ids = append(ids, d.ID)
	}
	return ids
}
