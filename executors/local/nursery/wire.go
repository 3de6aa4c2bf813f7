package nursery

import "time"

// Protocol is the version of what goes over the socket. A nursery outlives the master that started it, so a newer master
// may meet an older nursery: fields may be added, where leaving them unread does no harm. Any other change raises this
// number, which is part of the socket's and the lock's name; two nurseries then share a directory for a while, and the newer
// one has to leave the older one's attempts alone.
const Protocol = 1

// Request is one line of JSON from a client. Exactly one of the pointers (or Forget) is set.
type Request struct {
	// Seq is given back in the response.
	Seq    uint64   `json:"seq"`
	Launch *Launch  `json:"launch,omitempty"`
	Cancel *Cancel  `json:"cancel,omitempty"`
	Watch  *Watch   `json:"watch,omitempty"`
	Forget []string `json:"forget,omitempty"`
}

// Launch asks for an attempt to be started, or adopted if its directory exists. The sender is told of its end.
type Launch struct {
	ID     string `json:"id"`
	Task   string `json:"task"`
	Stage  string `json:"stage"`
	Number int32  `json:"n"`
	Epoch  uint64 `json:"epoch"`
	// Path is executed with Argv and Env in Dir ("" is the attempt's own). Env may hold secrets, so it is never kept, and
	// they may be any bytes, which JSON's strings may not.
	Path string   `json:"path"`
	Argv []string `json:"argv"`
	Env  [][]byte `json:"env"`
	Dir  string   `json:"dir,omitempty"`
	// Script, if there is one, is written to the file that ScriptFile names.
	Script string `json:"script,omitempty"`
	// Refusal ends the attempt at once with RefusedExit: its command cannot be executed.
	Refusal string `json:"refusal,omitempty"`
	Note    string `json:"note,omitempty"`
	Want    Want   `json:"want"`
}

// RefusedExit is the exit status of an attempt whose command was not found, as in Argo.
const RefusedExit = 64

// Want is what is to be kept of an attempt, and how it is to be ended.
type Want struct {
	// LogLimit bounds each stream, in bytes.
	LogLimit int64 `json:"log"`
	// Capture asks for the standard output as the result, of at most ResultLimit bytes.
	Capture     bool  `json:"capture,omitempty"`
	ResultLimit int64 `json:"result,omitempty"`
	// Files are read when the program has ended; each may have FileLimit bytes.
	Files     []File `json:"files,omitempty"`
	FileLimit int64  `json:"file,omitempty"`
	// Linger is how long what the program left running may go on once it has ended, before it is stopped too; Grace is
	// between TERM and KILL where a Cancel does not say.
	Linger time.Duration `json:"linger"`
	Grace  time.Duration `json:"grace"`
	// Private has the attempt stopped once no master is connected any more.
	Private bool `json:"private,omitempty"`
}

// File is an output parameter that is read from a file. A relative path is below the attempt's working directory.
type File struct {
	Name    string  `json:"name"`
	Path    string  `json:"path"`
	Default *string `json:"default,omitempty"`
}

// Cancel asks for an attempt to be stopped: TERM to all its processes, KILL after Grace (0: as launched).
type Cancel struct {
	ID    string        `json:"id"`
	Grace time.Duration `json:"grace,omitempty"`
}

// Watch asks for the state of attempts, now and when they end. With Orphans, attempts that run and are neither named nor
// watched by anybody are stopped. With an Epoch it comes from a leader, and is refused if a later one was seen.
type Watch struct {
	Epoch   uint64        `json:"epoch,omitempty"`
	IDs     []string      `json:"ids"`
	Orphans bool          `json:"orphans,omitempty"`
	Grace   time.Duration `json:"grace,omitempty"`
}

// Response is one line of JSON from the nursery: the answer to a request (Seq) or news of an attempt (ID).
type Response struct {
	Seq uint64 `json:"seq,omitempty"`
	// Code says what kind of error Error is: "" is none.
	Code  Code   `json:"code,omitempty"`
	Error string `json:"error,omitempty"`

	ID string `json:"id,omitempty"`
	// Waits says why the attempt was not started yet. Begun and End say how far it is; Unknown that there is none.
	Waits   string `json:"waits,omitempty"`
	Begun   *Begun `json:"begun,omitempty"`
	End     *End   `json:"end,omitempty"`
	Unknown bool   `json:"unknown,omitempty"`
}

// Code classes the errors of a response.
type Code string

// The codes.
const (
	// CodeRetry: nothing was started; the same call may succeed later.
	CodeRetry Code = "retry"
	// CodeNever: nothing was started, and repeating does not help.
	CodeNever Code = "never"
	// CodeStale: the epoch is over.
	CodeStale Code = "stale"
)
