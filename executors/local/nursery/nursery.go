package nursery

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// nursery is the running process's state.
type nursery struct {
	data     string
	boot     string
	log      *slog.Logger
	listener net.Listener

	// mu is also held while a process is forked, so that the reaper never meets a child that is not in byPID yet.
	mu       sync.Mutex
	attempts map[string]*attempt // by id: what lives, or is being looked up
	byPID    map[int]*attempt
	conns    map[*conn]struct{}
	pending  int // requests that are being served
	epoch    uint64
	peak     int64 // this process's peak memory, in bytes, when it was last looked at
	trashed  int
	spares   []spare
	runs     []string // run directories alone
	spared   int
	// held says which attempt writes an output file, and line who waits for one of them, in order.
	held     map[string]*attempt
	line     []*attempt
	quitting bool
	// expecting is set until the first master has come, or long enough was waited for it.
	expecting bool
	look      time.Duration

	// children wakes the reaper when there is something to wait for.
	children chan struct{}
	quit     chan struct{}
	work     sync.WaitGroup // attempts and connections
	buffers  sync.Pool
	// launches bounds how many launches are worked on at once: more only fight for the same locks.
	launches chan struct{}
}

func newNursery(data string, logger *slog.Logger) *nursery {
	return &nursery{
		data: data, boot: bootID(), log: logger,
		attempts: map[string]*attempt{}, byPID: map[int]*attempt{}, held: map[string]*attempt{}, conns: map[*conn]struct{}{},
		children: make(chan struct{}, 1), quit: make(chan struct{}),
		buffers:   sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }},
		launches:  make(chan struct{}, 16),
		expecting: true, look: lookAgain,
	}
}

// inherit reads what an earlier nursery left.
func (n *nursery) inherit() {
	for _, dir := range []string{attemptsName, endedName, "spare", "trash"} {
		if err := os.MkdirAll(filepath.Join(n.data, dir), 0o700); err != nil {
			n.log.Error("cannot make a directory", "error", err)
		}
	}
	if b, err := os.ReadFile("epoch"); err == nil {
		if n.epoch, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err != nil {
			n.log.Error("cannot understand the file epoch", "error", err)
		}
	}
	n.emptyTrash()
	n.findSpares()
	n.adoptAll()
}

// run serves until nobody is connected and nothing is left to watch.
func (n *nursery) run() {
	go n.reap() // ends with the process: it blocks in the kernel, and there is nothing to clean up
	n.work.Go(n.accept)
	// The master that started this one connects within moments. If it dies before it does, nobody may ever come.
	first := time.AfterFunc(10*time.Second, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.expecting = false
		n.endIfIdle()
	})
	defer first.Stop()
	n.lookUntilQuit()
	_ = n.listener.Close()
	n.work.Wait()
}

func (n *nursery) accept() {
	for {
		c, err := n.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			n.log.Error("cannot accept", "error", err)
			select {
			case <-time.After(50 * time.Millisecond): // out of descriptors, most likely
				continue
			case <-n.quit:
				return
			}
		}
		n.mu.Lock()
		if n.quitting {
			n.mu.Unlock()
			_ = c.Close()
			return
		}
		cn := &conn{n: n, c: c, wake: make(chan struct{}, 1), gone: make(chan struct{})}
		n.conns[cn] = struct{}{}
		n.expecting = false
		n.mu.Unlock()
		n.work.Go(cn.read)
		n.work.Go(cn.write)
	}
}

// stale refuses what is of an epoch that is over.
func (n *nursery) stale(epoch uint64) (refusal Response, over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seeEpoch(epoch) {
		return Response{}, false
	}
	return Response{Code: CodeStale, Error: fmt.Sprintf("epoch %d was seen, this is of epoch %d", n.epoch, epoch)}, true
}

// seeEpoch reports whether the epoch is in force, and remembers the highest. n.mu is held.
func (n *nursery) seeEpoch(epoch uint64) bool {
	if epoch < n.epoch {
		return false
	}
	if epoch > n.epoch {
		n.epoch = epoch
		err := os.WriteFile("epoch.new", []byte(strconv.FormatUint(epoch, 10)+"\n"), 0o600)
		if err == nil {
			err = os.Rename("epoch.new", "epoch")
		}
		if err != nil {
			n.log.Error("cannot write down the epoch", "error", err)
		}
	}
	return true
}

// forget drops what is kept of attempts that have ended.
func (n *nursery) forget(ids []string) {
	for _, id := range ids {
		trash, err := n.discard(id)
		if err = errors.Join(err, removeAll(trash)); err != nil {
			n.log.Error("cannot remove what is kept of an attempt", "attempt", id, "error", err)
		}
	}
}

// discard moves what is kept of an attempt to trash, unless the attempt is alive: at once, under the lock, so that a launch of the
// same id meets all of it or nothing.
func (n *nursery) discard(id string) (trash string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trashed++
	trash = filepath.Join("trash", itoa(os.Getpid())+"-"+itoa(n.trashed))
	for a := n.attempts[id]; a != nil; a = n.attempts[id] {
		wait := a.over
		if wait == nil {
			select {
			case <-a.settled:
				return trash, nil
			default: // somebody just looks it up
				wait = a.settled
			}
		}
		n.mu.Unlock()
		<-wait
		n.mu.Lock()
	}
	dir := filepath.Join(attemptsName, dirName(id))
	n.spares = slices.DeleteFunc(n.spares, func(s spare) bool {
		if s.dir == dir {
			s.close()
		}
		return s.dir == dir
	})
	return trash, errors.Join(gone(syscall.Rename(dir, trash)), gone(syscall.Unlink(endedFile(dir))))
}

// gone is the error of a removal, unless there was nothing to remove.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (n *nursery) emptyTrash() {
	entries, err := os.ReadDir("trash")
	if err != nil {
		return
	}
	for _, e := range entries {
		if err := removeAll(filepath.Join("trash", e.Name())); err != nil {
			n.log.Error("cannot empty the trash", "error", err)
		}
	}
}

// removeAll is os.RemoveAll for trees with directories that their owner may not write to, such as Go's module cache.
func removeAll(root string) error {
	if err := os.RemoveAll(root); err == nil {
		return nil
	}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(name, 0o700)
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(root))
}
