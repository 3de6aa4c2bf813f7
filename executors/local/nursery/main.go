package nursery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Hidden is the first argument by which a program is asked to be a nursery; the second is the data directory.
const Hidden = "__clic-nursery"

// EnvChild marks the environment of a nursery's process. A program that finds it and was not diverted by its main would
// start itself again and again.
const EnvChild = "CLIC_NURSERY"

// ready is what a nursery writes to readyFD once it can be connected to, and what it writes if there is one already.
const (
	readyFD   = 3
	readyWord = "ready\n"
	busyWord  = "busy\n"
)

// SocketName and lockName are below the data directory.
func socketName() string { return "nursery-v" + strconv.Itoa(Protocol) + ".sock" }
func lockName() string   { return "nursery-v" + strconv.Itoa(Protocol) + ".lock" }

const logName = "nursery.log"

// maxLog is the size from which the nursery's own log begins anew.
const maxLog = 1 << 20

// IfAsked runs a nursery if the program's arguments ask for one, and reports whether they did; the program should then
// end. It has to come first in main, before flags are parsed.
func IfAsked(args []string) bool {
	if len(args) != 3 || args[1] != Hidden {
		return false
	}
	ready := os.NewFile(readyFD, "ready")
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := serve(args[2], ready, logger); err != nil {
		logger.Error("nursery ended", "pid", os.Getpid(), "error", err)
		if ready != nil {
			fmt.Fprintln(ready, err)
		}
	}
	return true
}

// serve is the life of a nursery.
func serve(data string, ready io.WriteCloser, logger *slog.Logger) error {
	// It lives as long as its attempts, whatever is done to the terminal or the service that it was started from.
	// The signals are caught and left unread, not ignored: programs would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	if err := os.Chdir(data); err != nil {
		return fmt.Errorf("cannot enter the data directory: %w", err)
	}
	lock, err := becomeOnly()
	if err != nil {
		return err
	}
	if lock == nil {
		_, err := io.WriteString(ready, busyWord)
		return errors.Join(err, ready.Close())
	}
	defer func() { _ = lock.Close() }()
	// What an attempt leaves behind becomes the nursery's child, where it can be found.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become a subreaper: %w", err)
	}
	if err := os.Remove(socketName()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot remove the old socket: %w", err)
	}
	var lc net.ListenConfig
	umask := syscall.Umask(0o177) // whoever can connect can run programs as this user
	l, err := lc.Listen(context.Background(), "unix", socketName())
	syscall.Umask(umask)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	n := newNursery(data, logger)
	n.listener = l
	n.inherit()
	if _, err := io.WriteString(ready, readyWord); err != nil {
		logger.Warn("nobody waits for this nursery", "error", err)
	}
	_ = ready.Close()
	n.run()
	return nil
}

// becomeOnly takes the lock of the working directory. It gives nil if another nursery serves it. One that is just ending
// still has the lock and no longer serves: then this one waits for it.
func becomeOnly() (*os.File, error) {
	lock, err := os.OpenFile(lockName(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock: %w", err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return lock, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = lock.Close()
			return nil, fmt.Errorf("cannot take the lock: %w", err)
		}
		var d net.Dialer
		if c, err := d.DialContext(context.Background(), "unix", socketName()); err == nil {
			_ = c.Close()
			_ = lock.Close()
			return nil, nil
		}
		if time.Now().After(deadline) {
			_ = lock.Close()
			return nil, errors.New("another nursery holds the lock and does not answer")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Dial connects to the nursery of a data directory. The path of the socket may be longer than a socket's address may be,
// so it is reached through the directory's descriptor.
func Dial(ctx context.Context, data string) (net.Conn, error) {
	dir, err := os.Open(data)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	var d net.Dialer
	return d.DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(int(dir.Fd()))+"/"+socketName())
}

// Spawn starts a nursery for a data directory: this very program with the hidden arguments. It returns once the nursery
// can be connected to, or another one serves the directory already. The process is this one's child: its pid is given back
// so that it can be reaped some time after its end; 0 if there is nothing to reap.
func Spawn(ctx context.Context, data string) (pid int, err error) {
	logFile, err := openLog(data)
	if err != nil {
		return 0, fmt.Errorf("cannot open the nursery's log: %w", err)
	}
	defer func() { _ = logFile.Close() }()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	// /proc/self/exe is this program even if its file was replaced meanwhile.
	p, err := os.StartProcess("/proc/self/exe", []string{"clic-nursery", Hidden, data}, &os.ProcAttr{
		Env:   append(os.Environ(), EnvChild+"=1"),
		Files: []*os.File{null, null, logFile, w},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	_ = w.Close()
	if err != nil {
		return 0, fmt.Errorf("cannot start a nursery: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now()) })
	defer stop()
	_ = r.SetReadDeadline(time.Now().Add(20 * time.Second))
	word, err := io.ReadAll(io.LimitReader(r, 4096))
	if string(word) == readyWord {
		pid = p.Pid
		return pid, p.Release()
	}
	if err != nil { // it does something else, or nothing
		_ = p.Kill()
	}
	_, _ = p.Wait()
	switch {
	case err != nil:
		return 0, fmt.Errorf("the nursery did not become ready: %w (does main begin with RunShimIfAsked?)", err)
	case string(word) != busyWord:
		return 0, fmt.Errorf("the nursery did not start: %q (see %s)", word, filepath.Join(data, logName))
	}
	return 0, nil
}

func openLog(data string) (*os.File, error) {
	name := filepath.Join(data, logName)
	if info, err := os.Stat(name); err == nil && info.Size() > maxLog {
		if err := os.Truncate(name, 0); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}
