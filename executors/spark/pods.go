package spark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/executors"
)

// ErrNoPod is the answer for a pod that is not there.
var ErrNoPod = errors.New("no such pod")

// Pods is what is needed of a Kubernetes cluster, beside the base. Package executors/spark/pods implements it. All methods may be
// called from several goroutines.
type Pods interface {
	// List gives the pods that a label selector finds.
	List(ctx context.Context, namespace, selector string) ([]Pod, error)
	// Watch reports the pods that a selector finds, first all there are and then each that changes or goes, until ctx is done or the
	// watch is broken. Namespace "" is all.
	Watch(ctx context.Context, namespace, selector string, each func(p Pod, gone bool)) error
	// Proxy reads a path of a server in a pod by way of the cluster's API.
	Proxy(ctx context.Context, namespace, pod string, port int, path string) ([]byte, error)
	// Delete deletes a pod; ErrNoPod if there is none.
	Delete(ctx context.Context, namespace, pod string, grace time.Duration) error
	// Log reads the log of a pod's container; ErrNoPod if there is none.
	Log(ctx context.Context, namespace, pod string, o executors.LogOptions) (io.ReadCloser, error)
}

// Pod is what is looked at of a pod.
type Pod struct {
	Namespace, Name, UID, Node string
	Labels, Annotations        map[string]string
	Created                    time.Time
	// Deleting: it is about to go. Taken: it was told to before its program had ended, so that is not the program's own end.
	Deleting, Taken bool
	// Running: its program was started; Started is when.
	Running bool
	Started time.Time
	// Waiting is why it does not run yet, in one line; Stuck says that this does not go away by itself.
	Waiting string
	Stuck   bool
	// End is how its program ended; nil while it has not.
	End *PodEnd
	// Evicted is why the cluster ended it, "" if it did not.
	Evicted string
}

// PodEnd is the end of a pod's program.
type PodEnd struct {
	Exit            int
	Reason, Message string
	Finished        time.Time
}

// sight says what a driver's pod means for its attempt. It is a pure function. gone: the pod is no more.
func (p *Pod) sight(gone bool, now time.Time) executors.Sighting {
	s := executors.Sighting{At: now, Info: p.info(), Started: p.Started}
	switch {
	case p.End != nil && p.End.Exit == 0 && p.Evicted == "":
		s.Phase = dag.AttemptSucceeded
	case p.Taken && p.Evicted == "":
		s.Phase, s.Failure = dag.AttemptFailed, dag.NewFailure(dag.FailLost, 0, "somebody else deleted the driver's pod "+p.Name)
	case p.End != nil || p.Evicted != "":
		s.Phase, s.Failure = dag.AttemptFailed, p.failure()
		s.ExitCode = s.Failure.ExitCode
	case gone:
		s.Phase, s.Failure = dag.AttemptFailed, dag.NewFailure(dag.FailLost, 0, "somebody else deleted the driver's pod "+p.Name)
	case p.Running:
		s.Phase = dag.AttemptRunning
	default:
		s.Phase, s.Reason, s.Started = dag.AttemptPending, p.Waiting, time.Time{}
	}
	if p.End != nil && now.Sub(p.End.Finished) > 2*time.Second && p.End.Finished.Unix() > 0 {
		s.At = p.End.Finished
	}
	return s
}

func (p *Pod) info() string {
	info := "driver pod " + p.Namespace + "/" + p.Name
	if p.Node != "" {
		info += " on node " + p.Node
	}
	return info
}

func (p *Pod) failure() *dag.Failure {
	exit := 0
	if p.End != nil {
		exit = p.End.Exit
	}
	switch {
	case p.Evicted != "":
		return dag.NewFailure(dag.FailEvicted, exit, p.Evicted)
	case p.End.Reason == "OOMKilled":
		return dag.NewFailure(dag.FailOOM, exit, fmt.Sprintf("driver: Error (exit code %d): the system killed it for want of memory; give it more (driver.overhead)", exit))
	case p.End.Reason == "ContainerStatusUnknown":
		return dag.NewFailure(dag.FailLost, exit, short("the driver's node does not know how it ended: "+p.End.Message))
	case p.End.Reason == "StartError" || p.End.Reason == "ContainerCannotRun":
		return dag.NewFailure(dag.FailLaunch, exit, short("the node could not start the driver: "+p.End.Message))
	}
	return dag.NewFailure(dag.FailExit, exit, fmt.Sprintf("driver: Error (exit code %d)", exit))
}
