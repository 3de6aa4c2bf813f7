package dag

// StageSpec is what an executor runs: one attempt of a stage, with everything substituted.
type StageSpec struct {
	StageID  string
	Task     string
	Template string
	Platform string
	Form     Form
	// Plugin names what runs the stage where that is no container ("spark"); its description is in TemplateJSON. "" is a container.
	Plugin string
	// Image is the container image. Executors without images ignore it and say so.
	Image string
	// Command and Args as in a container. A Script, where there is one, is written to a file whose path becomes the last
	// argument of Command. Executors replace $(NAME) and $$ in both and in values of Env as Kubernetes does; where
	// Shell is set, Kubernetes alone does.
	Command []string
	Args    []string
	Script  string
	// Shell marks a CLIC command line: Args is one string for `/bin/sh -c`.
	Shell   bool
	WorkDir string
	Env     []EnvVar
	// Requests and limits; 0 is none. CPU in thousandths of a core, memory in bytes.
	CPURequest, CPULimit       int64
	MemoryRequest, MemoryLimit int64
	// CaptureResult asks for the standard output as Outputs.Result. OutputFiles asks for files as parameters.
	CaptureResult bool
	OutputFiles   []OutputFile
	// Output is what the stage has to leave behind; nil where the plan says nothing of it.
	Output *Output
	// Timeout ends the attempt; the core enforces it, executors may as well. Grace is between TERM and KILL.
	Timeout Duration
	Grace   Duration
	// Inputs are the resolved parameters, for people.
	Inputs map[string]string
	// TemplateJSON is the whole template after substitution, for executors that map more of it.
	TemplateJSON []byte
}

// Output is what the plan says of the data that a stage writes.
type Output struct {
	// Path is where it will be: a URI or an absolute path. "" stands for the one that the operator file of a CLIC command line names.
	Path string
	// Success is what must hold of it before the stage is COMPLETED: "_SUCCESS" (the marker of Hadoop's committers), "nonempty" or
	// "rows>=N". "" is nothing.
	Success string
	// Publish has each attempt write to a path of its own, which becomes Path by a rename once it has succeeded.
	Publish bool
	// Expire has it deleted with the task, once the task's time has come.
	Expire bool
}

// Checked reports whether an attempt's end is not the stage's before somebody has looked at the output.
func (o *Output) Checked() bool { return o != nil && (o.Success != "" || o.Publish) }

// EnvVar is an environment variable of a stage.
type EnvVar struct {
	Name, Value string
	// SecretName and SecretKey name a secret instead of a value. Its value is never logged or shown.
	SecretName, SecretKey string
	// ConfigMap and ConfigKey name a configuration entry instead of a value.
	ConfigMap, ConfigKey string
	Optional             bool
}

// OutputFile asks for the content of a file as an output parameter.
type OutputFile struct {
	Name, Path string
	// Default replaces a missing file; without it a missing file fails the attempt (FailOutput).
	Default *string
}

// AttemptID names an attempt in the world outside: the stage id for attempt 0, "<stage id>-r<n>" later. Deterministic, so
// that launching twice is adopting.
func AttemptID(stageID string, attempt int32) string {
	if attempt == 0 {
		return stageID
	}
	return stageID + "-r" + itoa(attempt)
}

func itoa(n int32) string {
	var b [12]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}
