package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// chore is something to be done about a Job that nobody waits for. It is repeated until it has worked.
type chore struct {
	what choreKind
	key  string
	uid  types.UID
	id   string // of the attempt, where that matters
}

type choreKind uint8

const (
	// choreDelete deletes a Job that nobody asked for, or that can never start.
	choreDelete choreKind = iota
	// choreArchive keeps the log of an attempt that has ended.
	choreArchive
	// choreKeep gives a Job that failed the time for which failed ones are kept.
	choreKeep
)

// maxArchiveTries is how often it is tried to read the log of an attempt that has ended.
const maxArchiveTries = 5

func (e *Executor) doChores() {
	for {
		c, shut := e.chores.Get()
		if shut {
			return
		}
		err := e.do(e.ctx, c)
		switch {
		case err == nil:
			e.chores.Forget(c)
		case e.ctx.Err() != nil:
		case c.what == choreArchive && e.chores.NumRequeues(c) >= maxArchiveTries:
			e.chores.Forget(c)
			e.cfg.Logger.Warn("cannot keep the log of an attempt", "attempt", c.id, "error", err)
		default:
			e.cfg.Logger.Debug("will try again", "job", c.key, "error", err)
			e.chores.AddRateLimited(c)
		}
		e.chores.Done(c)
	}
}

func (e *Executor) do(ctx context.Context, c chore) error {
	namespace, name, _ := strings.Cut(c.key, "/")
	switch c.what {
	case choreDelete:
		return e.deleteJob(ctx, namespace, name, c.uid, metav1.DeletePropagationForeground)
	case choreArchive:
		return e.archive(ctx, c.key, c.id, c.uid, false)
	case choreKeep:
		return e.keepFailed(ctx, namespace, name, c.uid)
	}
	return nil
}

// keepFailed changes the time after which the cluster deletes the Job.
func (e *Executor) keepFailed(ctx context.Context, namespace, name string, uid types.UID) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": uid},
		"spec":     map[string]any{"ttlSecondsAfterFinished": seconds32(e.cfg.KeepFailed)},
	})
	if err != nil {
		return err
	}
	err = e.insist(ctx, func(ctx context.Context) error {
		_, err := e.client.Jobs(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
	if err != nil && !goneAlready(err) {
		return fmt.Errorf("cannot keep Job %s: %w", name, err)
	}
	return nil
}
