package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The names of the environment variables between the executor and the helper, and between the helper and the program.
const (
	// EnvOptions holds the Options of `run`, as JSON.
	EnvOptions = "CLIC_STAGE_OPTIONS"
	// EnvScript is the text that `install` writes; where it is longer than a variable may be, it goes on in EnvScript_1,
	// EnvScript_2 and so on.
	EnvScript = "CLIC_STAGE_SCRIPT"
	// EnvDir is where the program's processes leave notes for the helper that runs them.
	EnvDir = "CLIC_STAGE_DIR"
)

// Options is what the executor asks the helper for. Keys that are not known are ignored, so that an older image of the helper
// serves a newer master.
type Options struct {
	// Result asks for the standard output as the stage's result, Outputs for files as its output parameters.
	Result  bool     `json:"result"`
	Outputs []Output `json:"outputs"`
	// ResultLimit and OutputLimit bound the result and each output parameter, in bytes. Defaults: 1 MiB and 256 KiB.
	ResultLimit int64 `json:"resultLimit"`
	OutputLimit int64 `json:"outputLimit"`
	// Heartbeat is how often the master is told that the program is alive; 0s is never. Default: 10 s.
	Heartbeat Duration `json:"heartbeat"`
	// Callbacks says that the program itself reports its start and its completion, as those of the CLIC form do: an exit
	// status of 0 means nothing then, so the helper reports neither.
	Callbacks bool `json:"callbacks"`
	// Grace is how long the container has between TERM and KILL. Default: 30 s.
	Grace Duration `json:"grace"`
	// Patience is for how long outputs that do not fit into the termination message are posted again and again. Default: 10 min.
	Patience Duration `json:"patience"`
	// TerminationLog is the file of the termination message, and MessageLimit how many bytes of it arrive. Defaults:
	// /dev/termination-log and 4096. The kubelet takes less where a pod has more than three containers: 12 KiB for all of them.
	TerminationLog string `json:"terminationLog"`
	MessageLimit   int    `json:"messageLimit"`
}

// Output asks for a file as an output parameter. Default replaces a missing one.
type Output struct {
	Name    string  `json:"name"`
	Path    string  `json:"path"`
	Default *string `json:"default"`
}

// Duration is a time.Duration that is written like "1m30s".
type Duration time.Duration

// UnmarshalText reads a duration; an empty one leaves what is there.
func (d *Duration) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	v, err := time.ParseDuration(string(b))
	if err == nil {
		*d = Duration(v)
	}
	return err
}

// maxMessage is what the kubelet takes of a termination message, and minMessage what the helper needs to say anything.
const (
	maxMessage = 4096
	minMessage = 256
)

// minHeartbeat keeps a mistaken configuration from flooding the master.
const minHeartbeat = 100 * time.Millisecond

// ParseOptions reads EnvOptions. What it gives beside an error can be used: the defaults.
func ParseOptions(text string) (Options, error) {
	o := defaults()
	if text == "" {
		return o, nil
	}
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.validate()
	}
	if err != nil {
		return defaults(), fmt.Errorf("cannot read %s: %w", EnvOptions, err)
	}
	return o, nil
}

func defaults() Options {
	return Options{
		ResultLimit: 1 << 20, OutputLimit: 256 << 10,
		Heartbeat: Duration(10 * time.Second), Grace: Duration(30 * time.Second), Patience: Duration(10 * time.Minute),
		TerminationLog: "/dev/termination-log", MessageLimit: maxMessage,
	}
}

// validate also brings what is out of its bounds, but harmless, back into them.
func (o *Options) validate() error {
	if o.ResultLimit < 0 || o.OutputLimit < 0 || o.Heartbeat < 0 || o.Grace < 0 || o.Patience < 0 {
		return errors.New("a limit or a time is negative")
	}
	for _, f := range o.Outputs {
		if f.Name == "" || f.Path == "" {
			return errors.New("an output has no name or no path")
		}
	}
	if o.Heartbeat > 0 {
		o.Heartbeat = max(o.Heartbeat, Duration(minHeartbeat))
	}
	o.MessageLimit = max(minMessage, min(o.MessageLimit, maxMessage))
	return nil
}

// killAfter is when what is left of a program that was told to stop is killed: early enough to write the termination message
// before the container itself is.
func (o *Options) killAfter() time.Duration {
	grace := time.Duration(o.Grace)
	return grace - min(grace/10, time.Second)
}
