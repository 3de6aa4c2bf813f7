// Command clic is the shell of the orchestrator: it submits plans, shows and steers what runs, and can run a plan by itself.
package main

import (
	"context"
	"os"

	"github.com/clic-orchestrator/clic/executors/local"
	"github.com/clic-orchestrator/clic/shell/factory"
	"github.com/clic-orchestrator/clic/shell/root"
)

// version is set at build time with -ldflags "-X main.version=...".
var version = "unknown"

func main() {
	// "clic run" starts processes under this same program, started again.
	if local.RunShimIfAsked() {
		return
	}
	os.Exit(root.Main(context.Background(), factory.New(version), os.Args[1:]))
}
