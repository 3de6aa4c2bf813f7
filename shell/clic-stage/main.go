// Command clic-stage is the helper inside the containers of stages: it runs a stage's program and tells the executor and the
// master how that goes. See package stage.
package main

import (
	"os"
	"runtime"

	"github.com/clic-orchestrator/clic/shell/stage"
)

// version is set at build time with -ldflags "-X main.version=...".
var version = "unknown"

func main() {
	// There is next to nothing to do, and the machine is the program's.
	runtime.GOMAXPROCS(1)
	os.Exit(stage.Main(&stage.Process{
		Version: version, Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}, os.Args[1:]))
}
