package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// sparkTurn is one way to submit. What it cannot do once it is not asked for again: the others go on.
type sparkTurn struct {
	run func() (submission, error)
	all []submission
	err error
}

// inTurn lets all have their turns, so many rounds of them.
func (s *sparkWorld) inTurn(rounds int, turns ...*sparkTurn) error {
	var errs []error
	for range rounds {
		for _, t := range turns {
			if t.err != nil {
				continue
			}
			r, err := t.run()
			if t.err = errors.Join(err, s.idle()); t.err == nil {
				t.all = append(t.all, r)
			}
			if err := s.b.ctx.Err(); err != nil {
				return err
			}
			errs = append(errs, t.err)
		}
	}
	return errors.Join(errs...)
}

// sparkLaunch measures what it takes to launch one application, natively and by spark-submit by hand, in turn.
func sparkLaunch(b *bench) error {
	return b.withSpark(func(s *sparkWorld) error {
		ours := &sparkTurn{run: func() (submission, error) { return s.native(1, false, true) }}
		theirs := &sparkTurn{run: func() (submission, error) { return s.byHand(1, false, true) }}
		tuned := &sparkTurn{run: func() (submission, error) { return s.byHand(1, true, false, "SPARK_SUBMIT_OPTS="+smallJVM) }}
		err := s.inTurn(b.pick(3, 1), ours, theirs, tuned)
		b.tellLaunch(s, ours.all, theirs.all, tuned.all)
		return err
	})
}

// tellLaunch prints what came of single applications.
func (b *bench) tellLaunch(s *sparkWorld, ours, theirs, tuned []submission) {
	const same = "the same with SPARK_SUBMIT_OPTS=" + smallJVM
	b.tellSpans(ours, "native-created", submission.whenCreated, "s", "under 0.3",
		fmt.Sprintf("one application (%s, one executor) by a whole clic-master, mode native, from the call submit until a watch shows the driver's pod", s.image))
	b.tellSpans(theirs, "submit-created", submission.whenCreated, "s", "",
		"`spark-submit --deploy-mode cluster` of the same by hand, which does not wait for its end, from its start until a watch shows the driver's pod")
	b.tellSpans(tuned, "submit-created-tuned", submission.whenCreated, "s", "", same)
	b.tellRatio("created-ratio", ours, theirs)
	b.tellSpans(ours, "native-running", submission.whenRunning, "s", "", "until the driver's pod is running")
	b.tellSpans(theirs, "submit-running", submission.whenRunning, "s", "", "the same by hand")
	b.tellSpans(ours, "native-done", submission.whenEnded, "s", "", "until the driver's pod has succeeded")
	b.tellSpans(theirs, "submit-done", submission.whenEnded, "s", "", "the same by hand")
	b.tellSpans(ours, "native-told", submission.whenTold, "s", "", "until the master's client knows that the task is COMPLETED")
	b.tellSpans(ours, "native-cpu-created", submission.costCreated, "CPU s", "under 0.05",
		"user and system time of the whole master, from the call submit until the driver's pod was seen")
	b.tellSpans(ours, "native-cpu", submission.cost, "CPU s", "under 0.05",
		"the same until the task was COMPLETED: with the progress that is asked for, and what a master does anyway")
	b.tellSpans(theirs, "submit-cpu", submission.cost, "CPU s", "", "that of spark-submit, which ends when it has submitted")
	b.tellSpans(tuned, "submit-cpu-tuned", submission.cost, "CPU s", "", same)
	if len(theirs) > 0 {
		b.tell("spark/submit-memory", largest(theirs)/(1<<20), "MiB", "", "the peak resident memory of spark-submit")
	}
}

// submitPatience is how long spark-submit may take to be connected, where several share few processors: it gives up after 10 s else.
const submitPatience = "spark.kubernetes.submission.connectionTimeout=300000"

// sparkAtOnce measures what several submissions at once take, natively and by spark-submit by hand.
func sparkAtOnce(b *bench) error {
	n := b.pick(10, 3)
	m, memory := n, available()
	if room := int(memory / (512 << 20)); memory > 0 && room < m {
		m = max(room, 1)
	}
	return b.withSpark(func(s *sparkWorld) error {
		held := &sparkTurn{run: func() (submission, error) { return s.native(n, true, false) }}
		started := &sparkTurn{run: func() (submission, error) { return s.native(n, false, false) }}
		theirs := &sparkTurn{run: func() (submission, error) { return s.byHand(m, true, false) }}
		err := errors.Join(s.inTurn(b.pick(3, 1), held, started), s.inTurn(1, theirs))
		b.tellSpans(held.all, "at-once-native", submission.whenCreated, "s", "under 1",
			fmt.Sprintf("%d applications at once by a whole clic-master, mode native, from the first call submit until a watch has shown all drivers' pods, which stay pending, so that no driver takes what the others need", n))
		b.tellSpans(started.all, "at-once-native-started", submission.whenCreated, "s", "under 1", "the same with drivers that start; cancelled afterwards")
		b.tellSpans(theirs.all, "at-once-submit", submission.whenCreated, "s", "",
			fmt.Sprintf("%d spark-submit at once by hand (%.1f GiB of memory were available), with %s, until all pods, which stay pending", m, memory/(1<<30), submitPatience))
		b.tellRatio("at-once-ratio", held.all, theirs.all)
		b.tellSpans(held.all, "at-once-native-cpu", submission.costCreated, "CPU s/each", "under 0.05", "user and system time of the master until all pods were seen, by submission")
		b.tellSpans(theirs.all, "at-once-submit-cpu", submission.cost, "CPU s/each", "", "that of each spark-submit")
		if len(theirs.all) > 0 {
			b.tell("spark/at-once-submit-memory", largest(theirs.all)/(1<<20), "MiB/each", "", "the peak resident memory of the largest spark-submit")
		}
		return err
	})
}

// tellSpans prints the median of something that submissions have, if there are any.
func (b *bench) tellSpans(all []submission, name string, of func(submission) time.Duration, unit, aim, what string) {
	if len(all) > 0 {
		b.tell("spark/"+name, middle(all, of).Seconds(), unit, aim, fmt.Sprintf("%s; median of %d, load %s", what, len(all), submissionLoads(all)))
	}
}

// tellRatio compares the times until the pods were created.
func (b *bench) tellRatio(name string, ours, theirs []submission) {
	if len(ours) > 0 && len(theirs) > 0 {
		b.tell("spark/"+name, middle(theirs, submission.whenCreated).Seconds()/middle(ours, submission.whenCreated).Seconds(), "times faster", "",
			"spark-submit's time until the pods were created by ours")
	}
}

// idle waits until the master has nothing to do, and leaves nothing in the cluster.
func (s *sparkWorld) idle() error {
	return errors.Join(s.c.until("the master's last task", func() (bool, error) {
		info, err := s.p.client.GetMasterInfo(s.b.ctx)
		return err == nil && info.ActiveTasks == 0, err
	}), s.c.clear())
}

func (r submission) whenCreated() time.Duration { return r.created }
func (r submission) whenRunning() time.Duration { return r.running }
func (r submission) whenEnded() time.Duration   { return r.ended }
func (r submission) whenTold() time.Duration    { return r.told }
func (r submission) costCreated() time.Duration { return r.cpuCreated }
func (r submission) cost() time.Duration        { return r.cpu }

// middle is the median of something that submissions have.
func middle(all []submission, of func(submission) time.Duration) time.Duration {
	var values []time.Duration
	for _, r := range all {
		values = append(values, of(r))
	}
	return median(values)
}

func largest(all []submission) (bytes float64) {
	for _, r := range all {
		bytes = max(bytes, r.memory)
	}
	return bytes
}

// submissionLoads are what the machine had to do before each.
func submissionLoads(all []submission) string {
	var loads []string
	for _, r := range all {
		now, _, _ := strings.Cut(r.load, " ")
		loads = append(loads, now)
	}
	return strings.Join(loads, ", ")
}

// available is how many bytes of memory can still be had, 0 where the system does not say.
func available() float64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "MemAvailable: %f kB", &kib); err == nil {
			return kib * 1024
		}
	}
	return 0
}
