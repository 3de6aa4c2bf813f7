package executors

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

// ErrStale marks a launch that was decided by a leader whose epoch has passed: the executor has seen a higher one. Nothing
// was started, and repeating the call never helps.
var ErrStale = errors.New("decided in an epoch that is over")

// The names of the environment variables by which a program can know what it runs as. Programs of the CLIC form refuse
// options that they do not know, so whatever is new comes in the environment.
const (
	// EnvStage is the stage's id.
	EnvStage = "CLIC_STAGE_ID"
	// EnvTask is the task's full name.
	EnvTask = "CLIC_TASK"
	// EnvAttempt is the attempt's number from 0.
	EnvAttempt = "CLIC_ATTEMPT"
	// EnvAttemptID is the attempt's name in the world outside (Attempt.ID).
	EnvAttemptID = "CLIC_ATTEMPT_ID"
	// EnvToken proves to the master that a callback comes from the attempt. It is a secret.
	EnvToken = "CLIC_TOKEN"
	// EnvMaster is host:port of the master to call back.
	EnvMaster = "CLIC_MASTER"
	// EnvOutput is the path or URI that the attempt writes its data to, where the plan says something of it.
	EnvOutput = "CLIC_OUTPUT"
)

// ShellLine is the command line of a stage of the CLIC form, for `/bin/sh -c`: the plan's own text, and behind it the
// options by which the programs of that form know their stage and their master. The text is the old master's, letter by
// letter; nothing is quoted.
func ShellLine(a Attempt) string {
	var b strings.Builder
	for i, arg := range a.Spec.Args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(arg)
	}
	b.WriteString(" --stageId=")
	b.WriteString(a.Stage)
	b.WriteString(" --masterHost=")
	b.WriteString(a.MasterHost)
	b.WriteString(" --masterPort=")
	b.WriteString(strconv.Itoa(a.MasterPort))
	return b.String()
}

// Env is what every attempt finds in its environment, as "NAME=value". EnvToken and EnvMaster are left out where there is
// no token or no master. It holds the token, so it must not be logged or kept.
func Env(a Attempt) []string {
	env := make([]string, 0, 7)
	env = append(env,
		EnvStage+"="+a.Stage,
		EnvTask+"="+a.Task,
		EnvAttempt+"="+strconv.Itoa(int(a.Number)),
		EnvAttemptID+"="+a.ID,
	)
	if a.Token != "" {
		env = append(env, EnvToken+"="+a.Token)
	}
	if a.MasterHost != "" {
		env = append(env, EnvMaster+"="+net.JoinHostPort(a.MasterHost, strconv.Itoa(a.MasterPort)))
	}
	if a.OutputPath != "" {
		env = append(env, EnvOutput+"="+a.OutputPath)
	}
	return env
}
