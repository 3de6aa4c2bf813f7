// Package kube runs attempts of stages as Jobs of Kubernetes, one batch/v1 Job each.
//
// What is sent to the cluster is made by buildJob, a pure function of the configuration and the attempt: the same attempt gives the
// same Job, byte for byte, so that a launch that is repeated after a crash finds what the first one made. It covers
//
//   - the CLIC form: a shell line with --stageId, --masterHost and --masterPort behind it, and a claim mounted on /data, as the old
//     master made it;
//   - the Argo form: container or script of a template, with all that the template and the plan say of its pod.
//
// Retries are the core's, so a Job has exactly one pod at a time and no back-off of its own.
//
// Stages of the Argo form get a static helper, which an init container copies into the pod: it hands a script to its interpreter,
// takes the result and the output parameters back to the master, and tells it that the program lives. It needs no shell and nothing
// else of the image. The container's own command is needed, because what an image runs by itself is known to the node only.
//
// Sidecars become init containers that are restarted (native sidecars, Kubernetes 1.29 or later), so that a Job ends with its program.
// podSpecPatch is merged strategically, the plan's and then the template's, and calls the program's container "main" as Argo does.
package kube
