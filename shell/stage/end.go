package stage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/master"
)

// errorName is the file of what `clic-stage error` says.
const errorName = "error"

// tell fills in the message once everything has ended.
func (r *runner) tell(e *ending, c *collector, left int) {
	m := &r.message
	m.Exit, m.Started, m.Usage = e.code(), r.program.started.UnixMilli(), r.program.used(e)
	var why []string
	if e.unknown {
		why = append(why, "the system does not tell how it ended")
	} else if e.status.Signaled() {
		sig := e.status.Signal()
		m.Signal = fmt.Sprintf("%d (%s)", int(sig), sig)
		text := "ended by signal " + m.Signal
		if sig == syscall.SIGKILL && !r.stopping {
			text += " that was not sent from here: the system may have run out of memory, or somebody killed it"
		}
		why = append(why, text)
	}
	if left > 0 && !m.Stopped {
		m.Info = strings.TrimPrefix(m.Info+fmt.Sprintf("; stopped %d process(es) that it left running", left), "; ")
	}
	if m.Exit != 0 {
		if own := r.ownWords(); own != "" {
			why = append(why, own)
		}
		m.Error = strings.Join(why, ": ")
	}
	if m.Stopped {
		return // what it has written until then is not its output
	}
	if wrong := r.collect(c); wrong != "" && m.Exit == 0 {
		m.Error = strings.TrimPrefix(m.Error+"; "+wrong, "; ")
	}
}

// collect reads the outputs, and says what is wrong with them.
func (r *runner) collect(c *collector) string {
	var wrong []string
	var out outputs
	if r.capture != nil {
		result, err := r.capture.result()
		if err != nil {
			wrong = append(wrong, err.Error())
		} else {
			out.Result = &result
		}
	}
	values, missing := c.collect()
	if missing != "" {
		wrong = append(wrong, missing)
	}
	if out.Parameters = values; out.Result != nil || len(values) > 0 {
		r.message.Outputs = &out
	}
	return strings.Join(wrong, "; ")
}

// ownWords is what the program itself says of its failure: with `clic-stage error`, or as its termination message.
func (r *runner) ownWords() string {
	if r.dir != "" {
		if text := ownWords(filepath.Join(r.dir, errorName)); text != "" {
			return text
		}
	}
	return ownWords(r.options.TerminationLog)
}

// refused ends a stage whose command cannot be executed.
func (r *runner) refused(err error) int {
	_, _ = fmt.Fprintln(r.Stderr, "clic-stage: "+err.Error()) // the program says nothing any more
	r.message.Exit, r.message.Error = refusedExit, err.Error()
	r.finish()
	return r.message.Exit
}

// finish leaves the termination message and posts the completion: the message first, in case the container is killed while it
// waits for the master, and again with what came of that.
func (r *runner) finish() {
	m := &r.message
	outputs := m.Outputs
	fits, lerr := r.leave()
	if r.good() && r.reports != nil && !r.options.Callbacks {
		patience := shortPatience
		if !fits || lerr != nil {
			patience = time.Duration(r.options.Patience)
		}
		answer, err := r.post(patience, func(ctx context.Context) (*master.ReportAnswer, error) {
			return r.reports.completed(ctx, outputs)
		})
		m.Posted = err == nil && !answer.CancelRequested
		if err != nil && fits {
			r.note(err)
		}
		if err != nil && !fits {
			m.Error = fmt.Sprintf("%s and could not be sent to the master: %v", r.tooMuch(), err)
		}
	} else if !fits && r.good() {
		m.Error = r.tooMuch() + " and nothing else takes them back: "
		if r.options.Callbacks {
			m.Error += "the program reports its completion itself"
		} else {
			m.Error += errNoMaster.Error()
		}
	}
	if _, err := r.leave(); err != nil {
		r.lastResort()
	}
}

// good reports whether the program has done its work, as far as is known here.
func (r *runner) good() bool {
	return r.message.Exit == 0 && r.message.Error == "" && !r.message.Stopped
}

func (r *runner) tooMuch() string {
	return fmt.Sprintf("the stage's outputs have %d bytes, do not fit into the termination message of %d", r.message.Outputs.size(), r.options.MessageLimit)
}

func (r *runner) leave() (fits bool, err error) {
	text, fits := r.message.encode(r.options.MessageLimit)
	return fits, leave(r.options.TerminationLog, text)
}

// post posts something for as long as patience allows, or until the container is about to be killed.
func (r *runner) post(patience time.Duration, what post) (answer *master.ReportAnswer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r.giveUp = cancel
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("reporting failed: %v", p)
			}
		}()
		answer, err = what(ctx)
	}()
	r.wait(done, 0)
	r.giveUp = func() {}
	if err == nil && answer == nil {
		err = errors.New("no answer")
	}
	return answer, err
}

// lastResort posts a failure where the termination message cannot say what the exit status does not. Otherwise the failure is
// left to the executor: it knows more of it, such as that the container ran out of memory, and the master stops and removes
// a stage that reports its failure itself.
func (r *runner) lastResort() {
	m := &r.message
	if r.reports == nil || r.options.Callbacks || m.Stopped || m.Error == "" {
		return
	}
	reason := fmt.Sprintf("main: Error (exit code %d): %s", m.Exit, m.Error)
	if m.Exit == 0 {
		reason = "wait: Error (exit code 64): " + m.Error
	}
	_, _ = r.post(shortPatience, func(ctx context.Context) (*master.ReportAnswer, error) {
		return r.reports.persist(ctx, func(ctx context.Context) (*master.ReportAnswer, error) {
			return r.reports.to.Failed(ctx, reason, int32(m.Exit))
		})
	})
}
