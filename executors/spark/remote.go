package spark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// remote is the executor of mode standalone-cluster: a standalone master is told over its REST server to run drivers, and asked for
// their state. There are no events, so it is asked in a period; and a submission cannot be named, so each is recorded before and after
// it is made, and one whose answer was lost is looked for among the master's drivers.
type remote struct {
	cfg    Config
	client *http.Client
	master *restMaster
	ledger *ledger
	signs  []sign
	// asks: drivers are asked for their progress.
	asks bool

	mu     sync.Mutex
	closed bool
	epoch  uint64
	live   map[string]*submission

	sink   executors.Sink
	ctx    context.Context //nolint:containedctx // the life of what Start starts
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// submission is an attempt that has not ended.
type submission struct {
	// one launch of an attempt at a time
	turn sync.Mutex
	id   string
	// driver is the master's name for it; "" until it was submitted.
	driver    string
	cancelled bool
	said      string
	// since is when it was first seen to run.
	since time.Time
	// pages are the driver's, once they are found; told is what is known of it for people.
	pages finder
	told  string
}

func newRemote(c Config) (executors.Executor, error) {
	l, err := openLedger(c.StateDir)
	if err != nil {
		return nil, fmt.Errorf("cannot configure the Spark executor: %w", err)
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second}}
	asks := c.Poll > 0
	if !asks {
		c.Poll = 5 * time.Second // the state has to be asked for
	}
	r := &remote{
		cfg: c, asks: asks, client: client, master: &restMaster{rest: c.RESTURL, page: c.MasterUI, client: client}, ledger: l, signs: signs(),
		live: map[string]*submission{}, epoch: l.epoch(),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Start begins to ask for the state of drivers. See executors.Executor.
func (r *remote) Start(_ context.Context, sink executors.Sink) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return executors.ErrClosed
	case r.sink != nil:
		return nil
	}
	r.sink = sink
	r.work.Go(r.poll)
	return nil
}

// poll asks for the state of all drivers, again and again.
func (r *remote) poll() {
	for sleep(r.ctx, r.cfg.Poll) {
		r.mu.Lock()
		all := make([]*submission, 0, len(r.live))
		for _, s := range r.live {
			all = append(all, s)
		}
		r.mu.Unlock()
		var round sync.WaitGroup
		slots := make(chan struct{}, lookers)
		for _, s := range all {
			slots <- struct{}{}
			round.Go(func() {
				defer func() { <-slots }()
				r.look(s)
			})
		}
		round.Wait()
	}
}

// lookers is how many drivers are asked for at the same time, so that one that does not answer does not hide the others.
const lookers = 8

// look reports the state of a driver. A master that does not answer says nothing of it.
func (r *remote) look(s *submission) {
	r.mu.Lock()
	driver, cancelled := s.driver, s.cancelled
	r.mu.Unlock()
	if driver == "" {
		return
	}
	st, err := r.master.status(r.ctx, driver)
	if err != nil {
		return
	}
	seen := st.sight(driver, cancelled)
	if seen.Phase == dag.AttemptRunning {
		if s.since.IsZero() {
			s.since = time.Now()
		}
		seen.Started = s.since
		r.progress(s, &seen)
	}
	r.say(s, seen)
}

// progress asks a driver how far it is, if it can be reached.
func (r *remote) progress(s *submission, seen *executors.Sighting) {
	if s.told != "" {
		seen.Info += "; " + s.told
	}
	if !r.asks || r.cfg.MasterUI == "" {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, callTime)
	defer cancel()
	if s.pages.get == nil && !r.findPages(ctx, s) {
		return
	}
	jobs, count, err := s.pages.look(ctx)
	if err != nil {
		s.pages.get = nil
		return
	}
	waits := ""
	if count == 0 && idle(jobs) {
		waits = noRoom
	}
	seen.Progress = summary(jobs, count, waits)
}

// findPages looks for the pages of a driver among those of the applications that run.
func (r *remote) findPages(ctx context.Context, s *submission) bool {
	pages, err := r.master.pages(ctx, s.id)
	if err != nil {
		return false
	}
	for _, page := range pages {
		get := direct(r.client, page)
		if app, err := applicationOf(ctx, get, s.id); err == nil {
			s.pages = finder{get: get, app: app, page: page}
			s.told = "application " + app + ", UI " + page
			return true
		}
	}
	return false
}

func (r *remote) say(s *submission, seen executors.Sighting) {
	seen.AttemptID, seen.At = s.id, time.Now()
	ends := seen.Phase == dag.AttemptSucceeded || seen.Phase == dag.AttemptFailed || seen.Phase == dag.AttemptStopped
	text := fmt.Sprint(seen.Phase, seen.Reason, seen.Info)
	if seen.Progress != nil {
		text += fmt.Sprint(*seen.Progress)
	}
	r.mu.Lock()
	twice := s.said == text
	s.said = text
	r.mu.Unlock()
	if twice && !ends {
		return
	}
	if seen.Phase == dag.AttemptFailed {
		seen.Failure = explain(r.ctx, r.Logs, s.id, seen.Failure, r.signs)
	}
	if err := r.sink(r.ctx, seen); err != nil || !ends {
		return
	}
	r.mu.Lock()
	if r.live[s.id] == s {
		delete(r.live, s.id)
	}
	r.mu.Unlock()
}

// Launch submits the application, unless that was done. See executors.Executor.
func (r *remote) Launch(ctx context.Context, a executors.Attempt) error {
	if err := r.launch(ctx, a); err != nil {
		if errors.Is(err, executors.ErrNever) {
			return fmt.Errorf("attempt %q %w", a.ID, err)
		}
		return fmt.Errorf("cannot launch attempt %q: %w", a.ID, err)
	}
	return nil
}

func (r *remote) launch(ctx context.Context, a executors.Attempt) error {
	request, err := r.cfg.request(a)
	if err != nil {
		return err
	}
	r.mu.Lock()
	switch {
	case r.closed:
		r.mu.Unlock()
		return executors.ErrClosed
	case a.Epoch < r.epoch:
		r.mu.Unlock()
		return executors.ErrStale
	}
	s := r.live[a.ID]
	if s == nil {
		s = &submission{id: a.ID}
		r.live[a.ID] = s
	}
	s.said = ""
	r.mu.Unlock()
	s.turn.Lock()
	defer s.turn.Unlock()
	driver, err := r.submitOnce(ctx, a, request)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if s.driver == "" && r.live[a.ID] == s {
			delete(r.live, a.ID)
		}
		return err
	}
	s.driver = driver
	if s.cancelled && !r.closed { // meanwhile
		r.work.Go(func() { _ = r.master.kill(r.ctx, driver) })
	}
	return nil
}

// submitOnce gives the driver of an attempt, and makes it where there is none.
func (r *remote) submitOnce(ctx context.Context, a executors.Attempt, request *createRequest) (string, error) {
	rec, known, err := r.ledger.read(a.ID)
	if err != nil {
		return "", err
	}
	if known && rec.Driver != "" {
		return rec.Driver, nil
	}
	if known { // the one before us may have submitted it, and not have lived to hear of it
		driver, err := r.awaitLost(ctx, rec)
		if err != nil {
			return "", err
		}
		if driver != "" {
			return driver, r.settled(rec, driver)
		}
	}
	rec = record{Attempt: a.ID, MainClass: request.MainClass, Epoch: a.Epoch, Asked: time.Now()}
	if err := r.ledger.write(rec); err != nil {
		return "", err
	}
	driver, err := r.master.create(ctx, request)
	var refused *refusedError
	switch {
	case err == nil:
		return driver, r.settled(rec, driver)
	case errors.As(err, &refused):
		return "", errors.Join(never("the standalone master refuses it: %w", err), r.ledger.drop(a.ID))
	case notSent(err):
		return "", errors.Join(fmt.Errorf("%w: the standalone master cannot be reached: %w", executors.ErrAway, err), r.ledger.drop(a.ID))
	}
	// The answer was lost: the driver may be there.
	switch driver, problem := r.awaitLost(ctx, rec); {
	case problem != nil:
		return "", errors.Join(problem, err) // it stays recorded
	case driver != "":
		return driver, r.settled(rec, driver)
	}
	return "", errors.Join(err, r.ledger.drop(a.ID))
}

// takingTime is how long a standalone master may need to take a submission that has reached it: nothing says that one is on its way.
const takingTime = 20 * time.Second

// awaitLost looks for the driver of a submission whose answer was lost, for as long as the standalone master may be taking it.
func (r *remote) awaitLost(ctx context.Context, rec record) (string, error) {
	until := time.Now().Add(min(takingTime, time.Until(rec.Asked.Add(takingTime))))
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		driver, err := r.findLost(ctx, rec)
		if driver != "" || err != nil || !time.Now().Before(until) {
			return driver, err
		}
		if !sleep(ctx, wait) {
			return "", ctx.Err()
		}
	}
}

func (r *remote) settled(rec record, driver string) error {
	rec.Driver = driver
	return r.ledger.write(rec)
}

// findLost looks among the master's drivers for one whose submission was recorded, and its answer was not: one of the same class, not
// older than the record, and nobody else's.
func (r *remote) findLost(ctx context.Context, rec record) (string, error) {
	if r.cfg.MasterUI == "" {
		return "", never("it is not known whether it was submitted, because the address of the master's page is not configured; " +
			"look there, and retry the stage")
	}
	drivers, err := r.master.drivers(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: cannot tell whether it was submitted: %w", executors.ErrAway, err)
	}
	taken, err := r.ledger.drivers()
	if err != nil {
		return "", err
	}
	found := rec.candidates(drivers, taken)
	if len(found) > 1 {
		r.cfg.Logger.Warn("several drivers may be the attempt's; the first is taken", "attempt", rec.Attempt, "drivers", found)
	}
	if len(found) == 0 {
		return "", nil
	}
	return found[0], nil
}

// Cancel kills the driver. See executors.Executor.
func (r *remote) Cancel(ctx context.Context, attemptID string, _ time.Duration) error {
	r.mu.Lock()
	s := r.live[attemptID]
	if s == nil {
		s = &submission{id: attemptID}
		if rec, known, err := r.ledger.read(attemptID); err == nil && known {
			s.driver = rec.Driver
		}
		r.live[attemptID] = s
	}
	s.cancelled, s.said = true, ""
	driver := s.driver
	r.mu.Unlock()
	if driver == "" {
		if !s.turn.TryLock() {
			return nil // it is being submitted; whoever does so kills it then
		}
		s.turn.Unlock()
		r.say(s, executors.Sighting{Phase: dag.AttemptStopped, Info: "nothing was running"})
		return nil
	}
	return r.master.kill(ctx, driver)
}

// Recover adopts drivers, and kills those that nobody asks for. See executors.Executor.
func (r *remote) Recover(ctx context.Context, epoch uint64, attempts []executors.Attempt) error {
	r.mu.Lock()
	if epoch < r.epoch {
		r.mu.Unlock()
		return fmt.Errorf("cannot recover attempts: %w", executors.ErrStale)
	}
	r.epoch = epoch
	r.mu.Unlock()
	if err := r.ledger.setEpoch(epoch); err != nil {
		return fmt.Errorf("cannot recover attempts: %w", err)
	}
	wanted := map[string]bool{}
	for _, a := range attempts {
		wanted[a.ID] = true
		if err := r.adopt(ctx, a.ID); err != nil {
			return fmt.Errorf("cannot recover attempt %q: %w", a.ID, err)
		}
	}
	records, err := r.ledger.all()
	if err != nil {
		return fmt.Errorf("cannot recover attempts: %w", err)
	}
	for _, rec := range records {
		if !wanted[rec.Attempt] && rec.Driver != "" && rec.Epoch <= epoch {
			if err := r.master.kill(ctx, rec.Driver); err != nil {
				r.cfg.Logger.Warn("cannot kill a driver that nobody asked for", "driver", rec.Driver, "error", err)
			}
		}
	}
	return nil
}

func (r *remote) adopt(ctx context.Context, id string) error {
	rec, known, err := r.ledger.read(id)
	if err != nil {
		return err
	}
	if known && rec.Driver == "" {
		driver, err := r.awaitLost(ctx, rec)
		if err != nil && !errors.Is(err, executors.ErrNever) {
			return err
		}
		if driver != "" {
			if err := r.settled(rec, driver); err != nil {
				return err
			}
		}
		rec.Driver = driver
	}
	s := &submission{id: id, driver: rec.Driver}
	r.mu.Lock()
	if have := r.live[id]; have != nil {
		s = have
	} else {
		r.live[id] = s
	}
	r.mu.Unlock()
	if rec.Driver == "" {
		r.say(s, executors.Sighting{Phase: dag.AttemptFailed, Failure: dag.NewFailure(dag.FailLost, 0, "it was never submitted, as far as is known")})
	}
	return nil
}

// Logs are the driver's, by way of the worker that it runs on. See executors.Executor.
func (r *remote) Logs(ctx context.Context, attemptID string, o executors.LogOptions) (io.ReadCloser, error) {
	rec, known, err := r.ledger.read(attemptID)
	if err != nil {
		return nil, err
	}
	if !known || rec.Driver == "" {
		return nil, executors.ErrNoLogs
	}
	return r.driverLog(ctx, attemptID, rec.Driver, o)
}

// Forget drops the records of attempts that have ended. See executors.Executor.
func (r *remote) Forget(_ context.Context, attemptIDs []string) error {
	var errs []error
	for _, id := range attemptIDs {
		r.mu.Lock()
		_, runs := r.live[id]
		r.mu.Unlock()
		if !runs {
			errs = append(errs, r.ledger.drop(id))
		}
	}
	return errors.Join(errs...)
}

// Stop ends the asking. Drivers run on. See executors.Executor.
func (r *remote) Stop(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.cancel()
	r.mu.Unlock()
	done := make(chan struct{})
	go func() {
		r.work.Wait()
		r.client.CloseIdleConnections()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot stop the Spark executor in time: %w", ctx.Err())
	}
}
