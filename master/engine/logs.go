package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/clic-orchestrator/clic/dag"
	"github.com/clic-orchestrator/clic/dag/plan"
	"github.com/clic-orchestrator/clic/executors"
)

// Logs opens the log of an attempt, the newest that was launched where attempt is negative.
func (e *Engine) Logs(ctx context.Context, stageID string, attempt int32, o executors.LogOptions) (io.ReadCloser, int32, error) {
	var (
		name string
		last int32
		none error
	)
	err := e.onStage(ctx, stageID, func(v viewer, i int32) error {
		n := v.run.Node(i)
		name, last, none = e.cfg.executorOf(v.run.Task(), n.Spec), n.Attempt, nil
		switch {
		case n.Spec.Kind != dag.KindStage:
			none = fmt.Errorf("%q is a group and has no log of its own: %w", stageID, executors.ErrNoLogs)
		case n.Launched == 0 && n.Attempt == 0:
			none = fmt.Errorf("stage %q was not launched yet (%s): %w", stageID, v.explain(i, false).Text, executors.ErrNoLogs)
		case n.Status.Launchable() && n.Attempt > 0 && !n.Kept:
			last-- // the next attempt has its number already
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if none != nil {
		return nil, 0, none
	}
	newest := attempt < 0
	if newest {
		attempt = last
	}
	x := e.cfg.Executors[name]
	if attempt > last || x == nil {
		return nil, 0, fmt.Errorf("stage %q, attempt %d: %w", stageID, attempt, executors.ErrNoLogs)
	}
	r, err := x.Logs(ctx, dag.AttemptID(stageID, attempt), o)
	if newest && attempt > 0 && errors.Is(err, executors.ErrNoLogs) {
		attempt-- // the newest number was never launched, as when the stage was cancelled before
		r, err = x.Logs(ctx, dag.AttemptID(stageID, attempt), o)
	}
	if err != nil {
		return nil, attempt, fmt.Errorf("cannot read the log of stage %q, attempt %d: %w", stageID, attempt, err)
	}
	return r, attempt, nil
}

// ResultPath says where the result of a COMPLETED stage is.
func (e *Engine) ResultPath(ctx context.Context, stageID string) (*ResultRef, error) {
	ref := &ResultRef{StageID: stageID}
	var (
		at      origin
		compile string
	)
	err := e.onStage(ctx, stageID, func(v viewer, i int32) error {
		n := v.run.Node(i)
		*ref, at, compile = ResultRef{StageID: stageID}, origin{}, ""
		if n.Status != dag.Completed {
			return &NotReadyError{StageID: stageID, Status: n.Status, Explanation: v.explain(i, true)}
		}
		if o := n.Outputs; o != nil {
			if path, ok := o.Params["outputPath"]; ok {
				ref.Path = path
				return nil
			}
			if o.Result != nil {
				value := *o.Result
				ref.Value = &value
			}
		}
		if v.task != nil {
			at = placeOf(v.task.program, v.run, i)
		} else {
			compile = v.run.Task().Name
		}
		return nil
	})
	if err == nil && compile != "" {
		at, err = e.endedPlace(ctx, compile, stageID)
	}
	if err != nil {
		return nil, err
	}
	dagFile := at.dagFile
	if at.path != "" {
		ref.Path, ref.Value = at.path, nil
		return ref, nil
	}
	if dagFile == "" {
		return ref, nil
	}
	if e.cfg.ReadFile == nil {
		return nil, fmt.Errorf("cannot find the result of stage %q: its plan file %q %w", stageID, dagFile, ErrNoSource)
	}
	b, err := e.cfg.ReadFile(dagFile)
	if err != nil {
		return nil, fmt.Errorf("cannot find the result of stage %q: plan file %q: %w: %w", stageID, dagFile, ErrNoSource, err)
	}
	if path, ok := plan.ResultPath(b); ok {
		ref.Path, ref.Value = path, nil
	}
	return ref, nil
}

// endedPlace is placeOf for a stage of a task that is not active: its plan has to be compiled for it.
func (e *Engine) endedPlace(ctx context.Context, task, stageID string) (origin, error) {
	f, err := e.finished.get(ctx, e, task)
	if err != nil {
		return origin{}, err
	}
	defer f.unlock()
	i, err := f.run.Find(stageID)
	if err != nil {
		return origin{}, err
	}
	if f.program == nil {
		rec, err := e.cfg.Store.Load(ctx, task)
		if err != nil {
			return origin{}, readError("task", task, err)
		}
		src, err := decodeSource(rec.Source)
		if err != nil {
			return origin{}, fmt.Errorf("task %q: %w", task, err)
		}
		_, program, ds := e.documents.compile(task, src)
		if err := ds.Err(); err != nil {
			return origin{}, fmt.Errorf("cannot compile the plan of task %q again: %w", task, err)
		}
		f.program = program
	}
	return placeOf(f.program, f.run, i), nil
}

// origin is where a plan says the result of a stage is: at a path, or where a file says that the stage works through.
type origin struct{ path, dagFile string }

func placeOf(program dag.Program, run *dag.Run, i int32) origin {
	spec, err := program.Stage(run, i)
	switch {
	case err != nil:
		return origin{}
	case spec.Output != nil && spec.Output.Path != "":
		return origin{path: spec.Output.Path}
	}
	return origin{dagFile: OperatorFile(spec)}
}

// OperatorFile gives the file that the command line of a stage of the CLIC form names with --dagPath, or "".
func OperatorFile(spec *dag.StageSpec) (path string) {
	if !spec.Shell || len(spec.Args) == 0 {
		return ""
	}
	for words := shellWords(spec.Args[0]); len(words) > 0; words = words[1:] {
		if v, ok := strings.CutPrefix(words[0], "--dagPath="); ok {
			path = v
		} else if words[0] == "--dagPath" && len(words) > 1 {
			path = words[1]
		}
	}
	return path
}

// shellWords splits a command line as a shell would: at white space, with quotes and backslashes understood, and without
// expanding anything.
func shellWords(line string) []string {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quote  rune
		escape bool
	)
	for _, c := range line {
		switch {
		case escape:
			if quote == '"' && !strings.ContainsRune("\"\\$`", c) {
				word.WriteByte('\\')
			}
			word.WriteRune(c)
			escape = false
		case c == '\\' && quote != '\'':
			escape, inWord = true, true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word.WriteRune(c)
			}
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case strings.ContainsRune(" \t\r\n;&|()<>", c):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}
