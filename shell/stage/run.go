package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// linger is how long processes that the program left behind may go on after its end, before they get TERM, and again as long
// before they are killed; drainTime how long the rest of its output is waited for after that.
const (
	linger    = 500 * time.Millisecond
	drainTime = time.Second
)

// shortPatience is for how long the completion is posted where the executor learns everything from the termination message:
// the container should not wait for a master that is away.
const shortPatience = 5 * time.Second

// runner runs one program.
type runner struct {
	*Process
	options Options
	reports *reports // nil: nobody is told
	dir     string   // where the program leaves notes, or ""
	message message

	stops, others chan os.Signal
	// asked is closed by the master's wish that the program stop.
	asked    chan struct{}
	program  *program // nil until it was started
	ended    bool     // the program itself has ended
	stopping bool
	kill     *time.Timer // runs once stopping
	giveUp   func()      // ends what waits for the master
	capture  *capture
}

// run starts the program and sees it to its end. It gives the exit status that it had.
func (p *Process) run(args []string) (int, error) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return 0, usagef("usage: clic-stage run [--] COMMAND [ARG...]")
	}
	r := &runner{
		Process: p, stops: make(chan os.Signal, 8), others: make(chan os.Signal, 64), asked: make(chan struct{}),
		kill: time.NewTimer(time.Hour), giveUp: func() {},
	}
	r.kill.Stop()
	var err error
	if r.options, err = ParseOptions(p.getenv(EnvOptions)); err != nil {
		r.message.Error = err.Error()
	}
	if r.reports, err = newReports(p); err != nil {
		r.reports = nil
	}
	r.listen()
	adoptOrphans()
	r.dir = makeNotes()
	defer r.tidy()
	path, err := find(args[0])
	if err != nil {
		return r.refused(err), nil
	}
	outputs := newCollector(&r.options, r.dir, installed())
	if err := r.start(path, args); err != nil {
		return r.refused(err), nil
	}
	reported := r.live()
	end := r.untilExit()
	left := r.sweep()
	r.drain()
	r.note(reported())
	r.tell(&end, outputs, left)
	r.finish()
	return r.message.Exit, nil
}

// listen has signals sent here instead of ending the helper. SIGPIPE is only caught, so that the program has the usual one;
// SIGCHLD says nothing that the reaper does not know, and SIGURG is the Go runtime's own.
func (r *runner) listen() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signal.Notify(r.stops, syscall.SIGTERM, syscall.SIGINT)
	others := []os.Signal{
		syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGVTALRM,
		syscall.SIGCONT, syscall.SIGWINCH, syscall.SIGABRT, syscall.SIGIO, syscall.SIGPWR,
	}
	const firstRealtime, lastRealtime = 34, 64 // those of the C library's use are left alone
	for n := firstRealtime; n <= lastRealtime; n++ {
		others = append(others, syscall.Signal(n))
	}
	signal.Notify(r.others, others...)
}

// installed is when the helper was put into this pod.
func installed() time.Time {
	name, err := os.Executable()
	if err != nil {
		return time.Time{}
	}
	if s, ok := stampOf(name); ok {
		return time.Unix(0, s.ctime)
	}
	return time.Time{}
}

// makeNotes makes the directory for the program's notes: beside the helper, which is on a volume where it was installed, or
// where temporary files are. "" if nothing can be written anywhere.
func makeNotes() string {
	for _, base := range []string{filepath.Dir(executable()), os.TempDir()} {
		dir, err := os.MkdirTemp(base, ".clic-stage-")
		if err != nil {
			continue
		}
		// The program may change its user.
		if err := makeOpenDir(dir); err == nil {
			return dir
		}
	}
	return ""
}

func executable() string {
	name, err := os.Executable()
	if err != nil {
		return ""
	}
	return name
}

func (r *runner) tidy() {
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// start starts the program.
func (r *runner) start(path string, argv []string) error {
	stdout := 1
	if r.options.Result {
		c, err := newCapture(r.options.ResultLimit)
		if err != nil {
			return err
		}
		r.capture, stdout = c, c.write
	}
	program, err := start(path, argv, r.environment(), stdout)
	if r.capture != nil {
		r.capture.begun()
		go r.capture.pump()
	}
	if err != nil {
		return err
	}
	r.program = program
	go program.reap()
	return nil
}

// environment is the program's: the container's own, the directory of notes, the helper at the end of PATH, and a TMPDIR where
// there is none in which it could write.
func (r *runner) environment() []string {
	env := r.Env
	if r.dir != "" {
		env = setenv(env, EnvDir, r.dir)
	}
	if path := r.getenv("PATH"); path != "" {
		if dir := filepath.Dir(executable()); filepath.Base(executable()) == helperName {
			env = setenv(env, "PATH", path+string(filepath.ListSeparator)+dir)
		}
	}
	if r.dir != "" && r.getenv("TMPDIR") == "" && unix.Access("/tmp", unix.W_OK) != nil {
		temp := filepath.Join(r.dir, tempName)
		if makeOpenDir(temp) == nil {
			env = setenv(env, "TMPDIR", temp)
		}
	}
	return env
}

// live tells the master that the program runs. The function that it gives ends that, and says what went wrong.
func (r *runner) live() func() error {
	if r.reports == nil {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	var once sync.Once
	asked := r.asked
	go func() {
		result <- r.reports.live(ctx, &r.options, func() { once.Do(func() { close(asked) }) })
	}()
	return func() error {
		cancel()
		// A start that is just being posted is overtaken by the completion.
		if err := <-result; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
}

// wait handles what comes from outside until done is closed or limit is over; it reports which.
func (r *runner) wait(done <-chan struct{}, limit time.Duration) bool {
	var late <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	for {
		select {
		case <-done:
			return true
		case <-late:
			return false
		case sig := <-r.stops:
			r.stop(sig)
		case <-r.asked:
			r.asked = nil
			r.stop(syscall.SIGTERM)
		case sig := <-r.others:
			if !r.ended {
				r.program.signal(sig)
			}
		case <-r.kill.C:
			r.signalAll(syscall.SIGKILL)
			r.giveUp()
		}
	}
}

// stop tells all processes to end, and has what is left of them killed when the grace is nearly over.
func (r *runner) stop(sig os.Signal) {
	s, ok := sig.(syscall.Signal)
	if !ok {
		return
	}
	if !r.stopping {
		r.stopping = true
		r.kill.Reset(r.options.killAfter())
	}
	r.signalAll(s)
	if s == syscall.SIGTERM {
		r.signalAll(syscall.SIGCONT) // what is stopped cannot end
	}
}

func (r *runner) signalAll(sig syscall.Signal) int {
	if r.program == nil {
		return 0
	}
	return signalAll(r.program.pid, !r.ended, sig)
}

// untilExit waits for the program's own end.
func (r *runner) untilExit() ending {
	done := make(chan struct{})
	var e ending
	go func() {
		e = <-r.program.exited
		close(done)
	}()
	r.wait(done, 0)
	r.ended = true
	select {
	case sig := <-r.stops: // it came first, and to the program by another way
		r.stop(sig)
	default:
	}
	r.message.Stopped = r.stopping
	return e
}

// sweep lets what the program left running end, and tells it to if it does not. It says how many processes it had to stop.
// Those that do not end by then end with the container.
func (r *runner) sweep() (left int) {
	if r.wait(r.program.gone, linger) {
		return 0
	}
	left = r.signalAll(syscall.SIGTERM)
	r.signalAll(syscall.SIGCONT)
	if r.wait(r.program.gone, linger) {
		return left
	}
	for range 5 { // what is forked while it is being killed is met in the next round
		r.signalAll(syscall.SIGKILL)
		if r.wait(r.program.gone, 200*time.Millisecond) {
			break
		}
	}
	return left
}

// drain waits for the rest of the output.
func (r *runner) drain() {
	if r.capture == nil {
		return
	}
	if !r.wait(r.capture.done, drainTime) {
		r.capture.giveUp()
		r.wait(r.capture.done, drainTime)
	}
}

// note keeps what people may want to know.
func (r *runner) note(err error) {
	if err == nil {
		return
	}
	text := fmt.Sprintf("the master was not told: %v", err)
	if r.message.Info != "" {
		text = r.message.Info + "; " + text
	}
	r.message.Info = text
}
