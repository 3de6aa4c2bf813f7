package sim

// Mutant is a fault that is planted, to see that it is found.
type Mutant string

// The mutants.
const (
	// MutantLaunchFirst launches before the commit; MutantAnswerFirst answers before it.
	MutantLaunchFirst Mutant = "launch before the commit"
	MutantAnswerFirst Mutant = "answer before the commit"
	// MutantStoreIgnoresEpoch lets every epoch write; MutantNoCAS lets a change be written whatever it is based on.
	MutantStoreIgnoresEpoch Mutant = "store ignores epochs"
	MutantNoCAS             Mutant = "store ignores revisions"
	// MutantNoReload goes on with what was before a commit whose outcome is unknown.
	MutantNoReload Mutant = "unknown outcome is taken for a failure"
	// MutantForgetsPending launches nothing of what was decided before a recovery; MutantForgetsLive does not tell
	// executors what may run.
	MutantForgetsPending Mutant = "recovery forgets what is pending"
	MutantForgetsLive    Mutant = "recovery forgets what runs"
	// MutantExecutorIgnoresEpoch lets every epoch launch; MutantRecoverKeepsEpoch lets an executor learn of a new epoch
	// only when something is launched in it.
	MutantExecutorIgnoresEpoch Mutant = "executor ignores epochs"
	MutantRecoverKeepsEpoch    Mutant = "executor learns of an epoch late"
	// MutantLateTrust counts the trust in a lease from when the answer arrived.
	MutantLateTrust Mutant = "trust counts from the answer"
	// MutantNoConfirm goes on after a lapse without asking for the epoch.
	MutantNoConfirm Mutant = "no confirmation after a lapse"
	// MutantNoRedo does not put back what a restarted store has lost; MutantNoGrace gives the lease to anybody right after a
	// restart; MutantEpochsAgain gives an epoch again that was lost.
	MutantNoRedo  Mutant = "nothing is put back"
	MutantNoGrace Mutant = "no grace after a restart"
	// MutantNoSettling commits right after a restart.
	MutantNoSettling  Mutant = "commits right after a restart"
	MutantEpochsAgain Mutant = "an epoch is given twice"
	// MutantStranded never looks for tasks that nobody runs.
	MutantStranded Mutant = "nobody looks for stranded tasks"
)

// Mutants lists all.
func Mutants() []Mutant {
	return []Mutant{
		MutantLaunchFirst, MutantAnswerFirst, MutantStoreIgnoresEpoch, MutantNoCAS, MutantNoReload, MutantForgetsPending,
		MutantForgetsLive, MutantExecutorIgnoresEpoch, MutantRecoverKeepsEpoch, MutantLateTrust, MutantNoConfirm, MutantNoRedo,
		MutantNoGrace, MutantNoSettling, MutantEpochsAgain, MutantStranded,
	}
}
