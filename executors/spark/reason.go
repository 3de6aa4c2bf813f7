package spark

import (
	"regexp"
	"slices"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
)

// A sign is a line of a driver's log that says why the driver ended.
type sign struct {
	pattern *regexp.Regexp
	// kind is what such a failure is; 0 leaves the base's judgement. permanent: repeating cannot mend it.
	kind      dag.FailureKind
	permanent bool
	// says is the reason, in which the pattern's groups are replaced as in regexp.Expand; caused: what is told after it as its cause
	// belongs to it.
	says   string
	caused bool
}

// signs are in the order of how much they say: the first that is found anywhere counts.
func signs() []sign {
	line := func(s string) *regexp.Regexp { return regexp.MustCompile(`(?m)` + s + `\r?$`) }
	return []sign{
		{pattern: line(`Local jar (\S+) does not exist, skipping\.`), says: "missing file: $1"},
		{pattern: line(`^Error: Failed to load class ([^\s]+?)\.?`), permanent: true, says: "wrong class: there is no class $1 in the application's jars"},
		{pattern: line(`can't open file '?([^':]+)'?: \[Errno 2\].*`), says: "missing file: $1"},
		{pattern: line(`.*Master URL.*could not be parsed.*`), permanent: true, says: "$0"},
		{pattern: line(`.*System memory \d+ must be at least \d+.*`), permanent: true, says: "the driver's memory is too small: $0"},
		{
			pattern: line(`(?:^Exception in thread "[^"]*" |^Caused by: |Uncaught exception in thread .*|^\s*)(java\.lang\.OutOfMemoryError: .*)`),
			kind:    dag.FailOOM, says: "the driver ran out of memory: $1; give it more (driver.memory)",
		},
		{pattern: line(`.*(Max number of executor failures \(\d+\) reached.*)`), says: "executors lost: $1"},
		{pattern: line(`.*(ExecutorLostFailure \(.*)`), says: "executors lost: $1"},
		{pattern: line(`.*KubernetesClientException: .*Message: (.* is forbidden: .*?)\. Received status.*`), says: "the account of the pod lacks a right: $1"},
		{pattern: line(`.*External scheduler cannot be instantiated`), says: "Spark cannot make executors", caused: true},
		{pattern: line(`.*(?:FileNotFoundException|NoSuchFileException): (?:File )?(.*?)(?: \(No such file or directory\)| does not exist)?`), says: "missing file: $1"},
		{pattern: line(`.*\[PATH_NOT_FOUND\] Path does not exist: (\S+?)\.? SQLSTATE.*`), says: "missing file: $1"},
		{pattern: line(`.*(All masters are unresponsive.*)`), says: "the standalone master cannot be reached: $1"},
	}
}

// reason completes a failure by what the last lines of the driver's log say of it. It is a pure function. What the outside has judged
// (eviction, a deadline) stays as it is.
func reason(f *dag.Failure, log string, signs []sign) *dag.Failure {
	if f == nil || f.Kind != dag.FailExit && f.Kind != dag.FailOOM {
		return f
	}
	better := *f
	for i := range signs {
		m := signs[i].pattern.FindStringSubmatchIndex(log)
		if m == nil {
			continue
		}
		// The last one of its kind: what came before was overcome.
		for _, next := range signs[i].pattern.FindAllStringSubmatchIndex(log, -1) {
			m = next
		}
		says := string(signs[i].pattern.ExpandString(nil, signs[i].says, log, m))
		if signs[i].caused {
			says += causeIn(log[m[1]:], says)
		}
		better.Message = short(says) + exitText(f)
		better.Permanent = better.Permanent || signs[i].permanent
		if k := signs[i].kind; k != 0 {
			better.Kind = k
		}
		return &better
	}
	if f.ExitCode == exitKilled || f.ExitCode == exitTerminated {
		return &better // what other threads had logged before is not why
	}
	if says := exception(log); says != "" {
		better.Message = short(says) + exitText(f)
	}
	return &better
}

// The exit statuses of a driver that a signal has ended.
const exitKilled, exitTerminated = 128 + 9, 128 + 15

// exitText keeps what the base has said, which names the exit status.
func exitText(f *dag.Failure) string {
	text, _, _ := strings.Cut(f.Message, ")")
	if text == "" {
		return ""
	}
	if strings.Contains(text, "(") {
		text += ")"
	}
	return " [" + text + "]"
}

// mainException begins the report of what ended the program.
var mainException = regexp.MustCompile(`(?m)^(?:Exception in thread "[^"]*"|.*ERROR SparkApplication.*:|.*Uncaught exception in thread [^:]*:?) ?(\S*(?:Exception|Error|Throwable)\b.*)$`)

// bareException is one whose first words are elsewhere: the JVM writes those apart, and what other threads log may come between.
var bareException = regexp.MustCompile(`(?m)^([a-z][\w.$]*\.[A-Z][\w$]*(?:Exception|Error|Throwable)(?::.*)?)\r?\n\s+at `)

// cause is a line that names the cause of an exception.
var cause = regexp.MustCompile(`(?m)^Caused by: (.*)$`)

// pythonError is the last line of a Python traceback.
var pythonError = regexp.MustCompile(`(?m)^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)\b.*)$`)

// behindPython is the JVM's exception that a Python program was told of.
var behindPython = regexp.MustCompile(`(?m)^: (\S.*)$`)

// exception is the exception that ended the program, as far as the log has one.
func exception(log string) string {
	if at := strings.LastIndex(log, "Traceback (most recent call last):"); at >= 0 {
		if m := pythonError.FindStringSubmatchIndex(log[at:]); m != nil {
			text, rest := log[at:][m[2]:m[3]], log[at:][m[3]:]
			if java := behindPython.FindStringSubmatch(rest); java != nil && strings.Contains(text, "Py4J") {
				return java[1] + causeIn(rest, java[1])
			}
			return text
		}
	}
	found := mainException.FindAllStringSubmatchIndex(log, -1)
	if len(found) == 0 {
		found = bareException.FindAllStringSubmatchIndex(log, -1)
		found = slices.DeleteFunc(found, func(m []int) bool { return besides(log[:m[2]]) })
	}
	if len(found) == 0 {
		return ""
	}
	last := found[len(found)-1]
	text := log[last[2]:last[3]]
	return text + causeIn(log[last[3]:], text)
}

// besides reports whether the last line of a log is of something that a driver survives: a warning, or its REST interface when somebody
// (as we do) has gone before he was answered.
func besides(log string) bool {
	log = strings.TrimRight(log, "\r\n")
	line := log[strings.LastIndexByte(log, '\n')+1:]
	return strings.Contains(line, " WARN ") || strings.Contains(line, " ERROR ServerRuntime$")
}

// causeIn names the last cause of an exception, if that says something new.
func causeIn(log, text string) string {
	m := cause.FindAllStringSubmatch(log, -1)
	if len(m) == 0 || strings.Contains(text, m[len(m)-1][1]) {
		return ""
	}
	return "; caused by " + m[len(m)-1][1]
}

// maxReason is how long a reason may be, in bytes.
const maxReason = 400

// short makes one line of a text.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
