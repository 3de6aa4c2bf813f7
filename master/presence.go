package master

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// presenceFile tells people, and a second master that finds the directory locked, who uses it. It locks nothing itself.
const presenceFile = "master.json"

// presence is who uses a data directory.
type presence struct {
	PID     int       `json:"pid"`
	Address string    `json:"address,omitempty"`
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started"`
}

// String is for messages.
func (p presence) String() string {
	s := fmt.Sprintf("process %d", p.PID)
	if p.Address != "" {
		s += ", listening on " + p.Address
	}
	return s
}

// announce writes who uses the directory.
func (m *Master) announce(dir string) error {
	p := presence{PID: os.Getpid(), Version: m.cfg.Version, Started: time.Now()}
	if a := m.Addr(); a != nil {
		p.Address = a.String()
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, presenceFile), append(b, '\n')); err != nil {
		return fmt.Errorf("cannot write who uses the data directory: %w", err)
	}
	return nil
}

// withdraw removes what announce wrote. What is left behind after a crash misleads nobody: it is only read by masters that
// find the directory locked.
func withdraw(dir string) {
	_ = os.Remove(filepath.Join(dir, presenceFile))
}

func readPresence(dir string) (p presence, ok bool) {
	b, err := os.ReadFile(filepath.Join(dir, presenceFile))
	if err != nil || json.Unmarshal(b, &p) != nil || p.PID == 0 {
		return presence{}, false
	}
	return p, true
}

// lockName is the file that is locked for as long as a master uses the directory.
const lockName = "master.lock"

// lockFile takes a lock that ends with the process, or when the file is closed: for itself, or together with others that
// share it. ErrInUse if another process is in the way.
func lockFile(name string, share bool) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if share {
		how = syscall.LOCK_SH
	}
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	return nil, errors.Join(err, f.Close())
}

// A master that was killed keeps its lock until the system has taken its memory apart. A supervisor that starts the next
// one at once should not see that as a second master.
const (
	lockPatience = 10 * time.Second
	lockInterval = 20 * time.Millisecond
)

// lockSoon is lockFile, but waits for a holder that is on its way out.
func lockSoon(name, dir string, share bool) (*os.File, error) {
	tick := time.NewTicker(lockInterval)
	defer tick.Stop()
	for end := time.Now().Add(lockPatience); ; <-tick.C {
		lock, err := lockFile(name, share)
		if !errors.Is(err, ErrInUse) || time.Now().After(end) {
			return lock, err
		}
		if p, ok := readPresence(dir); !ok || !leaving(p.PID) {
			return nil, err
		}
	}
}

// leaving reports whether a process is ending or gone, by the third and ninth field of /proc/PID/stat (proc(5)): its state
// and its flags, of which 4 is the kernel's PF_EXITING.
func leaving(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name in parentheses may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return fields[0] == "Z" || fields[0] == "X" || err == nil && flags&4 != 0
}

// keyFile holds the secret by which tokens of attempts are made and checked, over restarts.
const keyFile = "token.key"

// tokenKeySize is the secret's length in bytes.
const tokenKeySize = 32

// tokenKey reads the secret, or makes it.
func tokenKey(dir string) ([]byte, error) {
	file := filepath.Join(dir, keyFile)
	key, err := os.ReadFile(file)
	if err == nil && len(key) == tokenKeySize {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the token key: %w", err)
	}
	key = make([]byte, tokenKeySize)
	rand.Read(key) // never fails: see crypto/rand
	if err := replaceFile(file, key); err != nil {
		return nil, fmt.Errorf("cannot write the token key: %w", err)
	}
	return key, nil
}

// replaceFile writes a file whole or not at all, readable for its owner only.
func replaceFile(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
